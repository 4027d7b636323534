"""A stand-in for Comet on the loopback: it answers the real client as the client needs it, and records what arrives.

It proves what the client sends. That Comet itself takes it, only Comet can prove.
"""

import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

ALREADY_EXISTS, TOO_MANY_EXPERIMENTS = 90999, 7000020  # the client's own numbers
OWN_METRIC = "process duration"  # the client adds it
Mood = Literal["well", "refusing", "full", "silent"]


@dataclass(frozen=True)
class Request:
    """One request as it came; `body` is its JSON, `content` the file of an upload."""

    path: str
    query: dict[str, str]
    body: Any
    content: bytes


@dataclass
class CometServer:
    """What was taken, and how the next request is met: "refusing" is 401, "full" refuses new experiments."""

    mood: Mood = "well"
    port: int = 0
    asked: int = 0
    requests: list[Request] = field(default_factory=list)
    experiments: set[str] = field(default_factory=set)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def points(self) -> list[tuple[str, int, int, float]]:
        """(name, step, epoch, value) of every metric of ours, in the order of arrival."""
        return [
            (item["metricName"], item["step"], item["epoch"], float(item["metricValue"]))
            for item in self.batched("experiment/metric")
            if item["metricName"] != OWN_METRIC
        ]

    @property
    def params(self) -> dict[str, Any]:
        """Every parameter of ours, by name."""
        items = self.batched("experiment/parameter")
        return {item["parameterName"]: item["parameterValue"] for item in items if item["source"] == "manual"}

    @property
    def facts(self) -> dict[str, Any]:
        """What the client calls "other"."""
        return {request.body["key"]: request.body["value"] for request in self.at("experiment/log-other")}

    @property
    def files(self) -> list[tuple[str, bytes]]:
        """(name, content) of every upload, images by the name of their figure."""
        uploads = [*self.at("visualizations/upload"), *self.at("asset/upload")]
        return [(upload.query.get("figName") or upload.query["fileName"], upload.content) for upload in uploads]

    def at(self, ending: str) -> list[Request]:
        """Return the requests to one endpoint."""
        return [request for request in self.requests if request.path.endswith(ending)]

    def batched(self, ending: str) -> list[dict[str, Any]]:
        """Return the points or parameters that came in batches."""
        return [item for request in self.at(ending) for item in request.body["values"]]

    def answer(self, request: Request) -> tuple[int, Any]:
        self.asked += 1
        if self.mood == "silent":
            self.closing.wait()
        if self.closing.is_set():
            raise ConnectionAbortedError  # connections that are still open end with the server
        if self.mood == "refusing":
            return 401, {"msg": "refused"}
        self.requests.append(request)
        if request.path.endswith("logger/add/run"):
            return self._add(request.body)
        if request.path.endswith("logger/get/run"):
            return 200, self._handshake(request.body["previousExperiment"])
        return 200, {
            "is_alive_beat_duration_millis": 1000,
            "gpu_monitor_interval_millis": 60_000,
            "parameter_update_interval_millis": 1000,
            "version": "3.60.0",
        }

    def _add(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.mood == "full":
            return 400, {"sdk_error_code": TOO_MANY_EXPERIMENTS, "msg": "no more experiments"}
        key = body["experimentKey"]
        if key in self.experiments and not body["getOrCreateEnabled"]:
            return 400, {"sdk_error_code": ALREADY_EXISTS, "msg": "exists"}
        self.experiments.add(key)
        return 200, self._handshake(key)

    def _handshake(self, key: str) -> dict[str, Any]:
        return {"runId": f"run-{key}", "project_id": "project", "focusUrl": f"{self.url}/team/loopline/"}


@contextmanager
def comet_server(mood: Mood = "well") -> Iterator[CometServer]:
    """Run the stand-in on a free port of the loopback until the block ends."""
    comet = CometServer(mood)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            request = _read(self)
            status, body = comet.answer(request)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: clients that are killed hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    comet.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield comet
    finally:
        comet.closing.set()
        server.shutdown()
        server.server_close()


def _read(handler: BaseHTTPRequestHandler) -> Request:
    url = urlsplit(handler.path)
    raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    if handler.headers.get("Content-Encoding"):
        raw = zlib.decompress(raw, wbits=47)  # gzip or zlib, as the header says
    body, content = None, b""
    kind = handler.headers.get("Content-Type", "")
    if kind.startswith("multipart/"):
        parts = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
        body = {
            part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True)
            for part in parts.get_payload()
        }
        content = body.get("file", b"")
    elif raw:
        with suppress(ValueError):
            body = json.loads(raw)

    return Request(url.path, dict(parse_qsl(url.query)), body, content)
