"""Bentos, really built and really served over HTTP on a free port of the loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import packages
import psutil

from loopline.clients.bento import build_bento
from loopline.keys import hash_of
from loopline.problems.handwriting.samples import draw_lines
from loopline.quantization import quantize

READY_SECONDS = 180  # some 5 on a quiet machine
KEYS = tuple(f"loopline-test-{number}" for number in range(4))
KEYED = {"LOOPLINE_SERVICE__KEY_HASHES": ",".join(map(hash_of, KEYS))}
OPEN = {"LOOPLINE_SERVICE__OPEN": "true"}


def archive() -> bytes:
    """Return a package in whole numbers whose decoder knows language."""
    lines = [line.pixels for line in draw_lines(seed=1, counts={"train": 4})]
    small = quantize(packages.network(), [packages.PROBLEM.inputs([line], packages.RECIPE) for line in lines])
    beam = packages.PROBLEM.decodings()[-1]
    return packages.package(beam, language=packages.PROBLEM.language(["407", "1223"]), onnx=small)


def build(package: bytes, folder: Path) -> Path:
    """Build a Bento of a package; return its folder."""
    context = folder / "work"
    context.mkdir()
    build_bento(package, "handwriting", version="v1", home=folder / "home", folder=context)
    return folder / "home" / "bentos" / "handwriting" / "v1"


@dataclass(frozen=True)
class Served:
    """A service, and how to ask it."""

    url: str
    process: psutil.Process
    log: Path

    def client(
        self, key: str | None = KEYS[0], *, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Client:
        keyed = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=keyed | (headers or {}), timeout=30, trust_env=False, **options)

    def workers(self) -> list[psutil.Process]:
        return [one for one in self.process.children(recursive=True) if "--worker-id" in " ".join(_command(one))]

    def lines(self) -> list[dict[str, Any]]:
        """Return what the serving processes wrote down."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{" and line[-1:] == "}"]

    def started_count(self) -> int:
        """Return how many processes have begun to serve."""
        return sum("initialized" in line["message"] for line in self.lines())


def _command(process: psutil.Process) -> list[str]:
    """Return a process's command line; nothing for one that has ended meanwhile."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def start(bento: Path, environment: dict[str, str], *, port: int, log: Path) -> subprocess.Popen[bytes]:
    home = bento.parents[2]
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", "handwriting:v1", "--host", "127.0.0.1", "--port", str(port)],
            cwd=log.parent,
            env={name: value for name, value in os.environ.items() if not name.startswith("LOOPLINE_")}
            | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
            | environment,
            stdout=out,
            stderr=out,
        )


@contextmanager
def serving(bento: Path, folder: Path, *, workers: int = 2, **settings: str) -> Iterator[Served]:
    """Serve a Bento until it is asked no more; its processes must end by themselves then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = folder / "serve.log"
    counted = {"BENTOML_CONFIG_OPTIONS": f"services.reader.workers={workers}"}
    process = start(bento, settings | counted, port=port, log=log)
    try:
        served = Served(f"http://127.0.0.1:{port}", psutil.Process(process.pid), log)
        wait_until_ready(served, process, workers=workers)
        yield served
    finally:
        workers_left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(60)
        _, left = psutil.wait_procs(workers_left, timeout=15)
        assert not left, log.read_text()


def wait_until_ready(served: Served, process: subprocess.Popen[bytes], *, workers: int) -> None:
    """Wait for all processes: with one the service is ready, and the others still load."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, served.log.read_text()
        if served.started_count() == workers and httpx.get(f"{served.url}/readyz", trust_env=False).is_success:
            return
        time.sleep(0.1)
    raise AssertionError(served.log.read_text())


def connection(url: httpx.URL) -> socket.socket:
    """Connect without a client that would mend what is sent."""
    return socket.create_connection((url.host, url.port or 80), timeout=60)


def received(connected: socket.socket) -> bytes:
    """Return all that comes until the other side ends the connection."""
    answer = b""
    while part := connected.recv(2**16):
        answer += part
    return answer
