"""A schedule fires: on what has not changed nothing is done, on new labels a model is judged, and told once."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from laptops import eventually, steps
from systems import HELD_BACK, READY, RECIPE, SECONDS, System

from loopline import commands
from loopline.problems.handwriting.samples import write_samples

NEW = 200  # labels
SOON = timedelta(seconds=12)
EDGES = {"accept", "ingest", "label_sync", "opponent", "fit-model"}  # never cached: what they look at may have changed


def builds(system: System) -> list[dict[str, Any]]:
    deployment = system.api.get("/deployments/name/build-model/build-model").json()["id"]
    found: list[dict[str, Any]] = system.ask("/flow_runs/filter", deployments={"id": {"any_": [deployment]}})
    return found


def fired(system: System) -> dict[str, Any]:
    """Have a schedule of build-model fire; return the first run when it has ended, and no other is under way."""
    deployment = system.api.get("/deployments/name/build-model/build-model").json()["id"]

    def runs() -> list[dict[str, Any]]:
        return [run for run in builds(system) if run["auto_scheduled"] and run["end_time"]]

    before = {run["id"] for run in runs()}
    bounds = [{"metric": "cer", "at_most": 100}]
    order = {"source": "inbox/lines", "plan": {"recipe": RECIPE | {"epochs": 8}}, "requirements": {"bounds": bounds}}
    rule = {"interval": 60, "anchor_date": (datetime.now(UTC) + SOON).isoformat()}
    planned = system.plan(deployment, {"schedule": rule, "active": True, "parameters": {"order": order}})
    (run, *_) = eventually(lambda: [run for run in runs() if run["id"] not in before], seconds=SECONDS)
    system.api.delete(f"/deployments/{deployment}/schedules/{planned}").raise_for_status()
    eventually(lambda: all(run["end_time"] for run in builds(system)), seconds=SECONDS)
    return run


def events(system: System) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = system.ask("/events/filter", filter={"event": {"name": [READY, HELD_BACK]}})["events"]
    return found


def announced(system: System) -> list[dict[str, Any]]:
    return [event["payload"] for event in events(system)]


def told_by(system: System, run: dict[str, Any]) -> list[dict[str, Any]]:
    """What this run announced; others' events may arrive meanwhile."""
    ours = f"prefect.flow-run.{run['id']}"
    return [one for one in events(system) if ours in [other["prefect.resource.id"] for other in one["related"]]]


def versions(system: System) -> list[str]:
    return [model.judged.version for model in commands.registry(system.settings).models("handwriting")]


def add_lines(inbox: Path, more: Path) -> None:
    """Put more labelled training lines beside those that are there."""
    write_samples(more, seed=9, counts={"train": NEW, "validation": 1, "test": 1})
    labels, splits = (json.loads((inbox / name).read_text()) for name in ("labels.json", "splits.json"))
    theirs = json.loads((more / "labels.json").read_text())
    for key in json.loads((more / "splits.json").read_text())["train"]:
        name = f"images/new-{Path(key).name}"
        shutil.copy(more / key, inbox / name)
        labels[name] = theirs[key]
        splits["train"].append(name)
    (inbox / "labels.json").write_text(json.dumps(labels))
    (inbox / "splits.json").write_text(json.dumps(splits))


@pytest.fixture(scope="module")
def built(system: System) -> System:
    version = system.build("epochs=8").version
    eventually(lambda: [one for one in announced(system) if one["version"] == version])
    eventually(lambda: all(run["end_time"] for run in builds(system)), seconds=SECONDS)  # others' events asked for some
    return system


def test_on_unchanged_data_nothing_is_done_and_nobody_told(built: System) -> None:
    known = versions(built)
    run = fired(built)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    states = steps(built.ask, run["id"])
    assert {name for name, state in states.items() if state != "Cached"} <= EDGES
    assert (versions(built), told_by(built, run)) == (known, [])


def test_on_new_labels_a_model_is_judged_and_told_once(built: System, tmp_path: Path) -> None:
    known = versions(built)
    add_lines(built.laptop.home / "store" / "loopline" / "inbox" / "lines", tmp_path / "more")
    run = fired(built)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    newest = commands.registry(built.settings).models("handwriting")[-1].judged
    assert versions(built) == [*known, newest.version]
    assert newest.packaged.report.model.dataset.split_sizes["train"] == 500 + NEW
    told = eventually(lambda: [one for one in announced(built) if one["version"] == newest.version])
    assert [one["verdict"] for one in told] == [newest.verdict.model_dump(mode="json")]
    assert len(told_by(built, run)) == 1
