"""build_model on Kubeflow: what its pipeline is told about images, settings and secrets."""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loopline.clients.kubeflow import call
from loopline.environment import as_environment, secret_names
from loopline.errors import ConfigError
from loopline.orders import FitPlan, Order
from loopline.registry import Registry
from loopline.scratch import private_folder
from loopline.settings import LAPTOP, Settings

ROOT = Path(__file__).parents[1]
OURS = ("LOOPLINE_KUBEFLOW__", "LOOPLINE_PREFECT__", "LOOPLINE_LAPTOP__", "LOOPLINE_NUCLIO__")  # no step's business
HANDED_ON = ("LOOPLINE_", "PIP_", "PATH", "HOME")  # to a job on this machine, to which the SDK gives nothing else
IN_A_CONTAINER = {"LOOPLINE_HOME": "/tmp/loopline", "HOME": "/tmp"}  # noqa: S108


def compile_pipeline(settings: Settings, file: Path) -> None:
    """Write the pipeline as IR YAML; ConfigError if Kubeflow could not reach what the settings name."""
    if file.suffix not in (".yaml", ".yml", ".json"):
        raise ConfigError(f"{file} should end in .yaml, as Kubeflow takes no other name")
    call(python(settings), "pipeline", "compile", _wanted(settings) | {"file": str(file.absolute())})


def submit(settings: Settings, order: Order) -> str:
    """Start a run of the pipeline on the server; return its id."""
    kubeflow = settings.kubeflow
    if kubeflow.url is None:
        raise ConfigError("no Kubeflow is known; set LOOPLINE_KUBEFLOW__URL to the address of its pipelines")
    token = kubeflow.token.get_secret_value() if kubeflow.token else None
    with TemporaryDirectory() as folder:
        wanted = _wanted(settings) | {"file": f"{folder}/build-model.yaml", "order": order.model_dump_json()}
        asked = {
            "url": kubeflow.url,
            "token": token,
            "namespace": kubeflow.namespace,
            "experiment": kubeflow.experiment,
        }
        return call(python(settings), "pipeline", "submit", wanted | asked)


def run_here(settings: Settings, order: Order) -> str:
    """Run the pipeline on this machine by KFP's local runner; return what was announced, as JSON."""
    wanted = {"images": {"cpu": "here", "gpu": "here"}, "environment": {}, "secret": "", "retries": 0}
    wanted |= {"gpu_count": 1, "gpu_memory": "16G", "order": order.model_dump_json()}
    with private_folder(settings.folder / "cache" / "kubeflow") as folder:
        return call(python(settings), "pipeline", "local", wanted | {"folder": str(folder)}, **here(settings))


def train(settings: Settings, name: str | None, problem: str, plan: FitPlan, *, nodes: int, local: bool) -> str:
    """Train on several machines, or here in several processes; return the job's name, or the trained model as JSON.

    A step of the pipeline with the same dataset, recipe and seed finds it done.
    """
    versions = Registry(settings.resolved_registry(), settings.resolved_store(), home=settings.folder)
    dataset = versions.dataset(problem, name) if name else next(reversed(versions.datasets(problem)), None)
    if dataset is None:
        raise ConfigError(f"there is no dataset of {problem} yet; `loopline run` or a pipeline makes one")
    order = Order(problem=problem, source=dataset.labeled.raw.source, plan=plan)
    given = {"dataset": dataset.model_dump_json(), "order": order.model_dump_json(), "study": "null"}
    wanted = {"given": json.dumps(given), "nodes": nodes}
    if local:
        # The SDK gives a job nothing of this environment.
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(("LOOPLINE_", "PIP_", "PATH", "HOME"))
        }
        return call(python(settings), "trainer", "local", wanted | {"environment": kept | here(settings)})
    return call(
        python(settings), "trainer", "submit", _wanted(settings) | {"namespace": settings.kubeflow.namespace} | wanted
    )


def here(settings: Settings) -> dict[str, str]:
    """Return the environment in which a component finds its step on this machine."""
    return {"LOOPLINE_PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "LOOPLINE_HOME": str(settings.folder)}


def python(settings: Settings) -> Path:
    """Return the Python where Kubeflow's SDKs are."""
    return settings.kubeflow.python or settings.folder / "kubeflow" / "bin" / "python"


def _wanted(settings: Settings) -> dict[str, Any]:
    kubeflow = settings.kubeflow
    for name, value in {"STORE__ENDPOINT": settings.store.endpoint, "REGISTRY__URL": settings.registry.url}.items():
        if value == LAPTOP:
            raise ConfigError(f"Kubeflow can't reach what is on this laptop alone; set LOOPLINE_{name}")
    for name, image in {"CPU_IMAGE": kubeflow.cpu_image, "GPU_IMAGE": kubeflow.gpu_image}.items():
        if not image:
            raise ConfigError(f"no image is named for the steps; set LOOPLINE_KUBEFLOW__{name}")
    told = {name: value for name, value in as_environment(settings).items() if not name.startswith(OURS)}
    secrets = [name for name in secret_names(settings) if name in told]
    if secrets and not kubeflow.secret:
        raise ConfigError(
            f"{', '.join(secrets)} must not stand in a pipeline; put them into a Kubernetes Secret under these names, "
            "and its name into LOOPLINE_KUBEFLOW__SECRET"
        )
    return {
        "images": {"cpu": kubeflow.cpu_image, "gpu": kubeflow.gpu_image},
        "environment": {name: value for name, value in told.items() if name not in secrets} | IN_A_CONTAINER,
        "secret": kubeflow.secret,
        "secret_keys": secrets,
        "retries": kubeflow.retries,
        "gpu_count": kubeflow.gpu_count,
        "gpu_memory": kubeflow.gpu_memory,
        "namespace": kubeflow.namespace,
    }
