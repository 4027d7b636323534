"""What was left undone is done: events that nobody was told, captured answers that are to go."""

from prefect import flow

from loopline.capture_contracts import Swept
from tasks.caching import RESULTS
from tasks.housekeeping import sweep, tell_left


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def housekeeping(problem: str = "handwriting") -> Swept:
    """What happened is told if nobody was; what users sent is deleted when they say so, or when its days are over."""
    tell_left(problem)
    return sweep(problem)
