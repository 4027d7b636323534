"""A laptop of its own for the tests of whole flows: home folder, object store and Prefect server, all real."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loopline.problems.handwriting.samples import write_samples

COUNTS = {"train": 48, "validation": 12, "test": 12}
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

    @property
    def environment(self) -> dict[str, str]:
        ours = {"LOOPLINE_HOME": str(self.home), "LOOPLINE_TRAIN__ACCELERATOR": "cpu", "COLUMNS": "200"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOOPLINE_", "PREFECT_"))}
        return kept | ours | self.settings

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(Path(sys.executable).parent / "loopline"), *map(str, arguments)]

    def call(self, *arguments: str | Path, cwd: Path | None = None) -> Outcome:
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=300, cwd=cwd
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def arguments(self, source: Path | str, *, epochs: int = 2, values: tuple[str, ...] = (), problem_bounds: str = "any.yaml") -> list[str]:
        requirements = self.home / problem_bounds
        requirements.write_text("bounds: [{metric: cer, at_most: 100}]\n")
        sets = [part for value in (*TINY, *values) for part in ("--set", value)]
        return ["run", "--source", str(source), "--epochs", str(epochs), "--requirements", str(requirements), "--json", *sets]

    def run(self, source: Path | str, *, epochs: int = 2, values: tuple[str, ...] = ()) -> Outcome:
        """Build a tiny model that any requirement lets pass."""
        return self.call(*self.arguments(source, epochs=epochs, values=values))


@pytest.fixture(scope="session")
def laptop() -> Iterator[Laptop]:
    with tempfile.TemporaryDirectory() as folder:
        found = Laptop(Path(folder) / "home")
        found.home.mkdir()
        started = found.call("up")
        assert started.code == 0, started.log
        try:
            yield found
        finally:
            assert found.call("down").code == 0


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 72 sample lines with labels and splits; tests copy it before they change anything."""
    folder = tmp_path_factory.mktemp("samples") / "lines"
    write_samples(folder, counts=COUNTS)
    return folder
