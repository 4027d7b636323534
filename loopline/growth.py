"""How much more there is to learn from than the newest dataset version holds."""

import hashlib

from loopline.clients.store import Store
from loopline.contracts import DatasetVersion, LabeledDataset, LabelsGrown
from loopline.manifest import read_manifest
from loopline.problems import Problem


def growth(store: Store, problem: Problem, *, labeled: LabeledDataset, newest: DatasetVersion | None) -> LabelsGrown:
    """Count the labels that the newest version lacks, or has otherwise; lines it left out count as known."""
    known = read_manifest(store, newest.manifest).select(["image_sha256", "label"]).to_pylist() if newest else []
    before = {row["image_sha256"]: row["label"] for row in known}
    now = read_manifest(store, labeled.manifest).select(["image_sha256", "label", "rejected"]).to_pylist()
    usable = {row["image_sha256"]: problem.normalise_label(row["label"]) for row in now if not row["rejected"]}
    return LabelsGrown(
        problem=problem.name,
        source=labeled.raw.source,
        label_project=labeled.label_project or "",
        new_count=sum(before.get(image) != label for image, label in usable.items()),
        label_count=len(usable),
        dataset_version=newest.name if newest else None,
    )


def crossing(grown: LabelsGrown, *, enough: int) -> str:
    """Name the one crossing of a threshold since a dataset version, whatever the count is by now."""
    words = f"{grown.problem}/{grown.label_project}/{grown.dataset_version}/{enough}"
    return hashlib.sha256(words.encode()).hexdigest()
