"""From labelled images to a version that can be trained on: which lines are used, on which side, in which shard."""

import io
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from rich.progress import track

from loopline.clients.dvc import artifact
from loopline.clients.store import Store
from loopline.contracts import DatasetVersion, LabeledDataset, SplitPlan
from loopline.errors import DataError
from loopline.images import decode
from loopline.labels import SCHEMA as LABELED_SCHEMA
from loopline.manifest import read_manifest, write_parquet
from loopline.problems import Pixels, Problem, Sample
from loopline.registry import Registry

log = logging.getLogger(__name__)

Row = dict[str, Any]
SPLITS = ("train", "val", "test")  # a later one wins a line that stands, nearly the same, in an earlier one
SCHEMA = LABELED_SCHEMA.append(pa.field("shard", pa.string())).append(pa.field("position", pa.int32()))
SHARD_SCHEMA = pa.schema(
    [("image_sha256", pa.string()), ("width_px", pa.int32()), ("height_px", pa.int32()), ("png", pa.binary())]
)
SHARD_LINES = 2000  # some 40 MB: one request moves much, one changed line rewrites none
NEAR_BITS = (
    24  # of 256 bits of perceptual hash that a re-encoded picture may differ in; unrelated lines differ in about 128
)
DECODERS = 4


def freeze(
    store: Store, registry: Registry, *, problem: Problem, labeled: LabeledDataset, split: SplitPlan, folder: Path
) -> DatasetVersion:
    """Make a labelled dataset a version in the registry; the same content gives the version that is there already.

    Raises DataError, with the counts by reason, if a split is left without a line.
    """
    rows = read_manifest(store, labeled.manifest).to_pylist()
    assign_splits(rows, problem=problem, split=split)
    used = [row for row in rows if not row["rejected"]]
    sizes = Counter(row["split"] for row in used)
    _log_counts(rows, sizes)
    if missing := [name for name in SPLITS if not sizes[name]]:
        raise DataError(
            f"no usable line is left for {' and '.join(missing)} ({_counts(rows)}); "
            "add labelled lines, or change the shares or splits.json"
        )
    kept, places = _shards_so_far(store, registry, problem=problem.name)
    new = _write_shards(
        store, sorted({row["image_sha256"] for row in used} - set(places)), problem=problem, folder=folder
    )
    for name, path in new.items():
        images = pq.read_table(path, columns=["image_sha256"])["image_sha256"].to_pylist()
        places |= {sha256: (name, number) for number, sha256 in enumerate(images)}
    for row in used:
        row["shard"], row["position"] = places[row["image_sha256"]]
    manifest = write_parquet(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "manifest.parquet")
    shards = kept | {sha256: registry.artifact(path) for sha256, path in new.items()}
    draft = DatasetVersion(
        problem=problem.name,
        manifest=registry.artifact(manifest),
        shards=tuple(shards[sha256] for sha256 in sorted({row["shard"] for row in used})),
        split_sizes={name: sizes[name] for name in SPLITS},
        vocabulary=problem.vocabulary(row["label"] for row in used if row["split"] == "train"),
        name="",
        git_revision="",
        labeled=labeled,
    )
    return registry.commit_dataset(draft, files={draft.manifest.sha256: manifest, **new})


def assign_splits(rows: list[Row], *, problem: Problem, split: SplitPlan) -> None:
    """Give each row its normalised label and its side, or the reason why it is left out, in place.

    A line's side follows a keyed hash of its group alone, so it never changes; where the source has splits of its own,
    a line they leave out is rejected.
    """
    own = split.own and any(row["split"] for row in rows)
    for row in rows:
        if row["rejected"]:
            continue
        row["label"] = problem.normalise_label(row["label"])
        row["rejected"] = problem.reject(row["label"], row["width_px"], row["height_px"])
        if not own:
            row["split"] = side(row["group"] or row["image_sha256"], split)
        elif not row["split"]:
            row["rejected"] = row["rejected"] or "in none of the splits of splits.json"
    _keep_apart(rows)


def side(group: str, split: SplitPlan) -> str:
    """Return train, val or test for a group by a keyed hash (BLAKE2b), the same for ever."""
    digest = blake2b(group.encode(), key=split.key.encode()[:64], digest_size=8).digest()
    share = int.from_bytes(digest) / 2**64
    if share < split.test_share:
        return "test"
    return "val" if share < split.test_share + split.val_share else "train"


def _keep_apart(rows: list[Row]) -> None:
    """Reject lines whose writer, or whose near-duplicate with the same label, stands on a later side."""
    by_label: defaultdict[str, list[Row]] = defaultdict(list)
    last_side: dict[str, int] = {}
    for row in rows:
        if row["rejected"]:
            continue
        by_label[row["label"]].append(row)
        if row["group"]:
            last_side[row["group"]] = max(last_side.get(row["group"], 0), SPLITS.index(row["split"]))
    for row in rows:
        if not row["rejected"] and row["group"] and last_side[row["group"]] > SPLITS.index(row["split"]):
            row["rejected"] = f"its group also stands in {SPLITS[last_side[row['group']]]}"
    for same in by_label.values():
        _reject_near_duplicates(sorted(same, key=lambda row: -SPLITS.index(row["split"])))


def _reject_near_duplicates(rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        if row["rejected"]:
            continue
        for later in rows[:number]:
            bits = (int(row["perceptual_hash"], 16) ^ int(later["perceptual_hash"], 16)).bit_count()
            if bits <= NEAR_BITS and row["split"] != later["split"] and not later["rejected"]:
                row["rejected"] = f"near-duplicate of {later['key']} in {later['split']}"
                break


def _shards_so_far(
    store: Store, registry: Registry, *, problem: str
) -> tuple[dict[str, Any], dict[str, tuple[str, int]]]:
    versions = registry.datasets(problem)
    if not versions:
        return {}, {}
    rows = read_manifest(store, versions[-1].manifest).select(["image_sha256", "shard", "position"]).to_pylist()
    places = {row["image_sha256"]: (row["shard"], row["position"]) for row in rows if row["shard"]}
    return {shard.sha256: shard for shard in versions[-1].shards}, places


def _write_shards(store: Store, images: Sequence[str], *, problem: Problem, folder: Path) -> dict[str, Path]:
    """Preprocess images and write them into new shards; return the files by digest."""
    written = {}
    rows = track(_preprocessed(store, images, problem), "version: shards", len(images), disable=not images)
    table_rows: list[Row] = []
    for number, row in enumerate(rows, start=1):
        table_rows.append(row)
        if len(table_rows) == SHARD_LINES or number == len(images):
            path = write_parquet(
                pa.Table.from_pylist(table_rows, schema=SHARD_SCHEMA), folder / f"shard-{number}.parquet"
            )
            written[artifact(path).sha256] = path
            table_rows = []
    return written


def _preprocessed(store: Store, images: Sequence[str], problem: Problem) -> Iterator[Row]:
    def preprocess(sha256: str) -> Row:
        pixels = problem.preprocess(decode(store.read(f"blobs/{sha256}")))
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        return {
            "image_sha256": sha256,
            "width_px": pixels.shape[1],
            "height_px": pixels.shape[0],
            "png": png.getvalue(),
        }

    with ThreadPoolExecutor(DECODERS) as pool:
        yield from pool.map(preprocess, images)


@dataclass(frozen=True)
class Lines:
    """A dataset version on this machine, ready to learn from."""

    splits: dict[str, list[Sample]]
    rejected: dict[str, int]


def load_lines(store: Store, dataset: DatasetVersion, *, cache: Path) -> Lines:
    """Fetch the manifest and shards that are not on this machine yet, and return the samples of each split."""
    shards = {}
    for shard in track(dataset.shards, "fetch shards"):
        path = cache / f"{shard.sha256}.parquet"
        shards[shard.sha256] = pq.read_table(path if path.exists() else store.fetch(shard, path))
    rows = read_manifest(store, dataset.manifest).to_pylist()
    splits: dict[str, list[Sample]] = {name: [] for name in SPLITS}
    for row in rows:
        if not row["rejected"]:
            splits[row["split"]].append(_sample(row, shards[row["shard"]]))
    return Lines(splits, dict(Counter(_kind(row["rejected"]) for row in rows if row["rejected"])))


def _sample(row: Row, shard: pa.Table) -> Sample:
    at = row["position"]

    def pixels() -> Pixels:
        return np.asarray(Image.open(io.BytesIO(shard["png"][at].as_py())))

    return Sample(
        image_sha256=row["image_sha256"],
        pixels=pixels,
        label=row["label"],
        width_px=shard["width_px"][at].as_py(),
        height_px=shard["height_px"][at].as_py(),
        key=row["key"],
        group=row["group"] or "",
        source=row["source"] or "",
    )


def _kind(reason: str) -> str:
    return reason.split(" of ")[0].split(" as ")[0]


def _counts(rows: Sequence[Row]) -> str:
    return (
        ", ".join(
            f"{count} {reason}"
            for reason, count in Counter(_kind(r["rejected"]) for r in rows if r["rejected"]).most_common()
        )
        or "none"
    )


def _log_counts(rows: Sequence[Row], sizes: Counter[str]) -> None:
    rejected = sum(bool(row["rejected"]) for row in rows)
    split_sizes = ", ".join(f"{sizes[name]} {name}" for name in SPLITS)
    log.info("version: %d lines (%s), %d rejected (%s)", len(rows) - rejected, split_sizes, rejected, _counts(rows))
