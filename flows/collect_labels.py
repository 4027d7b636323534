"""Labels from people: offer what is not labelled yet, take what they said, tell when there is more to learn from."""

from prefect import flow

from loopline.contracts import LabelsGrown
from loopline.orders import LabelPlan
from tasks.caching import RESULTS
from tasks.captures import take_captures
from tasks.grown import announce_growth
from tasks.ingest import ingest
from tasks.label_report import label_report
from tasks.label_sync import label_sync
from tasks.offer import offer
from tasks.overdue import drop_overdue


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json", on_running=[drop_overdue])
def collect_labels(plan: LabelPlan) -> LabelsGrown:
    """Images without a label become tasks; what people said, labels and a page about them; enough of them, an event."""
    raw = ingest(plan.problem, plan.source)
    captures = take_captures(raw, plan) if plan.captures else None
    offer(raw, plan, captures)
    labeled = label_sync(raw, plan.labels)
    page = label_report(labeled)
    return announce_growth(labeled, plan, page=page)
