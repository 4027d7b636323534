"""A model in service is watched by a worker: what its users send drifts away, and a new model is asked for."""

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from laptops import eventually
from PIL import Image, ImageOps
from systems import SECONDS, System

from loopline import commands
from loopline.problems.handwriting.samples import write_samples
from loopline.spool import Spool

DRIFTING = "loopline.model.drifting"
ANSWERS = 120  # of a window
MOST_BYTES = 2**28


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What users send who write as the test lines were written."""
    folder = tmp_path_factory.mktemp("users") / "lines"
    write_samples(folder, counts={"train": 1, "validation": 1, "test": 3 * ANSWERS}, seed=77)
    return sorted((folder / "images").glob("*.png"))


def serve(system: System, pictures: list[Path], folder: Path, *, inverted: bool = False) -> None:
    """Have pictures answered over HTTP, and the answers handed on as the service does, without its minute's wait."""
    version = system.stages()["laptop"]
    models = commands.registry(system.settings).models("handwriting")
    package = next(one.judged.packaged.archive.sha256 for one in models if one.judged.version == version)
    spool = Spool(folder / "spool", commands.store(system.settings), MOST_BYTES, package_sha256=package)
    spool.start()
    with system.client() as client:
        for path in pictures:
            image = Image.open(path).convert("L")
            image = ImageOps.invert(image) if inverted else image
            body, begun = io.BytesIO(), time.monotonic()
            image.save(body, "PNG")
            reading = client.read(body.getvalue())
            spool.keep_answer(reading, image, key_hash="", at=datetime.now(UTC))
            spool.note_request(200, time.monotonic() - begun, at=datetime.now(UTC))
    spool.stop(60)


def watched(system: System) -> dict[str, Any]:
    """Have the worker look, as its schedule does; the run, once it has ended."""
    deployment = system.api.get("/deployments/name/watch-model/watch-model").json()["id"]
    plan = {"plan": {"problem": "handwriting", "least_answers": 100}}
    run = system.ask(f"/deployments/{deployment}/create_flow_run", parameters=plan)["id"]
    eventually(lambda: system.api.get(f"/flow_runs/{run}").json()["end_time"], seconds=SECONDS)
    found: dict[str, Any] = system.api.get(f"/flow_runs/{run}").json()
    return found


def artifacts(system: System, run: str) -> dict[str, str]:
    found = system.ask("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}})
    return {one["key"]: one["data"] for one in found if one["key"]}


def builds(system: System) -> list[dict[str, Any]]:
    deployment = system.api.get("/deployments/name/build-model/build-model").json()["id"]
    found: list[dict[str, Any]] = system.ask("/flow_runs/filter", deployments={"id": {"any_": [deployment]}})
    return [run for run in found if run["created_by"] and run["created_by"]["type"] == "AUTOMATION"]


@pytest.fixture(scope="module")
def served(system: System) -> Iterator[System]:
    """The system, with a model in service."""
    if "laptop" not in system.stages():
        system.build("epochs=8")
        system.settle(1)
    yield system


def test_traffic_as_it_was_expected_is_shown_and_wakes_nobody(
    served: System, pictures: list[Path], tmp_path: Path
) -> None:
    serve(served, pictures[:ANSWERS], tmp_path)
    run = watched(served)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    shown = artifacts(served, run["id"])
    assert f"{ANSWERS} answers" in shown["watch"] and "drifting" not in shown["watch"]
    page = served.laptop.home / "store" / shown["watch-page"].partition("s3://")[2].partition(")")[0]
    assert "keeps its bounds" in page.read_text()
    assert watched(served)["state_type"] == "COMPLETED", "with nothing new to look at"
    assert not builds(served)


def test_inverted_ink_asks_for_a_new_model(served: System, pictures: list[Path], tmp_path: Path) -> None:
    version = served.stages()["laptop"]
    for number in (1, 2):
        assert not served.told(DRIFTING, version), "one window may be chance"
        serve(served, pictures[number * ANSWERS : (number + 1) * ANSWERS], tmp_path, inverted=True)
        assert watched(served)["state_type"] == "COMPLETED"
    (event,) = eventually(lambda: served.told(DRIFTING, version))
    assert any(reason.startswith("drift_ink is 1") for reason in event["payload"]["reasons"])
    (run,) = eventually(lambda: builds(served))
    assert run["parameters"]["order"] == {
        "problem": "handwriting",
        "source": "inbox/lines",
        "labels": "labels.json",
    }
    state = {"type": "CANCELLED"}
    served.ask(f"/flow_runs/{run['id']}/set_state", state=state, force=True)  # that it builds is shown elsewhere
