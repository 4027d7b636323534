"""The commands of a laptop, as a user types them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
from httpx_retries import Retry, RetryTransport
from laptop_processes import free_port

from loopline.settings import Settings

T = TypeVar("T")

SERVICES = ("STORE", "PREFECT", "WORKER", "READER", "DEMO")
COUNTS = {"train": 48, "validation": 12, "test": 12}
PROGRAM = (str(Path(sys.executable).parent / "loopline"),)
TINY = ("channels=8", "hidden=32", "layers=1", "batch_size=16", "learning_rate=0.01")


@dataclass
class Outcome:
    """What one command came to."""

    code: int
    out: str
    log: str

    @property
    def judged(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def states(self) -> dict[str, str]:
        """The state in which each step ended: Completed, Cached, Failed."""
        return dict(re.findall(r"Task run '(\w+)-\w+' - Finished in state (\w+)", self.log))

    @property
    def last_line(self) -> str:
        return self.log.strip().splitlines()[-1]


@dataclass
class Laptop:
    """The commands, as a user types them, in one home folder."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    def apart(self, folder: Path, *, bucket: str) -> "Laptop":
        """Return the same laptop with a bucket and a registry of its own, both empty."""
        (self.home / "store" / bucket).mkdir()
        time.sleep(1)  # after which the store looks at its folders anew
        registry = str(folder / "registry.git")
        return replace(self, settings={"LOOPLINE_STORE__BUCKET": bucket, "LOOPLINE_REGISTRY__URL": registry})

    @property
    def environment(self) -> dict[str, str]:
        ours = {"LOOPLINE_HOME": str(self.home), "LOOPLINE_TRAIN__ACCELERATOR": "cpu", "COLUMNS": "200"}
        ours["LOOPLINE_TRAIN__THREADS"] = "1"  # other tests run beside
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOOPLINE_", "PREFECT_"))}
        return kept | ours | self.settings

    def command(self, *arguments: str | Path, program: tuple[str, ...] = PROGRAM) -> list[str]:
        return [*program, *map(str, arguments)]

    def call(self, *arguments: str | Path, cwd: Path | None = None, program: tuple[str, ...] = PROGRAM) -> Outcome:
        command = self.command(*arguments, program=program)
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, cwd=cwd)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def arguments(self, source: Path | str, *, epochs: int = 2, values: tuple[str, ...] = ()) -> list[str]:
        requirements = self.home / "any.yaml"
        requirements.write_text("bounds: [{metric: cer, at_most: 100}]\n")
        sets = [part for value in (*TINY, *values) for part in ("--set", value)]
        return [
            "run",
            "--source",
            str(source),
            "--epochs",
            str(epochs),
            "--requirements",
            str(requirements),
            "--json",
            *sets,
        ]

    def run(self, source: Path | str, *, epochs: int = 2, values: tuple[str, ...] = ()) -> Outcome:
        """Build a tiny model that any requirement lets pass."""
        return self.call(*self.arguments(source, epochs=epochs, values=values))

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        """Ask its Prefect server as pages do: with the password, and with a token against forged forms."""
        found = Settings(home=self.home, _env_file=None).resolved_prefect()
        assert found.auth_string
        user, _, password = found.auth_string.get_secret_value().partition(":")
        asked = ["GET", "POST", "PATCH", "DELETE"]
        retry = Retry(total=5, allowed_methods=asked, backoff_factor=0.5)  # SQLite is locked now and then
        transport = RetryTransport(retry=retry)
        with httpx.Client(base_url=found.api_url, auth=(user, password), timeout=30, transport=transport) as client:
            token = client.get("/csrf-token", params={"client": "tests"}).raise_for_status().json()["token"]
            client.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "tests"})
            yield client


@contextmanager
def standing(home: Path, *options: str) -> Iterator[Laptop]:
    """Bring a laptop up in a new home folder, and down again."""
    laptop = Laptop(home, own_ports())
    home.mkdir()
    started = laptop.call("up", *options)
    assert started.code == 0, started.log
    try:
        yield laptop
    finally:
        assert laptop.call("down").code == 0


def own_ports() -> dict[str, str]:
    """Return ports for a laptop: two that start at once would both find the usual ones free."""
    return {f"LOOPLINE_LAPTOP__{service}_PORT": str(free_port()) for service in SERVICES}


def eventually(look: Callable[[], T], *, seconds: float = 60) -> T:
    """Ask until the answer is not empty: the server writes events and scheduled runs a little later."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing came within {seconds} s"
        time.sleep(0.25)
    return found


def steps(ask: Callable[..., Any], run: str) -> dict[str, str]:
    """Return each step of a run and of the flow it calls, with the name of its newest state."""
    called = [one["id"] for one in ask("/flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}})]
    found = ask("/task_runs/filter", flow_runs={"id": {"any_": [run, *called]}})
    newest = sorted((one for one in found if one["start_time"]), key=lambda one: str(one["start_time"]))
    return {one["name"].rpartition("-")[0]: one["state"]["name"] for one in newest}
