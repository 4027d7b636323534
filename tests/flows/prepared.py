"""Ingest, label and freeze in one run, without learning: what a test of these runs as a process of its own.

`python prepared.py LINES` makes shards of so many lines, which nobody can choose otherwise; without it the step
`version` decides. Prints the version, which holds the images, as JSON.
"""

import sys

from prefect import flow

from loopline.contracts import DatasetVersion, LabeledDataset
from loopline.dataset import freeze
from loopline.orders import SplitPlan
from loopline.problems import load_problem
from tasks.caching import keep_results_in_store
from tasks.ingest import ingest
from tasks.label_sync import label_sync
from tasks.places import registry, store, workspace
from tasks.spreading import spread
from tasks.version import version, write_shard

PROBLEM = "handwriting"


@flow
def prepare(shard_lines: int | None) -> DatasetVersion:
    labeled = label_sync(ingest(PROBLEM, "inbox/lines"), "labels.json")
    return version(labeled, SplitPlan()) if shard_lines is None else in_small_shards(labeled, shard_lines)


def in_small_shards(labeled: LabeledDataset, shard_lines: int) -> DatasetVersion:
    with workspace() as folder, spread(write_shard) as shards:
        return freeze(
            store(),
            registry(),
            problem=load_problem(PROBLEM),
            labeled=labeled,
            split=SplitPlan(),
            folder=folder,
            spread=shards,
            shard_lines=shard_lines,
        )


if __name__ == "__main__":
    keep_results_in_store()
    made = prepare(int(sys.argv[1]) if sys.argv[1:] else None)
    sys.stdout.write(DatasetVersion.model_validate(made).model_dump_json())
