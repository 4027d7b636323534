"""Join images and labels."""

from loopline.contracts import LabeledDataset, RawDataset
from loopline.labels import take_labels
from loopline.problems import load_problem
from tasks.caching import step
from tasks.places import store


@step()
def label_sync(raw: RawDataset, labels: str) -> LabeledDataset:
    """Read the labels that lie beside the images."""
    return take_labels(store(), raw, labels=labels, normalise=load_problem(raw.problem).normalise_label)
