"""Stands in for Nuclio's dashboard: speaks its API for functions and API gateways, and writes down what it was asked.

From Nuclio's source, `pkg/dashboard/resource`: a function is accepted with 202 and gets ready, or an error, later; one
that is there already is refused with 409; functions are listed as a map; a name that is unknown is 404. With
`runs=True` it fetches the code as Nuclio's builder does, and starts it in Nuclio's own Python wrapper.
"""

import io
import json
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nuclio_processor import StartError, fronted, wrapped


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class DashboardStandIn:
    """Its functions, and all that it was asked."""

    runs: bool
    url: str = ""
    token: str | None = None
    fails: str | None = None
    asked: list[Asked] = field(default_factory=list)
    functions: dict[str, Any] = field(default_factory=dict)
    gateways: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, ExitStack] = field(default_factory=dict)

    def changes(self) -> list[tuple[str, str]]:
        return [(one.method, one.path) for one in self.asked if one.method != "GET"]

    def leads_to(self) -> str:
        """The function to which the gateway leads."""
        (gateway,) = self.gateways.values()
        (upstream,) = gateway["spec"]["upstreams"]
        name: str = upstream["nucliofunction"]["name"]
        return name

    def take(self, asked: Asked) -> tuple[int, Any]:
        self.asked.append(asked)
        if self.token and asked.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"error": "unauthorized"}
        kind, _, name = asked.path.removeprefix("/api/").partition("/")
        shelf = {"functions": self.functions, "api_gateways": self.gateways}[kind]
        if asked.method == "GET":
            return (200, shelf) if not name else (200, shelf[name]) if name in shelf else (404, {"error": "not found"})
        name = name or asked.body["metadata"]["name"]
        if asked.method == "DELETE":
            self.end(name)
            return (204, None) if shelf.pop(name, None) else (404, {"error": "not found"})
        if (name in shelf) == (asked.method == "POST"):
            return 409 if name in shelf else 404, {"error": f"{name}: conflict"}
        shelf[name] = asked.body
        if kind == "functions":
            shelf[name]["status"] = {"state": "building"}
            threading.Thread(target=self.build, args=(name,), daemon=True).start()
            return 202, None
        return 201, asked.body

    def build(self, name: str) -> None:
        status = self.functions[name]["status"]
        if self.fails:
            status |= {"state": "error", "message": self.fails}
            return
        self.end(name)
        stack = self.workers[name] = ExitStack()
        try:
            address = self.start(self.functions[name], stack) if self.runs else "127.0.0.1:9"
            status |= {"state": "ready", "internalInvocationUrls": [address]}
        except StartError as error:
            status |= {"state": "error", "message": str(error)}

    def start(self, function: dict[str, Any], stack: ExitStack) -> str:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with urllib.request.urlopen(function["spec"]["build"]["path"]) as code:
            zipfile.ZipFile(io.BytesIO(code.read())).extractall(folder / "code")
        environment = {one["name"]: one["value"] for one in function["spec"]["env"]}
        return stack.enter_context(fronted(stack.enter_context(wrapped(folder / "code", environment, sockets=folder))))

    def end(self, name: str) -> None:
        if stack := self.workers.pop(name, None):
            stack.close()


@contextmanager
def dashboard(*, runs: bool = False) -> Iterator[DashboardStandIn]:
    stands = DashboardStandIn(runs=runs)

    class Api(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers), json.loads(body) if body else None)
            status, said = stands.take(asked)
            data = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stands.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stands
    finally:
        server.shutdown()
        server.server_close()
        for name in list(stands.workers):
            stands.end(name)
