"""Label Studio's webhooks, as hints: each makes collect_labels look sooner, and carries nothing into the system.

    uvicorn --factory deployments.label_hints:app --host 127.0.0.1 --port 4400

The webhook's address ends in the problem (http://127.0.0.1:4400/handwriting); its header X-Loopline-Secret has the
value of LOOPLINE_LABEL_STUDIO__HINT_SECRET; it needs no payload. Prefect's own POST /api/events can't be that address:
it takes lists of events, each with a resource, and Label Studio sends one object of its own form.
"""

import asyncio
import json
import os
import secrets
from collections.abc import Callable

from fastapi import FastAPI, HTTPException, Request
from pydantic import SecretStr

from loopline.errors import ConfigError
from loopline.local import prefect_environment
from loopline.problems import problem_names
from loopline.terminal import read_settings

HEADER = "X-Loopline-Secret"
QUIET_SECONDS = 60  # between two events of a problem; a look at what is unchanged takes some seconds
MAX_BYTES = 2**20  # a webhook with the payload of one annotation has some 10 kB
# Not TASKS_CREATED: offering tasks, as collect_labels does, would be a hint to offer tasks.
ACTIONS = {"ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"}

Emit = Callable[[str, list[int]], object]  # (problem, ids of the projects that gave hints)


class Hints:
    """Passes the first hint on at once, and those of the next seconds together at their end: none is forgotten."""

    def __init__(self, emit: Emit, *, quiet_seconds: float) -> None:
        self._emit, self._quiet_seconds = emit, quiet_seconds
        self._waiting: dict[str, set[int]] = {}
        self._quiet_until: dict[str, float] = {}

    def take(self, problem: str, projects: set[int]) -> None:
        """Take a hint in the running event loop."""
        if problem in self._waiting:
            self._waiting[problem] |= projects
            return
        self._waiting[problem] = projects
        asyncio.get_running_loop().call_at(self._quiet_until.get(problem, 0), self._pass_on, problem)

    def _pass_on(self, problem: str) -> None:
        self._quiet_until[problem] = asyncio.get_running_loop().time() + self._quiet_seconds
        self._emit(problem, sorted(self._waiting.pop(problem)))


def app() -> FastAPI:
    """Return the endpoint that the settings describe; ConfigError without a secret."""
    settings = read_settings()
    secret = settings.label_studio.hint_secret
    if secret is None:
        raise ConfigError("set LOOPLINE_LABEL_STUDIO__HINT_SECRET to what Label Studio's webhook sends in " + HEADER)
    os.environ.update(prefect_environment(settings))  # which Prefect reads when it is imported
    from prefect.events import emit_event

    def emit(problem: str, projects: list[int]) -> None:
        resource = {"prefect.resource.id": f"loopline.labels.{problem}"}
        emit_event("loopline.labels.hinted", resource=resource, payload={"projects": projects})

    return endpoint(secret, emit)


def endpoint(secret: SecretStr, emit: Emit, *, quiet_seconds: float = QUIET_SECONDS) -> FastAPI:
    """Return an endpoint that emits at most once in so many seconds a problem, whatever it is sent."""
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    hints = Hints(emit, quiet_seconds=quiet_seconds)

    @api.post("/{problem}", status_code=202)
    async def hint(problem: str, request: Request) -> None:
        given = request.headers.get(HEADER, "").encode()
        if not secrets.compare_digest(given, secret.get_secret_value().encode()):
            raise HTTPException(401)
        if problem not in problem_names():
            raise HTTPException(404)
        hints.take(problem, _projects(await _body(request)))

    return api


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise HTTPException(413)
    return body


def _projects(body: bytes) -> set[int]:
    """Return the project that a webhook names, if it does; HTTPException for anything but a webhook about labels."""
    try:
        document = json.loads(body)
        action = document["action"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise HTTPException(422) from None
    if not isinstance(action, str) or action not in ACTIONS:
        raise HTTPException(422)
    project = document.get("project")
    number = project.get("id") if isinstance(project, dict) else None
    return {number} if isinstance(number, int) else set()
