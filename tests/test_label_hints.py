"""Hints from a labelling server: only who knows the secret can give one, and no more comes of it than one event."""

import json
import runpy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from loopline.errors import ConfigError

LABEL_HINTS = runpy.run_path(str(Path(__file__).parents[1] / "deployments" / "label_hints.py"))
HEADER, MAX_BYTES, app, endpoint = (LABEL_HINTS[name] for name in ("HEADER", "MAX_BYTES", "app", "endpoint"))
SECRET = "correct horse battery staple"
KNOWN = {HEADER: SECRET}
SAID = {"action": "ANNOTATION_CREATED", "project": {"id": 3, "title": "lines"}}

Emitted = list[tuple[str, list[int]]]


@contextmanager
def served(*, quiet_seconds: float) -> Iterator[tuple[httpx.Client, Emitted]]:
    """Serve the endpoint; give a client, and what it emitted."""
    emitted: Emitted = []
    api = endpoint(SecretStr(SECRET), lambda *hint: emitted.append(hint), quiet_seconds=quiet_seconds)
    server = uvicorn.Server(uvicorn.Config(api, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client, emitted
    finally:
        server.should_exit = True
        thread.join()


def eventually(look: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def quiet() -> Iterator[tuple[httpx.Client, Emitted]]:
    with served(quiet_seconds=3600) as found:
        yield found


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, json.dumps(SAID), 401),
        ({HEADER: ""}, json.dumps(SAID), 401),
        ({HEADER: SECRET[:-1]}, json.dumps(SAID), 401),
        ({HEADER: SECRET + "x"}, json.dumps(SAID), 401),
        ({HEADER: b"\xff\xfe"}, json.dumps(SAID), 401),
        ({"Authorization": f"Bearer {SECRET}"}, json.dumps(SAID), 401),
        ({}, "x" * (MAX_BYTES + 1), 401),
        (KNOWN, json.dumps(SAID) + " " * MAX_BYTES, 413),
        (KNOWN, iter([b"x" * 2**16] * 64), 413),
        (KNOWN, "", 422),
        (KNOWN, "nonsense", 422),
        (KNOWN, b"\xff\xfe\x00", 422),
        (KNOWN, "[" * 100_000, 422),
        (KNOWN, "[1, 2]", 422),
        (KNOWN, "null", 422),
        (KNOWN, '{"action": 7}', 422),
        (KNOWN, '{"action": ["ANNOTATION_CREATED"]}', 422),
        (KNOWN, '{"action": "DROP_EVERYTHING"}', 422),
        (KNOWN, '{"action": "TASKS_CREATED"}', 422),
    ],
    ids=lambda value: None if isinstance(value, Iterator) else ascii(value)[:40],
)
def test_what_is_no_hint_leads_to_no_event(
    quiet: tuple[httpx.Client, Emitted], headers: Any, body: Any, status: int
) -> None:
    client, emitted = quiet
    assert client.post("/handwriting", headers=headers, content=body).status_code == status
    assert emitted == []


def test_an_unknown_problem_or_another_way_of_asking_is_refused(quiet: tuple[httpx.Client, Emitted]) -> None:
    client, emitted = quiet
    assert client.post("/other", headers=KNOWN, json=SAID).status_code == 404
    assert client.get("/handwriting", headers=KNOWN).status_code == 405
    assert client.get("/openapi.json").status_code in (404, 405)
    assert emitted == []


def test_many_hints_are_one_event() -> None:
    with served(quiet_seconds=3600) as (client, emitted):
        for _ in range(20):
            assert client.post("/handwriting", headers=KNOWN, json=SAID).status_code == 202
    assert emitted == [("handwriting", [3])]


def test_a_hint_that_came_too_soon_is_told_later() -> None:
    with served(quiet_seconds=2) as (client, emitted):
        for project in (3, 5, 4, 4):
            client.post("/handwriting", headers=KNOWN, json={**SAID, "project": {"id": project}})
        eventually(lambda: len(emitted) > 1)
    assert emitted == [("handwriting", [3]), ("handwriting", [4, 5])]


@pytest.mark.parametrize("project", [None, "3", [3], {"id": "3"}, {"id": None}, {}])
def test_a_hint_without_a_project_is_one(project: Any) -> None:
    with served(quiet_seconds=3600) as (client, emitted):
        assert client.post("/handwriting", headers=KNOWN, json={**SAID, "project": project}).status_code == 202
    assert emitted == [("handwriting", [])]


def test_without_a_secret_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOOPLINE_LABEL_STUDIO__HINT_SECRET", raising=False)
    with pytest.raises(ConfigError, match="LOOPLINE_LABEL_STUDIO__HINT_SECRET"):
        app()
    monkeypatch.setenv("LOOPLINE_LABEL_STUDIO__HINT_SECRET", "too short")
    with pytest.raises(ConfigError, match=r"LOOPLINE_LABEL_STUDIO__HINT_SECRET: .* at least 16") as refused:
        app()
    assert "too short" not in str(refused.value)
