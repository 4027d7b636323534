"""What a package asks of a machine: time and memory, measured in a fresh process on one CPU thread.

python -m loopline.footprint PACKAGE STRIP prints them as JSON.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from loopline.contracts import Footprint, Latency
from loopline.errors import LooplineError
from loopline.judging import STATED_WIDTH_PX
from loopline.problems import Pixels
from loopline.serving import Predictor

# H height, W width

HEIGHT_PX = 64
WIDTHS_PX = (256, STATED_WIDTH_PX, 2048)  # a word or a number; a line; twice that: does time grow faster than width?
STRIP_WIDTH_PX = 8192  # of real lines, side by side: four of the widest
WARM_UPS, RUNS = 5, 100  # of a width: the hundredth part of a hundred is one, the slowest
LIMIT_SECONDS = 600


def measure(package: bytes, lines: Iterable[Pixels], *, folder: Path) -> Footprint:
    """Measure a package on real lines, as `read` takes them; `folder` is an empty one.

    Real lines, because a search takes longer the more a network doubts. Raises LooplineError if the process fails.
    """
    archive, strip = folder / "package.zip", folder / "strip.npy"
    archive.write_bytes(package)
    np.save(strip, strip_of(lines))
    done = subprocess.run(
        [sys.executable, "-m", "loopline.footprint", archive, strip],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    if done.returncode:
        raise LooplineError(
            f"the package could not be measured: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
        )
    return Footprint.model_validate_json(done.stdout)


def strip_of(lines: Iterable[Pixels]) -> Pixels:
    """Return lines side by side at a height of 64 px, over and over, in one strip of 8192 px."""
    pieces: list[Pixels] = []
    for line_HW in lines:
        height, width = line_HW.shape
        size = max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX
        pieces.append(np.asarray(Image.fromarray(line_HW).resize(size, Image.Resampling.BILINEAR)))
        if sum(piece.shape[1] for piece in pieces) >= STRIP_WIDTH_PX:
            break
    whole_HW = np.concatenate(pieces, axis=1)
    return np.take(whole_HW, range(STRIP_WIDTH_PX), axis=1, mode="wrap")


def run(package: Path, strip_HW: Pixels) -> Footprint:
    """Measure in this process."""
    predictor = Predictor.open(package)
    latencies = tuple(latency(predictor, strip_HW, width_px=width_px) for width_px in WIDTHS_PX)
    return Footprint(latencies=latencies, peak_memory_mb=round(_peak_memory_mb(), 1))


def latency(predictor: Predictor, strip_HW: Pixels, *, width_px: int) -> Latency:
    """Measure lines of one width, cut from a strip."""
    places_px = np.linspace(0, strip_HW.shape[1] - width_px, RUNS, dtype=int)
    lines = [np.ascontiguousarray(strip_HW[:, place : place + width_px]) for place in places_px]
    times_ms = []
    for line in [*lines[:WARM_UPS], *lines]:
        start = time.perf_counter()
        predictor.read([line])
        times_ms.append((time.perf_counter() - start) * 1000)
    p50_ms, p95_ms, p99_ms = np.percentile(times_ms[WARM_UPS:], (50, 95, 99)).round(3).tolist()
    return Latency(width_px=width_px, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms)


def _peak_memory_mb() -> float:
    """Return the most memory that this program held; getrusage on Linux counts its parent's from before, too."""
    status = Path("/proc/self/status")
    if not status.exists():  # macOS, whose getrusage counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    (kilobytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024 / 1e6


if __name__ == "__main__":
    measured = run(Path(sys.argv[1]), np.load(sys.argv[2], allow_pickle=False))
    sys.stdout.write(measured.model_dump_json())
