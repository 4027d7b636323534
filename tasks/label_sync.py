"""Join images and labels."""

from loopline.contracts import LabeledDataset, RawDataset
from loopline.labels import take_labels
from loopline.problems import load_problem
from loopline.project_labels import project_title, take_project
from tasks.caching import step
from tasks.places import label_studio, store


@step()
def label_sync(raw: RawDataset, labels: str) -> LabeledDataset:
    """Read the labels that lie beside the images, or what people have said in a label project since the last time."""
    problem = load_problem(raw.problem)
    if title := project_title(labels):
        return take_project(store(), raw, client=label_studio(), title=title, problem=problem)
    return take_labels(store(), raw, labels=labels, normalise=problem.normalise_label)
