"""Tell the world that there is more to learn from."""

from loopline.contracts import Artifact, LabeledDataset, LabelsGrown
from loopline.events import fact
from loopline.growth import crossing, growth
from loopline.orders import LabelPlan
from loopline.problems import load_problem
from tasks.caching import step
from tasks.places import registry, store
from tasks.showing import log
from tasks.telling import tell


@step()
def announce_growth(labeled: LabeledDataset, plan: LabelPlan, *, page: Artifact) -> LabelsGrown:
    """Count what is new since the newest dataset version, and emit loopline.labels.grown once it is enough.

    Once per crossing.
    """
    objects, problem = store(), load_problem(labeled.problem)
    datasets = registry().datasets(problem.name)
    grown = growth(objects, problem, labeled=labeled, newest=datasets[-1] if datasets else None)
    grown = grown.model_copy(update={"page": page})
    log().info("labels: %d new or changed of %d", grown.new_count, grown.label_count)
    if grown.new_count >= plan.enough:
        key, resource = crossing(grown, enough=plan.enough), f"loopline.labels.{grown.problem}"
        told = fact("loopline.labels.grown", grown, key=key, resource=resource, name=grown.label_project)
        tell(objects, told)
    return grown
