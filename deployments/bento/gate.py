"""Who may come in, how fast, with how much and for how long; and what is written down of each visit."""

import asyncio
import logging
import math
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gauges import Gauges
from loopline.keys import known
from loopline.settings import ServiceSettings
from rates import Rates
from refusal import Refused, said

log = logging.getLogger("loopline.visits")

HEALTH = {"/livez", "/readyz", "/healthz"}  # BentoML's own; they say nothing but a status
PICTURES = {"/read", "/read_batch"}
PATHS = PICTURES | {"/correct", "/model", "/metrics", "/openapi.json"}
PREDICTION = "/predictions/"
SMALL_BYTES = 2**16  # of a body that is no picture: the longest correction, escaped, has half of it
MOST_HELD = 8  # full bodies that one process holds at the same time
SHORT_KEY = 8  # hex digits of a key's hash that tell keys apart in a log
SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


@dataclass
class Visit:
    """One request on its way through."""

    id: str
    path: str
    most_bytes: int
    key: str | None = None  # the hash of the caller's
    read_bytes: int = 0
    ended: bool = False  # its body
    status: int = 0
    start: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class Rules:
    """What the gate goes by."""

    settings: ServiceSettings
    rates: Rates
    gauges: Gauges

    def charge(self, visit: Visit, count: int) -> None:
        """Take so many requests out of the bucket of the caller's key; Refused with 429 if it has not so many."""
        wait_seconds = self.rates.take(visit.key, count) if visit.key else 0
        if wait_seconds:
            sentence = f"this key may ask {self.settings.requests_per_minute} times a minute"
            raise Refused(429, sentence, retry_seconds=math.ceil(wait_seconds))


class Gate:
    """Wraps all that BentoML serves, its own pages too, so that nothing can be reached around it."""

    def __init__(self, app: ASGIApp, *, api: FastAPI) -> None:
        self._app, self._api, self._held_bytes = app, api, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in HEALTH:
            await self._app(scope, receive, _hardened(send))
        else:
            await self._inside(scope, receive, _hardened(send))

    @cached_property
    def _rules(self) -> Rules:
        rules: Rules = self._api.state.rules
        return rules

    @cached_property
    def _inside(self) -> ASGIApp:
        origins = self._rules.settings.origins
        if not origins:
            return self._attend
        return CORSMiddleware(
            self._attend,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-Api-Key", "X-Loopline-Capture"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )

    async def _attend(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._visit(scope)
        take, tell = self._taking(visit, receive), _telling(visit, send, Headers(scope=scope))
        try:
            async with asyncio.timeout(self._rules.settings.timeout_seconds) as clock:
                self._admit(visit, Request(scope))
                await self._app(scope, take, tell)
        except Refused as refused:
            await said(Request(scope), refused)(scope, receive, tell)
        except TimeoutError:
            if not clock.expired() or visit.status:
                raise
            await said(Request(scope), self._too_late(visit))(scope, receive, tell)
        finally:
            self._held_bytes -= visit.read_bytes
            self._write_down(visit, scope["method"])

    def _visit(self, scope: Scope) -> Visit:
        path = scope["path"]
        known_path = path if path in PATHS else PREDICTION if path.startswith(PREDICTION) else "other"
        most_bytes = self._rules.settings.most_mb * 1_000_000 if path in PICTURES else SMALL_BYTES
        scope.setdefault("state", {})["visit"] = visit = Visit(secrets.token_hex(8), known_path, most_bytes)
        return visit

    def _admit(self, visit: Visit, request: Request) -> None:
        settings = self._rules.settings
        if settings.hashes:
            visit.key = known(_key(request.headers), settings.hashes)
            if visit.key is None:
                raise Refused(
                    401, "send your key in the header Authorization: Bearer, or X-Api-Key", WWW_Authenticate="Bearer"
                )
            self._rules.charge(visit, 1)
        if visit.path == "other":
            raise Refused(404, "there is nothing here; GET /openapi.json tells what there is")
        if int(request.headers.get("content-length", 0)) > visit.most_bytes:
            raise self._too_large(visit)

    def _taking(self, visit: Visit, receive: Receive) -> Receive:
        async def take() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                visit.read_bytes, self._held_bytes = visit.read_bytes + size, self._held_bytes + size
                visit.ended = not message.get("more_body", False)
                if visit.read_bytes > visit.most_bytes:
                    raise self._too_large(visit)
                if self._held_bytes > MOST_HELD * self._rules.settings.most_mb * 1_000_000:
                    raise Refused(503, "too much is being sent at once; ask again a little later", retry_seconds=1)
            return message

        return take

    def _too_large(self, visit: Visit) -> Refused:
        return Refused(413, f"a request here may have {visit.most_bytes / 1_000_000:g} MB")

    def _too_late(self, visit: Visit) -> Refused:
        seconds = f"{self._rules.settings.timeout_seconds:g} s"
        if visit.ended:
            return Refused(504, f"this took longer than {seconds}; ask again a little later")
        return Refused(408, f"the request did not arrive within {seconds}")

    def _write_down(self, visit: Visit, method: str) -> None:
        seconds = time.perf_counter() - visit.start
        self._rules.gauges.requests.labels(visit.path, visit.status).inc()
        self._rules.gauges.request_seconds.labels(visit.path).observe(seconds)
        if visit.path in PICTURES:
            self._api.state.staff.keeper.note(visit.status, seconds)
        fields = {
            "request_id": visit.id,
            "method": method,
            "path": visit.path,
            "status": visit.status,
            "ms": round(seconds * 1000, 1),
            "bytes": visit.read_bytes,
            "key": visit.key and visit.key[:SHORT_KEY],
        }
        log.info("answered", extra={"fields": fields})


def _key(headers: Headers) -> str:
    kind, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")


def _hardened(send: Send) -> Send:
    async def harden(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(SAFE)
        await send(message)

    return harden


def _telling(visit: Visit, send: Send, asked: Headers) -> Send:
    """Return a `send` that names the visit, and ends the connection where the rest of a body might have no end."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            visit.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = visit.id
            endless = "transfer-encoding" in asked or int(asked.get("content-length", 0)) > visit.most_bytes
            if (endless and not visit.ended) or visit.status == 408:
                headers["Connection"] = "close"
        await send(message)

    return tell
