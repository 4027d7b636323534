"""What has to go, goes: captured answers that are to be forgotten, or whose days are over."""

from prefect import flow

from loopline.capture_contracts import Swept
from tasks.caching import RESULTS
from tasks.housekeeping import sweep


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def housekeeping(problem: str = "handwriting") -> Swept:
    """What users asked to be forgotten and what is older than it may be is deleted, wherever it went."""
    return sweep(problem)
