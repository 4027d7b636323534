"""build_model on Kubeflow: compiled, run by KFP's local runner, and trained by the Trainer's local backend.

Kubeflow's SDKs are in an environment of their own, which is made here; it takes seconds, torch for the Trainer more.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from kubeflow_server import kubeflow_server
from laptops import TINY, Laptop

from loopline.clients.kubeflow import REQUIREMENTS
from loopline.contracts import ModelReady
from loopline.settings import Settings

ROOT = Path(__file__).parents[2]
CANARY = "canary-5ea1ed-in-no-pipeline"
SETTINGS = {
    "LOOPLINE_KUBEFLOW__CPU_IMAGE": "registry.example.com/loopline-cpu:v1",
    "LOOPLINE_KUBEFLOW__GPU_IMAGE": "registry.example.com/loopline-gpu:v1",
    "LOOPLINE_KUBEFLOW__SECRET": "loopline",
    "LOOPLINE_KUBEFLOW__NAMESPACE": "lines",
    "LOOPLINE_KUBEFLOW__EXPERIMENT": "lines",
    "LOOPLINE_STORE__ENDPOINT": "aws",
    "LOOPLINE_STORE__ACCESS_KEY": CANARY,
    "LOOPLINE_STORE__SECRET_KEY": CANARY,
    "LOOPLINE_REGISTRY__URL": "https://git.example.com/registry.git",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python where Kubeflow's SDKs are."""
    folder = tmp_path_factory.mktemp("kubeflow")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    uv = [ROOT / ".ci" / "uv", sys.prefix, "pip", "install", "--quiet", "--python", folder]
    subprocess.run([*uv, "--requirement", REQUIREMENTS], check=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def apart(elsewhere: Laptop, lines: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """The laptop with a bucket of its own, in which the lines are."""
    found = elsewhere.apart(tmp_path_factory.mktemp("registry"), bucket="kubeflow")
    yield replace(found, settings=found.settings | {"LOOPLINE_KUBEFLOW__PYTHON": str(python)})


def test_the_pipeline_run_locally_makes_the_package_that_build_model_makes(
    elsewhere: Laptop, apart: Laptop, lines: Path, tmp_path: Path
) -> None:
    shutil.copytree(lines, elsewhere.home / "store" / "kubeflow" / "inbox" / "lines")
    values = [part for value in (*TINY, "epochs=2") for part in ("--set", value)]
    (tmp_path / "any.yaml").write_text("bounds: [{metric: cer, at_most: 100}]\n")
    asked = ["--source", "inbox/lines", "--requirements", tmp_path / "any.yaml", *values]
    piped = apart.call("kubeflow", "submit", "--local", *asked)
    assert piped.code == 0, piped.log
    judged = ModelReady.model_validate_json(piped.out.strip().splitlines()[-1])
    flown = elsewhere.run(lines)
    assert flown.code == 0, flown.log
    assert flown.judged["packaged"]["archive"]["sha256"] == judged.packaged.archive.sha256
    report = judged.packaged.report
    given = {"dataset": report.model.dataset.model_dump_json()}
    again = alone(apart, "baseline", given)
    assert "baseline: computed before" in again.stderr
    assert json.loads(again.stdout)["metrics"] == report.baseline_metrics


def test_the_training_job_learns_in_two_processes(apart: Laptop) -> None:
    learnt = [part for value in (*TINY, "epochs=2") for part in ("--set", value)]
    trained = apart.call("kubeflow", "train", "--nodes", "2", "--local", "--seed", "2", *learnt)
    assert trained.code == 0, trained.log
    model = json.loads(trained.out)
    assert model["seed"] == 2 and model["epochs"] == 2 and model["device"].startswith("2 ")


def test_the_compiled_pipeline_asks_for_a_gpu_where_it_learns_and_holds_no_secret(python: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"LOOPLINE_KUBEFLOW__PYTHON": str(python)}
    done = Laptop(tmp_path / "home", settings).call("kubeflow", "compile", tmp_path / "build-model.yaml")
    assert done.code == 0, done.log
    text = (tmp_path / "build-model.yaml").read_text()
    assert CANARY not in text
    pipeline, platform = yaml.safe_load_all(text)
    executors = {
        name.removeprefix("exec-"): one["container"] for name, one in pipeline["deploymentSpec"]["executors"].items()
    }
    asking = {name for name, one in executors.items() if "accelerator" in one.get("resources", {})}
    assert asking == {"tune", "train", "evaluate"}
    accelerator = executors["train"]["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
    assert executors["train"]["image"].endswith("loopline-gpu:v1") and executors["gate"]["image"].endswith("cpu:v1")
    told = {one["name"]: one["value"] for one in executors["train"]["env"]}
    assert told["LOOPLINE_REGISTRY__URL"] == settings["LOOPLINE_REGISTRY__URL"]
    secret = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]["secretAsEnv"]
    assert {one["envVar"] for key in secret for one in key["keyToEnv"]} == {
        "LOOPLINE_STORE__ACCESS_KEY",
        "LOOPLINE_STORE__SECRET_KEY",
    }
    tasks = pipeline["root"]["dag"]["tasks"].values()
    assert all(task["retryPolicy"]["maxRetryCount"] == 3 for task in tasks)
    assert not any(task["cachingOptions"].get("enableCache") for task in tasks), "steps look into the store themselves"


def test_a_run_is_asked_of_a_server_that_speaks_the_pipelines_api(python: Path, tmp_path: Path) -> None:
    with kubeflow_server() as server:
        asked = {"LOOPLINE_KUBEFLOW__URL": server.url, "LOOPLINE_KUBEFLOW__TOKEN": "ours"}
        laptop = Laptop(tmp_path / "home", SETTINGS | asked | {"LOOPLINE_KUBEFLOW__PYTHON": str(python)})
        done = laptop.call("kubeflow", "submit", "--source", "inbox/lines")
        assert done.code == 0 and "run run-17 has begun" in done.out, done.log
        headers, body = server.posted()
    assert headers["authorization"] == "Bearer ours" and body["experiment_id"] == "e-1"
    assert json.loads(body["runtime_config"]["parameters"]["order"])["source"] == "inbox/lines"
    assert "exec-train" in json.dumps(body["pipeline_spec"]) and CANARY not in json.dumps(body)
    silent = laptop.call("kubeflow", "submit", "--source", "inbox/lines")
    assert silent.code != 0 and "Kubeflow's kfp could not submit this" in silent.log


def test_a_training_job_is_asked_of_a_server_that_speaks_kubernetes_api(apart: Laptop, tmp_path: Path) -> None:
    store = Settings(home=apart.home, _env_file=None).resolved_store()  # type: ignore[call-arg]
    assert store.access_key and store.secret_key
    keys = {"ACCESS_KEY": store.access_key, "SECRET_KEY": store.secret_key.get_secret_value()}
    reached = {f"LOOPLINE_STORE__{name}": value for name, value in {"ENDPOINT": store.endpoint, **keys}.items()}
    with kubeflow_server() as server:
        laptop = replace(apart, settings=SETTINGS | apart.settings | reached)
        laptop.settings["KUBECONFIG"] = str(server.kubeconfig(tmp_path))
        done = laptop.call("kubeflow", "train", "--nodes", "3")
        assert done.code == 0 and " has begun" in done.out, done.log
        _, body = server.posted()
    spec = body["spec"]
    assert (spec["trainer"]["numNodes"], spec["trainer"]["image"]) == (3, SETTINGS["LOOPLINE_KUBEFLOW__GPU_IMAGE"])
    assert spec["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == 1
    assert keys["SECRET_KEY"] not in json.dumps(body)
    assert '"key": "LOOPLINE_STORE__SECRET_KEY"' in json.dumps(body)


def alone(laptop: Laptop, step: str, given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a step as a component does."""
    command = [sys.executable, "-m", "tasks.alone", step]
    done = subprocess.run(
        command, env=laptop.environment, cwd=ROOT, input=json.dumps(given), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"LOOPLINE_KUBEFLOW__PYTHON": sys.executable},
            "kfp is not in .*; make an environment for it: python3 -m venv",
        ),
        (
            {"LOOPLINE_STORE__ENDPOINT": "laptop"},
            "can't reach what is on this laptop alone; set LOOPLINE_STORE__ENDPOINT",
        ),
        ({"LOOPLINE_KUBEFLOW__GPU_IMAGE": ""}, "no image is named for the steps; set LOOPLINE_KUBEFLOW__GPU_IMAGE"),
        ({"LOOPLINE_STORE__SECRET_KEY": CANARY}, "LOOPLINE_STORE__SECRET_KEY must not stand in a pipeline"),
    ],
)
def test_what_is_missing_is_said(changed: dict[str, str], sentence: str, tmp_path: Path) -> None:
    settings = {
        "LOOPLINE_KUBEFLOW__PYTHON": sys.executable,
        "LOOPLINE_KUBEFLOW__CPU_IMAGE": "cpu",
        "LOOPLINE_KUBEFLOW__GPU_IMAGE": "gpu",
        "LOOPLINE_STORE__ENDPOINT": "aws",
        "LOOPLINE_REGISTRY__URL": "https://git.example.com/registry.git",
    }
    done = Laptop(tmp_path, settings | changed).call("kubeflow", "compile", tmp_path / "build-model.yaml")
    assert done.code != 0
    assert re.search(sentence, done.log.replace("\n", " ")), done.log
    assert CANARY not in done.log
