"""Time a look at a model's traffic, from the command to the page, on the laptop's own servers.

python -m benchmarks.watching [10000 100000]

Goals on two cores: 100,000 answers within 60 s, and no more memory than 10,000 take.
"""

import hashlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from loopline import commands
from loopline.captures import PICTURE, new_prediction_id, place
from loopline.problems.handwriting.samples import write_samples
from loopline.settings import Settings
from loopline.traffic import TIME, Row, traffic_place

PROGRAM = str(Path(sys.executable).parent / "loopline")
COUNTS = (10_000, 100_000)
LINES = {"train": 500, "validation": 24, "test": 300}
RECIPE = ("channels=16", "hidden=48", "layers=1", "batch_size=8", "learning_rate=0.006", "epochs=8")
A_FILE = 100  # answers that one process counts in a minute, at 100,000 a day and a quiet night
SECRET = secrets.token_bytes(32)


def main() -> None:
    """Print one line a figure."""
    counts = [int(argument) for argument in sys.argv[1:]] or COUNTS
    with tempfile.TemporaryDirectory() as folder:
        home, lines = Path(folder) / "home", Path(folder) / "lines"
        os.environ["LOOPLINE_HOME"] = str(home)
        write_samples(lines, counts=LINES)
        _call("up")
        try:
            requirements = Path(folder) / "any.yaml"
            requirements.write_text("bounds: [{metric: cer, at_most: 1}]\n")
            sets = [part for value in RECIPE for part in ("--set", value)]
            _call("run", "--source", str(lines), "--requirements", str(requirements), *sets)
            for count in counts:
                written = _write(Settings(home=home), lines, count)
                seconds, megabytes = _call("watch")
                print(f"{count:,} answers in {written} files: {seconds:.1f} s, {megabytes:.0f} MB; goal 60 s, flat")
        finally:
            _call("down")


def _write(settings: Settings, lines: Path, count: int) -> int:
    """Put so many answers where the service leaves them, each picture a link to one of the sample lines'."""
    store, champion = commands.store(settings), commands.registry(settings).champion("handwriting")
    assert champion
    package = champion.judged.packaged.archive.sha256
    pictures = sorted((lines / "images").glob("*.png"))
    root, now = settings.folder / "store" / settings.store.bucket, datetime.now(UTC)
    numbers = np.random.default_rng(count)
    for start in range(0, count, A_FILE):
        at = now - timedelta(seconds=count - start)
        rows = []
        for _ in range(A_FILE):
            name = new_prediction_id("", secret=SECRET, now=now)
            path = root / place(name, PICTURE)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(pictures[numbers.integers(len(pictures))])
            rows.append(Row(kind="request", at=at, status=200, seconds=numbers.gamma(2, 0.01)))
            facts = {"confidence": numbers.beta(5, 1), "unsure": False, "width_px": 200, "height_px": 40}
            rows.append(Row(kind="answer", at=at, prediction_id=name, ink=0.2, contrast=0.2, **facts))
        data = "".join(f"{row.model_dump_json(exclude_none=True)}\n" for row in rows).encode()
        chance = hashlib.sha256(data).hexdigest()[:16]
        store.write(traffic_place(package, f"{at:{TIME}}-{chance}.jsonl"), data)
    return count // A_FILE


def _call(*arguments: str) -> tuple[float, float]:
    """Run a command; return its seconds, and the most memory of a process of it, in MB."""
    start = time.monotonic()
    process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        raise SystemExit(f"loopline {' '.join(arguments)} failed")
    return time.monotonic() - start, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
