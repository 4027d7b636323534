"""The one address of a laptop's readers: requests go to the version in service, a share of them to the one on trial.

Nobody pays for a trial: where the version on trial fails, the one in service answers instead. What one of them read the
other reads too, and keeps nothing of it, so that the two can be compared. A file says who answers; it is looked at with
each request, so that a release or a rollback counts from the next one.
"""

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loopline.answers import Reading
from loopline.laptop_addresses import LaptopAddresses
from loopline.routes import HEALTH, Answered, Pair, Routes, pairs_path, read_routes, routes_path

MOST_BYTES = 64 * 2**20  # of one request: more than any reader takes
TIMEOUT_SECONDS = 60.0  # a reader gives up before
NOT_KEPT = {"x-loopline-capture": "off"}
# Of one connection, or said anew of the body that is passed on.
HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}
METHODS = ["GET", "POST", "DELETE", "OPTIONS", "PUT", "PATCH", "HEAD"]


class Router:
    """Passes requests on; a colour is looked up in the laptop's addresses when the routes change."""

    def __init__(self, home: Path) -> None:
        self._home, self._changed_ns = home, -1
        self._routes: Routes | None = None
        self._urls: dict[str, str] = {}
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False, limits=httpx.Limits())
        self._behind: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        self._look()
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": "the request is too large"}, 413)
        routes = self._routes
        if routes is None:
            return _passed_on((None, 0.0))
        if routes.trial and request.url.path == "/read" and _on_trial(routes):
            return await self._compare(routes.trial, routes, request, bytes(body))
        return _passed_on(await self._ask(routes.live, request, bytes(body)))

    async def _compare(self, trial: str, routes: Routes, request: Request, body: bytes) -> Response:
        first, second = (routes.live, trial) if routes.shadow else (trial, routes.live)
        answered = await self._ask(first, request, body)
        if first == trial and Answered(status=_status(answered), seconds=0).failed:
            instead = await self._ask(second, request, body)
            self._write(trial, {first: answered, second: instead})
            return _passed_on(instead)
        task = asyncio.create_task(self._read_behind(trial, second, request, body, {first: answered}))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)
        return _passed_on(answered)

    async def _read_behind(self, trial: str, colour: str, request: Request, body: bytes, found: dict[str, Any]) -> None:
        self._write(trial, found | {colour: await self._ask(colour, request, body, more=NOT_KEPT)})

    async def _ask(
        self, colour: str, request: Request, body: bytes, *, more: dict[str, str] | None = None
    ) -> tuple[httpx.Response | None, float]:
        headers = {name: value for name, value in request.headers.items() if name not in HOP} | (more or {})
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        start = time.perf_counter()
        response = None
        with suppress(httpx.HTTPError, KeyError):
            url = self._urls[colour] + path
            response = await self._http.request(request.method, url, headers=headers, content=body)
        return response, time.perf_counter() - start

    def _look(self) -> None:
        """Read the routes again if they were written since."""
        with suppress(FileNotFoundError):
            changed_ns = routes_path(self._home).stat().st_mtime_ns
            if changed_ns != self._changed_ns:
                self._routes = read_routes(self._home) or self._routes
                readers = LaptopAddresses.read(self._home).readers
                self._urls = {colour: standing.url for colour, standing in readers.items()}
                self._changed_ns = changed_ns

    def _write(self, trial: str, answers: dict[str, tuple[httpx.Response | None, float]]) -> None:
        texts, said = set(), {}
        for colour, answer in answers.items():
            reading = _reading(answer[0])
            texts.add(reading.text if reading else None)
            confidence = reading.confidence if reading else None
            said[colour] = Answered(status=_status(answer), seconds=answer[1], confidence=confidence)
        (live,) = (one for colour, one in said.items() if colour != trial)
        pair = Pair(trial=said[trial], live=live, agree=None if None in texts else len(texts) == 1)
        with pairs_path(self._home).open("a") as file:
            file.write(pair.model_dump_json() + "\n")


async def _here(_: Request) -> Response:
    return Response(status_code=204)


def _on_trial(routes: Routes) -> bool:
    in_time = routes.until is None or datetime.now(UTC) < routes.until
    return in_time and random.random() < routes.share  # noqa: S311  # no secret


def _status(answer: tuple[httpx.Response | None, float]) -> int:
    return answer[0].status_code if answer[0] is not None else 0


def _reading(response: httpx.Response | None) -> Reading | None:
    with suppress(ValidationError):
        return Reading.model_validate_json(response.content) if response is not None and response.is_success else None
    return None


def _passed_on(answer: tuple[httpx.Response | None, float]) -> Response:
    response = answer[0]
    if response is None:
        return JSONResponse({"error": "the model does not answer; ask again a little later"}, 503, {"Retry-After": "2"})
    kept = {name: value for name, value in response.headers.items() if name.lower() not in HOP}
    return Response(response.content, response.status_code, kept)


class Place(BaseSettings):
    """Where it listens, and whose readers they are."""

    loopline_home: Path
    router_port: int


if __name__ == "__main__":
    place = Place()  # from the environment
    everything = Route("/{path:path}", Router(place.loopline_home).answer, methods=METHODS)
    app = Starlette(routes=[Route(HEALTH, _here), everything])
    uvicorn.run(app, host="127.0.0.1", port=place.router_port, log_level="warning", access_log=False)
