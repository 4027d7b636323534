"""A machine of the GPU pool is taken away while it learns; the next one, which has none of its files, goes on."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from laptop_processes import running
from laptops import Laptop, Outcome, eventually, standing

pytestmark = pytest.mark.elsewhere

EPOCHS = 12
TO_THE_POOL = {"LOOPLINE_PREFECT__GPU_DEPLOYMENT": "fit-model/gpu"}


@pytest.fixture(scope="module")
def pool() -> Iterator[Laptop]:
    """A laptop whose worker stands for the pool."""
    with tempfile.TemporaryDirectory() as folder, standing(Path(folder) / "home", "--worker") as laptop:
        yield laptop


def learning(laptop: Laptop) -> psutil.Process:
    """Wait until a run of the worker has written a checkpoint to the store, and return its process."""
    checkpoints = laptop.home / "store" / "loopline" / "runs"
    eventually(lambda: any(path.suffix == ".ckpt" for path in checkpoints.rglob("*")), seconds=120)
    (engine,) = running(laptop.home, "prefect.engine")
    return engine


def test_a_machine_that_is_taken_away_costs_an_epoch_and_changes_no_weight(
    pool: Laptop, lines: Path, tmp_path: Path
) -> None:
    lent = replace(pool, settings=pool.settings | TO_THE_POOL)
    building = subprocess.Popen(
        lent.command(*lent.arguments(lines, epochs=EPOCHS)),
        env=lent.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    engine = learning(pool)
    engine.terminate()
    engine.wait(60)
    shutil.rmtree(pool.home / "runs")
    out, log = building.communicate(timeout=300)
    assert building.returncode == 0, log
    assert "fit-model/gpu crashed (attempt 1 of 4)" in log
    resumed = Outcome(0, out, log).judged["packaged"]["report"]["model"]
    eventually(lambda: logged(pool, rf"train: resumes after epoch \d+ of {EPOCHS}"))
    apart = pool.apart(tmp_path, bucket="whole")
    whole = apart.run(lines, epochs=EPOCHS)
    assert whole.code == 0, whole.log
    assert whole.judged["packaged"]["report"]["model"]["checkpoint"]["sha256"] == resumed["checkpoint"]["sha256"]


def logged(laptop: Laptop, pattern: str) -> bool:
    """Tell whether a run of the server logged such a line."""
    with laptop.api() as api:
        lines = api.post("/logs/filter", json={"limit": 200, "sort": "TIMESTAMP_DESC"}).raise_for_status().json()
    return any(re.search(pattern, line["message"]) for line in lines)
