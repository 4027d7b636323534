"""What the orchestrator starts by itself: a worker builds and announces a model, schedules fire, the form explains."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml
from laptops import TINY, Laptop, eventually, steps

from loopline.local import prefect_environment
from loopline.settings import Settings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
READY = "loopline.model.ready"
ORDER = {
    "source": "inbox/tiny",
    "plan": {
        "recipe": {name: yaml.safe_load(value) for name, value in (pair.split("=") for pair in (*TINY, "epochs=2"))}
    },
    "requirements": {"bounds": [{"metric": "cer", "at_most": 100}]},
}


@dataclass
class Orchestrator:
    """A laptop's Prefect server with build-model deployed on it, and a bucket and registry of its own."""

    laptop: Laptop
    api: httpx.Client

    @property
    def bucket(self) -> Path:
        return self.laptop.home / "store" / self.laptop.settings["LOOPLINE_STORE__BUCKET"]

    @property
    def tags(self) -> list[str]:
        registry = self.laptop.settings["LOOPLINE_REGISTRY__URL"]
        return subprocess.check_output(["git", "tag"], cwd=registry, text=True).split()

    def ask(self, path: str, **document: Any) -> Any:
        answer = self.api.post(path, json=document)
        answer.raise_for_status()
        return answer.json()

    def deployment(self, name: str = "build-model") -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/deployments/name/{name}/{name}").raise_for_status().json()
        return found

    def command(self, *arguments: str) -> None:
        settings = Settings(home=self.laptop.home, _env_file=None)
        environment = self.laptop.environment | prefect_environment(settings)
        done = subprocess.run(
            [BIN / arguments[0], *arguments[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def build(self, order: dict[str, Any]) -> dict[str, Any]:
        """Ask for a run as the form does, and let a worker do it; return the run as the server knows it."""
        deployment = self.deployment()
        run = self.ask(f"/deployments/{deployment['id']}/create_flow_run", parameters={"order": order})
        self.work()
        found: dict[str, Any] = self.api.get(f"/flow_runs/{run['id']}").raise_for_status().json()
        return found

    def work(self) -> None:
        """Let a worker do what waits."""
        self.command("prefect", "worker", "start", "--pool", "laptop", "--type", "process", "--run-once")

    def events(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/events/filter", filter={"event": {"name": [name]}})["events"]
        return found

    def emit(self, name: str) -> None:
        """Send an event of the tests' own; whatever was sent before is on the server once this one is."""
        event = {"event": name, "id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat()}
        resource = {"prefect.resource.id": "loopline.tests"}
        self.api.post("/events", json=[event | {"resource": resource, "payload": {}}]).raise_for_status()


@pytest.fixture(scope="module")
def orchestrator(laptop: Laptop, lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orchestrator]:
    registry = tmp_path_factory.mktemp("deployed") / "registry.git"
    alone = replace(laptop, settings={"LOOPLINE_STORE__BUCKET": "deployed", "LOOPLINE_REGISTRY__URL": str(registry)})
    with laptop.api() as api:
        found = Orchestrator(alone, api)
        shutil.copytree(lines, found.bucket / ORDER["source"])
        assert alone.call("deploy").code == 0
        yield found


def test_a_worker_builds_what_the_deployment_was_asked_for_and_announces_it_once(orchestrator: Orchestrator) -> None:
    run = orchestrator.build(ORDER)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    assert "handwriting@v1.0.0" in orchestrator.tags
    (package,) = (orchestrator.bucket / "packages").glob("*.zip")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()

    def announced() -> list[dict[str, Any]]:
        return [event for event in orchestrator.events(READY) if event["payload"]["package_sha256"] == digest]

    (event,) = eventually(announced)
    payload = event["payload"]
    assert event["resource"]["prefect.resource.id"] == "loopline.model.handwriting"
    assert (payload["problem"], payload["version"]) == ("handwriting", "v1.0.0")
    assert payload["package_uri"] == f"s3://deployed/packages/{digest}.zip"
    assert payload["dataset_version"] == "dataset/handwriting/v1"
    assert payload["metrics"].keys() == {"cer", "wer", "line_accuracy"}
    assert [finding["met"] for finding in payload["verdict"]["findings"]] == [True]

    lost = list((orchestrator.bucket / "results").glob("announce-*"))
    assert lost, "without its result, the step runs again"
    for result in lost:
        result.unlink()
    assert orchestrator.build(ORDER)["state_type"] == "COMPLETED"
    assert list((orchestrator.bucket / "results").glob("announce-*")) == lost
    orchestrator.emit("loopline.tests.marker")
    eventually(lambda: orchestrator.events("loopline.tests.marker"))
    assert announced() == [event]
    assert [tag for tag in orchestrator.tags if tag.startswith("handwriting@")] == ["handwriting@v1.0.0"]


def test_a_deployment_with_a_cron_schedule_gets_runs(orchestrator: Orchestrator) -> None:
    nightly = orchestrator.ask(
        "/deployments/",
        name="nightly",
        flow_id=orchestrator.deployment()["flow_id"],
        schedules=[{"schedule": {"cron": "0 3 * * *", "timezone": "UTC"}, "active": True}],
    )
    wanted = {"id": {"any_": [nightly["id"]]}}
    try:
        runs = eventually(lambda: orchestrator.ask("/flow_runs/filter", deployments=wanted))
        assert {run["state_type"] for run in runs} == {"SCHEDULED"}
        assert all(run["expected_start_time"].split("T")[1].startswith("03:00:00") for run in runs)
    finally:
        orchestrator.api.delete(f"/deployments/{nightly['id']}").raise_for_status()


@pytest.mark.parametrize(
    ("name", "some"),
    [
        (
            "build-model",
            {"Order.source", "SplitPlan.key", "FitPlan.recipe", "Requirements.bounds", "Requirement.metric"},
        ),
        ("check-labels", {"CheckPlan.project", "CheckPlan.recipe", "CheckPlan.epochs", "CheckPlan.most"}),
        ("release-model", {"ReleasePlan.version", "ReleasePlan.target", "ReleasePlan.share", "ReleasePlan.shadow"}),
        ("watch-model", {"WatchPlan.least_answers", "WatchPlan.pictures", "Requirements.watch"}),
    ],
)
def test_every_field_of_the_start_form_has_a_title_and_a_description(
    orchestrator: Orchestrator, name: str, some: set[str]
) -> None:
    schema = orchestrator.deployment(name)["parameter_openapi_schema"]
    fields = {
        f"{kind}.{field_name}": field
        for kind, definition in schema["definitions"].items()
        for field_name, field in definition["properties"].items()
    }
    assert some <= set(fields)
    assert [known for known, field in fields.items() if not (field.get("title") and field.get("description"))] == []


def test_deployed_again_there_is_nothing_new_and_no_orphan(orchestrator: Orchestrator) -> None:
    flow = orchestrator.deployment()["flow_id"]
    others = {"old-name": ("flows.old.name", ["loopline"]), "somebody-elses": ("theirs.flow", ["loopline"])}
    for name, (entrypoint, tags) in others.items():
        orchestrator.ask("/deployments/", name=name, flow_id=flow, entrypoint=entrypoint, tags=tags)
    first = orchestrator.laptop.call("deploy")
    assert "build-model/old-name was deleted: prefect.yaml no longer names it" in first.out
    before = {one["id"]: one["name"] for one in orchestrator.ask("/deployments/filter")}
    assert "somebody-elses" in before.values() and "old-name" not in before.values()
    again = orchestrator.laptop.call("deploy")
    assert (again.code, "deleted" in again.out) == (0, False)
    assert {one["id"]: one["name"] for one in orchestrator.ask("/deployments/filter")} == before


def test_a_failed_run_is_taken_up_where_it_failed(orchestrator: Orchestrator) -> None:
    later, source = {**ORDER, "source": "inbox/later"}, orchestrator.bucket / "inbox" / "later"
    failed = orchestrator.build(later)
    assert failed["state_type"] == "FAILED"
    local = orchestrator.laptop.run("inbox/later")
    (name,) = set(re.findall(r"Flow run '([\w-]+)' - Finished in state Failed", local.log))
    shutil.copytree(orchestrator.bucket / str(ORDER["source"]), source)
    done = orchestrator.laptop.call("resume", failed["id"])
    assert done.out.strip() == f"{failed['name']} is scheduled again; a worker takes it up", done.log
    orchestrator.work()
    again = orchestrator.api.get(f"/flow_runs/{failed['id']}").json()
    assert again["state_type"] == "COMPLETED", again["state"]["message"]
    wanted = {
        "package_model": {"version": "Cached", "fit-model": "Completed", "package_model": "Completed"},
        "evaluate": {"train": "Cached", "evaluate": "Completed", "package_model": "Completed"},
    }
    for step, states in wanted.items():
        done = orchestrator.laptop.call("resume", failed["id"], "--from", step)
        assert done.code == 0, done.log
        orchestrator.work()
        found = steps(orchestrator.ask, failed["id"])
        assert {name: found[name] for name in states} == states
    refused = orchestrator.laptop.call("resume", failed["id"], "--from", "dance")
    assert refused.code == 2 and "no step dance was begun there; choose from: accept, ingest" in refused.log
    here = orchestrator.laptop.call("resume", name)
    assert (here.code, here.out.strip()) == (0, f"{name} was run again"), here.log
    for wrong, words in {failed["id"]: "is Completed; only what failed", "nobody": "no run is called nobody"}.items():
        refused = orchestrator.laptop.call("resume", wrong)
        assert (refused.code, words in refused.log) == (2, True), refused.log


@contextmanager
def chat() -> Iterator[tuple[str, list[str]]]:
    """A web address that takes what a chat takes; and what it was told."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-room", told
    server.shutdown()
    server.server_close()


def test_a_chat_hears_of_failed_runs_and_of_models_taken_back(orchestrator: Orchestrator) -> None:
    with chat() as (address, told):
        named = {"LOOPLINE_PREFECT__NOTIFY_URL": address}
        told_of = replace(orchestrator.laptop, settings=orchestrator.laptop.settings | named)
        for _ in range(2):
            done = told_of.call("deploy")
            assert done.code == 0, done.log
        assert address not in done.out + done.log + str(orchestrator.ask("/automations/filter"))
        flow = orchestrator.deployment()["flow_id"]
        for tags in (["loopline"], ["theirs"]):
            run = orchestrator.ask("/flow_runs/", flow_id=flow, name="-".join(tags), tags=tags)
            orchestrator.ask(f"/flow_runs/{run['id']}/set_state", state={"type": "FAILED", "message": "no"}, force=True)
        orchestrator.emit("loopline.model.rolled_back")
        eventually(lambda: len(told) >= 2)
        assert orchestrator.laptop.call("deploy").code == 0
        orchestrator.emit("loopline.model.rolled_back")
        eventually(lambda: len(orchestrator.events("loopline.model.rolled_back")) == 2)
    rolled_back, failed = sorted(told)
    assert rolled_back.startswith("Loopline: a model was rolled back: ")
    assert failed.startswith("Loopline: a run failed: loopline "), "and not that of another team"
