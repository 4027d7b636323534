"""What a model's users send and get is held against what it was judged on; whoever can mend it is told."""

from prefect import flow

from loopline.orders import WatchPlan
from loopline.watch_contracts import Quiet, Watched
from tasks.caching import RESULTS
from tasks.overdue import drop_overdue
from tasks.watch import in_service, look_at_traffic, read_known, show


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json", on_running=[drop_overdue])
def watch_model(plan: WatchPlan) -> Watched | Quiet:
    """The traffic since the last look, beside the lines that the model was judged on; twice over a bound, an event."""
    model = in_service(plan)
    if isinstance(model, Quiet):
        return model
    known = read_known(model)
    found = look_at_traffic(model, known, plan)
    if isinstance(found, Watched):
        show(found)
    return found
