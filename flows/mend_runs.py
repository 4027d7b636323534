"""Runs that say they run, and whose process is dead, are called crashed, so that nothing waits for them."""

from prefect import flow

from tasks.mending import SILENCE_SECONDS, end_dead_runs
from tasks.overdue import drop_overdue


@flow(on_running=[drop_overdue])
def mend_runs(silence_seconds: int = SILENCE_SECONDS) -> None:
    """What is RUNNING without a sign of life becomes Crashed, also what was killed before its first heartbeat."""
    end_dead_runs(silence_seconds)
