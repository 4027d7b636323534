"""Freeze labelled images as a dataset version."""

from loopline.contracts import DatasetVersion, LabeledDataset
from loopline.dataset import freeze
from loopline.orders import SplitPlan
from loopline.problems import load_problem
from tasks.caching import step
from tasks.places import registry, store, workspace

SOURCES = ("loopline/dataset.py", "loopline/images.py", "loopline/labels.py", "loopline/manifest.py")


@step(sources=(*SOURCES, "loopline/captures.py"))
def version(labeled: LabeledDataset, split: SplitPlan) -> DatasetVersion:
    """Decide which lines are used and on which side, write shards, commit and tag."""
    with workspace() as folder:
        return freeze(
            store(), registry(), problem=load_problem(labeled.problem), labeled=labeled, split=split, folder=folder
        )
