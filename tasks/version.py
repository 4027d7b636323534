"""Freeze labelled images as a dataset version."""

from loopline.contracts import DatasetVersion, LabeledDataset
from loopline.dataset import freeze
from loopline.orders import SplitPlan
from loopline.problems import load_problem
from tasks.caching import step
from tasks.places import registry, store, workspace

SHARDS = ("loopline/shards.py", "loopline/images.py", "loopline/manifest.py")
SOURCES = (*SHARDS, "loopline/dataset.py", "loopline/labels.py", "loopline/captures.py")


@step(sources=SOURCES)
def version(labeled: LabeledDataset, split: SplitPlan) -> DatasetVersion:
    """Decide which lines are used and on which side, write shards, commit and tag."""
    with workspace() as folder:
        return freeze(
            store(), registry(), problem=load_problem(labeled.problem), labeled=labeled, split=split, folder=folder
        )
