"""A server between a client and a real one, that does to chosen answers what networks and servers do."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

LATE_SECONDS = 3
KEPT = ("content-type", "etag", "last-modified")  # of the real server's answer


@dataclass
class Fault:
    """What happens to the next answers to requests of a method and path."""

    method: str
    path: str
    # "lost": done, but not answered; "silent": neither; "slow": answered late; "cut": half a body; "garbled": half a
    # body that claims to be all; anything else: nothing but what `status` and `before` say.
    kind: str
    times: int = 1
    skip: int = 0  # requests that pass before it begins
    status: int = 0  # answered instead of asking the real server
    headers: dict[str, str] = field(default_factory=dict)  # of that answer
    before: Callable[[], Any] = field(default=lambda: None)  # while the request is on its way

    def fits(self, method: str, path: str) -> bool:
        if not (self.times > 0 and method == self.method and self.path in path):
            return False
        self.skip -= 1
        return self.skip < 0


@dataclass
class FaultyServer:
    """Stands at `url` for the real server behind it."""

    url: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def will(self, method: str, path: str, kind: str, **how: Any) -> Fault:
        self.faults.append(Fault(method, path, kind, **how))
        return self.faults[-1]

    def take(self, method: str, path: str) -> Fault | None:
        self.seen.append(f"{method} {path}")
        found = next((fault for fault in self.faults if fault.fits(method, path)), None)
        if found:
            found.times -= 1
            found.before()
        return found


@contextmanager
def faulty(real: str, *, keeps_host: bool = False) -> Iterator[FaultyServer]:
    """Start a faulty server before a real one; an S3 server wants the host that the client signed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = server.take(self.command, self.path)
            if fault and fault.status:
                return self.send(fault.status, fault.headers, b"{}")
            if fault and fault.kind in ("silent", "slow"):
                time.sleep(LATE_SECONDS)
                self.close_connection = fault.kind == "silent"
            if fault and fault.kind == "silent":
                return None
            headers = {name: value for name, value in self.headers.items() if keeps_host or name.lower() != "host"}
            with httpx.Client(timeout=60, trust_env=False) as client:
                real_answer = client.request(self.command, real + self.path, headers=headers, content=body)
            if fault and fault.kind == "lost":
                self.close_connection = True
                return None
            content = real_answer.content
            kept = {name: value for name, value in real_answer.headers.items() if name in KEPT}
            if self.command == "HEAD":
                return self.send(real_answer.status_code, real_answer.headers, b"")
            if fault and fault.kind == "garbled":
                content = content[: len(content) // 2]
            return self.send(real_answer.status_code, kept, content, cut=bool(fault and fault.kind == "cut"))

        do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do_PUT = answer

        def send(self, status: int, headers: Mapping[str, str], content: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = FaultyServer(f"http://127.0.0.1:{listener.server_port}")
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
