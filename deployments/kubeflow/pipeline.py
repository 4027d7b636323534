"""build_model as a Kubeflow pipeline (KFP 2): the same steps in the same order, each in a container of our image.

Started by `loopline kubeflow`, in the Python where kfp is: `python pipeline.py compile`, `submit` or `local`, with what
to do as JSON on standard input. A component starts a step of tasks/alone.py; contracts are the metadata of artifacts.
"""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from kfp import Client, compiler, dsl, kubernetes, local
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output, PipelineTask

component = dsl.component(base_image="loopline", install_kfp_package=False)


@component
def accept(order: str, requirements: Output[Artifact]):
    from loopline.component import run

    run("accept", requirements, order=order)


@component
def ingest(order: str, requirements: Input[Artifact], raw: Output[Dataset]):
    from loopline.component import run

    run("ingest", raw, order=order)


@component
def label_sync(order: str, raw: Input[Dataset], labeled: Output[Dataset]):
    from loopline.component import run

    run("label_sync", labeled, order=order, raw=raw)


@component
def version(order: str, labeled: Input[Dataset], dataset: Output[Dataset]):
    from loopline.component import run

    run("version", dataset, order=order, labeled=labeled)


@component
def baseline(dataset: Input[Dataset], floor: Output[Metrics]):
    from loopline.component import run

    run("baseline", floor, dataset=dataset)


@component
def tune(order: str, dataset: Input[Dataset], study: Output[Artifact]):
    from loopline.component import run

    run("tune", study, order=order, dataset=dataset)


@component
def train(order: str, dataset: Input[Dataset], study: Input[Artifact], model: Output[Model]):
    from loopline.component import run

    run("train", model, order=order, dataset=dataset, study=study)


@component
def opponent(model: Input[Model], champion: Output[Artifact]):
    from loopline.component import run

    run("opponent", champion, model=model)


@component
def evaluate(model: Input[Model], floor: Input[Metrics], champion: Input[Artifact], report: Output[Metrics]):
    from loopline.component import run

    run("evaluate", report, model=model, floor=floor, champion=champion)


@component
def package_model(report: Input[Metrics], packaged: Output[Model]):
    from loopline.component import run

    run("package_model", packaged, report=report)


@component
def gate(packaged: Input[Model], requirements: Input[Artifact], verdict: Output[Metrics]):
    from loopline.component import run

    run("gate", verdict, packaged=packaged, requirements=requirements)


@component
def report(packaged: Input[Model], verdict: Input[Metrics], page: Output[Artifact]):
    from loopline.component import run

    run("report", page, packaged=packaged, verdict=verdict)


@component
def announce(packaged: Input[Model], verdict: Input[Metrics], page: Input[Artifact], judged: Output[Model]):
    from loopline.component import run

    run("announce", judged, packaged=packaged, verdict=verdict, page=page)


def build_model(wanted: dict[str, Any]) -> Any:
    """Return the pipeline, for images, a GPU and settings as wanted."""

    def on(machine: str, task: PipelineTask) -> PipelineTask:
        task.set_container_image(wanted["images"][machine])
        task.set_retry(num_retries=wanted["retries"], backoff_duration="10s", backoff_factor=3)
        task.set_caching_options(False)  # steps look into the store by themselves, under digests of content and source
        for name, value in wanted["environment"].items():
            task.set_env_variable(name, value)
        if wanted["secret"]:
            keys = {name: name for name in wanted["secret_keys"]}
            kubernetes.use_secret_as_env(task, secret_name=wanted["secret"], secret_key_to_env=keys)
        if machine == "gpu":
            task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(wanted["gpu_count"])
            task.set_memory_limit(wanted["gpu_memory"])
        return task

    def cpu(task: PipelineTask) -> Any:
        return on("cpu", task).output

    def gpu(task: PipelineTask) -> Any:
        return on("gpu", task).output

    @dsl.pipeline(name="build-model", description="Images in, a model ready to serve out; or why it is held back.")
    def pipeline(order: str):
        requirements = cpu(accept(order=order))
        raw = cpu(ingest(order=order, requirements=requirements))
        labeled = cpu(label_sync(order=order, raw=raw))
        dataset = cpu(version(order=order, labeled=labeled))
        floor = cpu(baseline(dataset=dataset))
        study = gpu(tune(order=order, dataset=dataset))
        model = gpu(train(order=order, dataset=dataset, study=study))
        champion = cpu(opponent(model=model))
        judged = gpu(evaluate(model=model, floor=floor, champion=champion))
        packaged = cpu(package_model(report=judged))
        verdict = cpu(gate(packaged=packaged, requirements=requirements))
        page = cpu(report(packaged=packaged, verdict=verdict))
        cpu(announce(packaged=packaged, verdict=verdict, page=page))

    return pipeline


def compiled(wanted: dict[str, Any]) -> None:
    """Write the pipeline as IR YAML."""
    compiler.Compiler().compile(build_model(wanted), wanted["file"])


def submitted(wanted: dict[str, Any]) -> None:
    """Start a run on a server; prints its id."""
    compiled(wanted)
    with redirect_stdout(sys.stderr):  # on which the client tells of its links
        client = Client(host=wanted["url"], existing_token=wanted["token"], namespace=wanted["namespace"])
        run = client.create_run_from_pipeline_package(
            wanted["file"],
            arguments={"order": wanted["order"]},
            experiment_name=wanted["experiment"],
            namespace=wanted["namespace"],
            enable_caching=False,
        )
    sys.stdout.write(run.run_id)


def ran(wanted: dict[str, Any]) -> None:
    """Run it here, step by step in processes; prints what was announced."""
    with redirect_stdout(sys.stderr):  # on which the runner shows what steps say
        local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=wanted["folder"])
        build_model(wanted)(order=wanted["order"])
    (judged,) = Path(wanted["folder"]).glob("*/announce/judged")
    sys.stdout.write(judged.read_text())


if __name__ == "__main__":
    commands = {"compile": compiled, "submit": submitted, "local": ran}
    commands[sys.argv[1]](json.load(sys.stdin))
