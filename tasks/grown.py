"""Tell the world that there is more to learn from."""

from uuid import NAMESPACE_URL, uuid5

from prefect.events import emit_event
from prefect.logging import get_run_logger

from loopline.contracts import Artifact, LabeledDataset, LabelsGrown
from loopline.growth import crossing, growth
from loopline.orders import LabelPlan
from loopline.problems import load_problem
from tasks.caching import step
from tasks.places import registry, store


@step()
def announce_growth(labeled: LabeledDataset, plan: LabelPlan, *, page: Artifact) -> LabelsGrown:
    """Count what is new since the newest dataset version, and emit loopline.labels.grown once it is enough.

    Once per crossing: what was told is written down in the store, and the event's id follows from the crossing.
    """
    objects, problem = store(), load_problem(labeled.problem)
    datasets = registry().datasets(problem.name)
    grown = growth(objects, problem, labeled=labeled, newest=datasets[-1] if datasets else None)
    grown = grown.model_copy(update={"page": page})
    get_run_logger().info("labels: %d new or changed of %d", grown.new_count, grown.label_count)
    name = crossing(grown, enough=plan.enough)
    told = f"events/labels.grown/{name}.json"
    if grown.new_count >= plan.enough and not objects.exists(told):
        emit_event(
            "loopline.labels.grown",
            resource={
                "prefect.resource.id": f"loopline.labels.{grown.problem}",
                "prefect.resource.name": grown.label_project,
            },
            payload=grown.model_dump(mode="json"),
            id=uuid5(NAMESPACE_URL, f"loopline.labels.grown/{name}"),
        )
        objects.write(told, grown.model_dump_json().encode())
    return grown
