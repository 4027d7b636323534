"""Freeze labelled images as a dataset version."""

from loopline.contracts import Artifact, DatasetVersion, LabeledDataset, ShardPlan
from loopline.dataset import freeze
from loopline.orders import SplitPlan
from loopline.problems import load_problem
from loopline.shards import make_shard
from tasks.caching import step
from tasks.places import registry, store, workspace
from tasks.spreading import spread

SHARDS = ("loopline/shards.py", "loopline/images.py", "loopline/manifest.py")
SOURCES = (*SHARDS, "loopline/dataset.py", "loopline/labels.py", "loopline/captures.py")


@step(sources=SOURCES)
def version(labeled: LabeledDataset, split: SplitPlan) -> DatasetVersion:
    """Decide which lines are used and on which side, write shards, commit and tag."""
    problem = load_problem(labeled.problem)
    with workspace() as folder, spread(write_shard) as shards:
        return freeze(store(), registry(), problem=problem, labeled=labeled, split=split, folder=folder, spread=shards)


@step(sources=SHARDS)
def write_shard(plan: ShardPlan) -> Artifact:
    """Preprocess the images of one new shard."""
    with workspace() as folder:
        return make_shard(store(), registry(), plan, problem=load_problem(plan.problem), folder=folder)
