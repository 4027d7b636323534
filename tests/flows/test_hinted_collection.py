"""A label that someone gives in a real Label Studio makes a real Prefect look: webhook, hint, event, run."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from label_studio_sdk.client import LabelStudio as Sdk
from laptops import Laptop, eventually

from loopline.settings import Settings

ROOT = Path(__file__).parents[2]
HEADER, SECRET = "X-Loopline-Secret", "correct horse battery staple"
HINTED = "loopline.labels.hinted"
CONFIG = '<View><Text name="line" value="$line"/><TextArea name="text" toName="line"/></View>'


@pytest.fixture
def hints(laptop: Laptop) -> Iterator[str]:
    """The endpoint as its own docstring starts it; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    command = ["-m", "uvicorn", "--factory", "deployments.label_hints:app", "--host", "127.0.0.1", "--port", str(port)]
    environment = laptop.environment | {"LOOPLINE_LABEL_STUDIO__HINT_SECRET": SECRET}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)
    try:
        eventually(lambda: listens(port))
        yield f"http://127.0.0.1:{port}/handwriting"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def prefect(laptop: Laptop) -> Iterator[httpx.Client]:
    """A client of the Prefect server, on which collect-labels is deployed."""
    done = laptop.call("deploy")
    assert done.code == 0, done.out + done.log
    with laptop.api() as client:
        yield client


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def label(settings: Settings, webhook: str) -> int:
    """Label one task of a new project that has the webhook; return the project's id."""
    access = settings.resolved_label_studio()
    assert access.api_key
    sdk = Sdk(base_url=access.url, api_key=access.api_key.get_secret_value(), timeout=60)
    project = int(sdk.projects.create(title="hints", label_config=CONFIG).id)
    sdk.webhooks.create(
        url=webhook, project=project, send_payload=True, send_for_all_actions=True, headers={HEADER: SECRET}
    )
    sdk.projects.import_tasks(id=project, request=[{"data": {"line": "one"}}])
    (task,) = sdk.tasks.list(project=project)
    value = {"text": ["one"]}
    result = [{"from_name": "text", "to_name": "line", "type": "textarea", "value": value}]
    sdk.annotations.create(id=task.id, result=result)
    return project


def test_a_label_makes_the_orchestrator_look(label_studio: Settings, hints: str, prefect: httpx.Client) -> None:
    project = label(label_studio, hints)

    def ask(path: str, **asked: Any) -> Any:
        return prefect.post(path, json=asked).raise_for_status().json()

    (event,) = eventually(lambda: ask("/events/filter", filter={"event": {"name": [HINTED]}})["events"])
    assert event["resource"] == {"prefect.resource.id": "loopline.labels.handwriting"}
    assert event["payload"] == {"projects": [project]}
    deployment = prefect.get("/deployments/name/collect-labels/collect-labels").raise_for_status().json()
    wanted = {"id": {"any_": [deployment["id"]]}}
    (run,) = eventually(lambda: ask("/flow_runs/filter", deployments=wanted))
    assert run["created_by"]["type"] == "AUTOMATION"
    assert run["parameters"] == {"plan": {"source": "inbox/samples"}}
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
