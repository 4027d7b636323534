"""Show people what came of their labelling: the page about it, and the annotators on the flow run."""

from dataclasses import replace

from loopline.contracts import Artifact, LabeledDataset
from loopline.label_page import summary, write_page
from loopline.label_review import gather_review
from loopline.problems import load_problem
from loopline.settings import Settings
from tasks.caching import step
from tasks.places import label_studio, registry, store
from tasks.showing import link, table


@step()
def label_report(labeled: LabeledDataset) -> Artifact:
    """Write the page about the labels of a project, with the names and the address that Label Studio has now."""
    objects, problem, server = store(), load_problem(labeled.problem), label_studio()
    datasets = registry().datasets(problem.name)
    review = gather_review(
        objects,
        problem,
        labeled=labeled,
        people=server.people(),
        server_url=server.url,
        vocabulary=datasets[-1].vocabulary if datasets else (),
    )
    review = replace(review, price_per_hour=Settings().label_studio.price_per_hour)
    written = write_page(objects, review)
    table(summary(review), key="annotators", description="Annotators, and how far they agree")
    link(objects.url(written.uri), key="label-report", text="Page about the labels")
    return written
