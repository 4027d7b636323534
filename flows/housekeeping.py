"""What was left undone is done: events that nobody was told, captured answers that are to go."""

from prefect import flow

from loopline.capture_contracts import Swept
from tasks.caching import RESULTS
from tasks.housekeeping import look, sweep, tell_left
from tasks.overdue import drop_overdue


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json", on_running=[drop_overdue])
def housekeeping(problem: str = "handwriting", full: bool = False) -> Swept:
    """What happened is told if nobody was; what users sent is deleted when they say so, or when its days are over.

    Then what the registry names is looked for in the store: quickly, or in full, each byte.
    """
    tell_left(problem)
    swept = sweep(problem)
    look(problem, full=full)
    return swept
