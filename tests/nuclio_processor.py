"""Nuclio's processor, as far as its Python wrapper can tell: two sockets, a message a request, lines as answers.

The wrapper is Nuclio's own file, `pkg/processor/runtime/python/py/_nuclio_wrapper.py` of its repository; where it lies
is told by NUCLIO_PYTHON_WRAPPER_PATH, as Nuclio itself names it. Messages are a length of 4 bytes, big-endian, and a
msgpack map; answers are lines whose first letter says what they are: l a log, m a metric, r the response, s started.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import msgpack

WRAPPER = os.environ.get("NUCLIO_PYTHON_WRAPPER_PATH")
START_SECONDS = 60


class StartError(Exception):
    """The wrapper ended before it was ready; what it said."""


@dataclass
class Wrapper:
    """One worker of a function."""

    process: subprocess.Popen[bytes]
    events: socket.socket
    lines: IO[bytes]
    logs: list[str] = field(default_factory=list)
    alone: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Hand one request over; return what the function answers."""
        kind = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
        event = {
            "body": body,
            "content_type": kind,
            "content-type": kind,
            "trigger": {"kind": "http", "name": "http"},
            "fields": {},
            "headers": dict(headers),
            "id": str(uuid.uuid4()),
            "method": method,
            "path": path,
            "size": len(body),
            "timestamp": int(time.time()),
            "url": path,
            "shard_id": 0,
            "num_shards": 0,
            "type": "",
            "type_version": "",
            "version": "",
            "offset": 0,
            "topic": "",
        }
        packed = msgpack.packb(event)
        with self.alone:
            self.events.sendall(len(packed).to_bytes(4, "big") + packed)
            answer: dict[str, Any] = json.loads(self.until(b"r"))
        return answer

    def until(self, kind: bytes) -> bytes:
        """Return the next line of this kind; StartError if there is none."""
        for line in self.lines:
            if line[:1] == kind:
                return line[1:]
            self.logs.append(line.decode())
        self.process.wait(START_SECONDS)
        raise StartError(self.process.returncode)


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    listener.settimeout(0.2)
    return listener


@contextmanager
def wrapped(folder: Path, environment: Mapping[str, str], *, sockets: Path) -> Iterator[Wrapper]:
    """Start a function's folder in the real wrapper; StartError with its output if it does not get ready."""
    assert WRAPPER
    paths = [sockets / name for name in ("events", "control")]
    listeners = [_listening(path) for path in paths]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LOOPLINE_")}
    with (sockets / "log").open("w+b") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-u", WRAPPER, "--handler", "handler:handler", "--namespace", "nuclio"),
                *("--event-socket-path", str(paths[0]), "--control-socket-path", str(paths[1])),
                *("--platform-kind", "local", "--worker-id", "0", "--trigger-kind", "http", "--trigger-name", "http"),
                "--decode-event-strings",
            ],
            cwd=sockets,
            env=bare | {"PYTHONPATH": str(folder), "TMPDIR": str(sockets), "PYTHONSAFEPATH": "1"} | environment,
            stdout=log,
            stderr=log,
        )
        taken: list[socket.socket] = []
        try:
            for listener in listeners:
                taken.append(_accepted(listener, process))
            wrapper = Wrapper(process, taken[0], taken[0].makefile("rb"))
            wrapper.until(b"s")
            yield wrapper
        except StartError as ended:
            raise StartError(f"{ended}: {(sockets / 'log').read_text()}") from None
        finally:
            process.kill()
            process.wait()
            for one in [*listeners, *taken]:
                one.close()


def _accepted(listener: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            connected, _ = listener.accept()
        except TimeoutError:
            if process.poll() is not None:
                raise StartError(process.returncode) from None
        else:
            connected.settimeout(None)
            return connected
    raise StartError("nobody connected")


@contextmanager
def fronted(wrapper: Wrapper) -> Iterator[str]:
    """Let a worker answer over HTTP, as the processor's trigger does; yields its address."""

    class Trigger(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            said = wrapper.ask(self.command, self.path, dict(self.headers), body)
            data = said["body"].encode() if said["body_encoding"] == "text" else base64.b64decode(said["body"])
            self.send_response(said["status_code"])
            for name, value in {**said.get("headers", {}), "Content-Type": said["content_type"]}.items():
                self.send_header(name, str(value))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Trigger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
