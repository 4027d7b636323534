"""The whole loop on the sample lines: the first run, the cached one, memory, latency, in one go.

python -m benchmarks.loop
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).parent / "loopline")


def main() -> None:
    """Print one line a figure."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"LOOPLINE_HOME": folder}
        up = _seconds("up", environment=environment)[0]
        try:
            samples = _seconds("samples", environment=environment)[0]
            first, judged = _seconds("run", "--json", environment=environment)
            second, again = _seconds("run", "--json", environment=environment)
        finally:
            _seconds("down", environment=environment)
    packaged, peak_gb = judged["packaged"], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    figures = packaged["report"]["metrics"]
    print(f"up {up:.1f} s, samples {samples:.1f} s, first run {first:.1f} s, peak memory of a process {peak_gb:.2f} GB")
    print(f"cached run {second:.1f} s, {second / first:.3f} of the first; same outcome: {again == judged}")
    print(f"training {packaged['report']['model']['train_seconds']:.1f} s, {figures}")
    print(
        f"package {packaged['size_bytes'] / 1e6:.2f} MB, one 64x1024 line {packaged['latency_ms']:.1f} ms on one thread"
    )


def _seconds(*arguments: str, environment: dict[str, str]) -> tuple[float, Any]:
    start = time.monotonic()
    done = subprocess.run([PROGRAM, *arguments], env=environment, check=True, capture_output=True, text=True)
    return time.monotonic() - start, json.loads(done.stdout) if "--json" in arguments else None


if __name__ == "__main__":
    main()
