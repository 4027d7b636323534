"""The servers that are compared: ours, and peers that each have an environment of their own."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.load import Target, form_request, json_request

ROOT = Path(__file__).parents[1]
RIVALS = Path(__file__).parent / "rivals"
READY_SECONDS = 120
READS = ("numpy==2.4.6", "onnxruntime==1.32.0", "pillow==13.0.0", "pyyaml==6.0.4")  # what reading takes, everywhere
OPEN_LIMITS = {"LOOPLINE_SERVICE__OPEN": "true", "LOOPLINE_SERVICE__MOST_WAITING": "64"}


@dataclass(frozen=True)
class Kind:
    """A server: what it needs, how it starts (given a port), and how it is asked and answers."""

    name: str
    settings: str
    packages: tuple[str, ...]  # none: our own environment
    command: Callable[[int], Sequence[str | Path]]
    path: str
    ready: str
    request: Callable[[str, bytes], bytes] = form_request
    text: Callable[[dict[str, object]], object] = lambda answer: answer["text"]


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    kind: Kind
    url: str
    process: psutil.Process
    ready_seconds: float

    def target(self, pictures: Sequence[bytes]) -> Target:
        return Target(self.url, self.kind.path, tuple(self.kind.request(self.kind.path, one) for one in pictures))

    @property
    def memory_mb(self) -> float:
        """Proportional memory of all its processes."""
        return sum(map(_pss_mb, [self.process, *self.process.children(recursive=True)]))


def _v2_request(path: str, picture: bytes) -> bytes:
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(picture).decode()]}
    document = {"inputs": [image | {"parameters": {"content_type": "base64"}}]}
    return json_request(path, json.dumps(document).encode())


def _v2_text(answer: dict[str, object]) -> object:
    return answer["outputs"][0]["data"][0]  # type: ignore[index]


KINDS = (
    Kind(
        "Loopline",
        "bentoml serve, 2 workers, open, a bounded queue of 64",
        (),
        lambda port: ["-m", "bentoml", "serve", "handwriting:bench", "--host", "127.0.0.1", "--port", str(port)],
        "/read",
        "/readyz",
    ),
    Kind(
        "FastAPI",
        "uvicorn --workers 2, the reading in a thread",
        ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "python-multipart==0.0.34", *READS),
        lambda port: ["-m", "uvicorn", "plain:app", "--workers", "2", "--port", str(port), "--log-level", "warning"],
        "/read",
        "/openapi.json",
    ),
    Kind(
        "LitServe",
        "workers_per_device=2, no batching",
        ("litserve==0.2.19", "python-multipart==0.0.34", *READS),
        lambda port: [RIVALS / "lit.py", str(port)],
        "/read",
        "/health",
    ),
    Kind(
        "MLServer",
        "parallel_workers=2, V2 protocol with base64",
        ("mlserver==1.7.1", "uvloop==0.21.0", *(one for one in READS if not one.startswith("numpy"))),
        lambda port: ["-m", "mlserver.cli.main", "start", "."],
        "/v2/models/reader/infer",
        "/v2/models/reader/ready",
        _v2_request,
        _v2_text,
    ),
)


def python_of(kind: Kind, cache: Path) -> Path:
    """Return a peer's Python, whose environment is made at the first use."""
    if not kind.packages:
        return Path(sys.executable)
    venv = cache / kind.name.lower()
    python, done = venv / "bin" / "python", venv / ".packages"
    if not done.exists() or done.read_text() != "\n".join(kind.packages):
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *kind.packages], check=True)
        done.write_text("\n".join(kind.packages))
    return python


@contextmanager
def running(kind: Kind, *, package: Path, bentos: Path, cache: Path, folder: Path) -> Iterator[Running]:
    """Serve until it is asked no more; the time to be ready is from the start of its process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    python, log = python_of(kind, cache), folder / f"{kind.name}.log"
    (folder / "settings.json").write_text(json.dumps(_mlserver(port)))
    (folder / "model-settings.json").write_text(json.dumps({"name": "reader", "implementation": "ml.Reader"}))
    start = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [python, *kind.command(port)], cwd=folder, env=_environment(package, bentos), stdout=out, stderr=out
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url + kind.ready, process, log)
        yield Running(kind, url, psutil.Process(process.pid), time.perf_counter() - start)
    finally:
        alive = [psutil.Process(process.pid)] if process.poll() is None else []
        processes = alive + [child for one in alive for child in one.children(recursive=True)]
        process.terminate()
        _, left = psutil.wait_procs(processes, timeout=10)
        for one in left:
            one.kill()


def _environment(package: Path, bentos: Path) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("LOOPLINE_", "PREFECT_"))}
    ours = {"BENTOML_HOME": str(bentos), "BENTOML_CONFIG_OPTIONS": "services.reader.workers=2"}
    theirs = {"PACKAGE": str(package), "PYTHONPATH": f"{RIVALS}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    return others | ours | OPEN_LIMITS | theirs


def _mlserver(port: int) -> dict[str, object]:
    return {
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "host": "127.0.0.1",
        "parallel_workers": 2,
        "debug": False,
    }


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise SystemExit(f"the server did not start:\n{log.read_text()[-3000:]}")


def _pss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:
        return 0.0
