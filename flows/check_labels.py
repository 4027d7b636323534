"""Labels that are probably wrong: found by models that have not learnt from them, and looked at again by people."""

from prefect import flow

from flows.dispatch import on
from loopline.contracts import DatasetVersion, Suspects
from loopline.orders import CheckPlan
from tasks.caching import RESULTS
from tasks.suspects import find_suspects, newest_dataset, queue_suspects


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def check_labels(plan: CheckPlan) -> Suspects:
    """The labels of the newest dataset version are judged; people are asked about the most doubtful."""
    dataset = newest_dataset(plan)
    suspects = on("gpu", judge_labels)(dataset=dataset, plan=plan)
    queue_suspects(suspects, plan)
    return suspects


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def judge_labels(dataset: DatasetVersion, plan: CheckPlan) -> Suspects:
    """The part that wants a GPU: as many models as there are folds, each judging what it never saw."""
    return find_suspects(dataset, plan)
