"""The whole loop on the sample lines: the first run, the cached one, memory, latency, in one go.

python -m benchmarks.loop

Goals on two cores: what is not the steps' own work takes 3 % of the first run at most, and 5 s of a cached one.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loopline.local import prefect_environment
from loopline.settings import Settings

PROGRAM = str(Path(sys.executable).parent / "loopline")


def main() -> None:
    """Print one line a figure."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"LOOPLINE_HOME": folder}
        up = _seconds("up", environment=environment)[0]
        try:
            samples = _seconds("samples", environment=environment)[0]
            first, judged = _seconds("run", "--json", environment=environment)
            between = datetime.now(UTC)
            second, again = _seconds("run", "--json", environment=environment)
            work, cached_work = _step_seconds(Path(folder), between=between)
        finally:
            _seconds("down", environment=environment)
    packaged, peak_gb = judged["packaged"], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    figures = packaged["report"]["metrics"]
    print(f"up {up:.1f} s, samples {samples:.1f} s, first run {first:.1f} s, peak memory of a process {peak_gb:.2f} GB")
    print(f"cached run {second:.1f} s, {second / first:.3f} of the first; same outcome: {again == judged}")
    ours, cached_ours = first - work, second - cached_work
    print(
        f"not the steps' own work: {ours:.1f} s, {ours / first:.1%} of the first run; {cached_ours:.1f} s of the cached"
    )
    print(f"training {packaged['report']['model']['train_seconds']:.1f} s, {figures}")
    print(
        f"package {packaged['size_bytes'] / 1e6:.2f} MB, one 64x1024 line {packaged['latency_ms']:.1f} ms on one thread"
    )


def _seconds(*arguments: str, environment: dict[str, str]) -> tuple[float, Any]:
    start = time.monotonic()
    done = subprocess.run([PROGRAM, *arguments], env=environment, check=True, capture_output=True, text=True)
    return time.monotonic() - start, json.loads(done.stdout) if "--json" in arguments else None


def _step_seconds(home: Path, *, between: datetime) -> tuple[float, float]:
    """Return how long the steps took, as the Prefect server knows it, of the build before this time and after it."""
    os.environ |= prefect_environment(Settings(home=home, _env_file=None))
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterSubFlowRuns

    alone = TaskRunFilter(subflow_runs=TaskRunFilterSubFlowRuns(exists_=False))
    with get_client(sync_client=True) as client:
        steps = [(run.start_time, run.total_run_time) for run in client.read_task_runs(task_run_filter=alone)]
    seconds = {
        later: [took for begun, took in steps if begun and (begun > between) is later] for later in (False, True)
    }
    first, second = (sum(found, timedelta()).total_seconds() for found in seconds.values())
    return first, second


if __name__ == "__main__":
    main()
