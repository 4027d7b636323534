"""From labelled images to a version that can be trained on: which lines are used, on which side, in which shard."""

import hashlib
import io
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from loopline.captures import is_captured
from loopline.clients.store import Store
from loopline.contracts import Artifact, DatasetVersion, LabeledDataset
from loopline.errors import DataError
from loopline.images import NEAR_BITS, RULES
from loopline.labels import SCHEMA as LABELED_SCHEMA
from loopline.labels import count_reasons, told
from loopline.manifest import read_manifest, write_parquet
from loopline.orders import SplitPlan
from loopline.problems import Pixels, Problem, Sample
from loopline.registry import Registry
from loopline.shards import SHARD_LINES, Spread, write_shards

log = logging.getLogger(__name__)

Row = dict[str, Any]
SPLITS = ("train", "val", "test")  # a later one wins a line that stands, nearly the same, in an earlier one
SCHEMA = LABELED_SCHEMA.append(pa.field("shard", pa.string())).append(pa.field("position", pa.int32()))


def freeze(
    store: Store,
    registry: Registry,
    *,
    problem: Problem,
    labeled: LabeledDataset,
    split: SplitPlan,
    folder: Path,
    spread: Spread | None = None,
    shard_lines: int = SHARD_LINES,
) -> DatasetVersion:
    """Make a labelled dataset a version in the registry; the same content gives the version that is there already.

    With `spread`, others make the new shards; the outcome is the same. Raises DataError, with the counts by reason, if
    a split is left without a line.
    """
    rows = read_manifest(store, labeled.manifest).to_pylist()
    assign_splits(rows, problem=problem, split=split)
    used = [row for row in rows if not row["rejected"]]
    sizes = Counter(row["split"] for row in used)
    _check_sizes(rows, sizes)
    vocabulary = problem.vocabulary(row["label"] for row in used if row["split"] == "train")
    _log_unlearnable(used, vocabulary)
    write = partial(write_shards, store, problem=problem, folder=folder, spread=spread, line_count=shard_lines)
    shards, new = _place(store, registry, rows=used, problem=problem, write=write)
    manifest = write_parquet(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "manifest.parquet")
    draft = DatasetVersion(
        problem=problem.name,
        manifest=registry.artifact(manifest),
        shards=shards,
        split_sizes={name: sizes[name] for name in SPLITS},
        vocabulary=vocabulary,
        rules=_rules(problem),
        name="",
        git_revision="",
        labeled=labeled,
    )
    return registry.commit_dataset(draft, files={draft.manifest.sha256: manifest, **new})


def assign_splits(rows: list[Row], *, problem: Problem, split: SplitPlan) -> None:
    """Give each row its normalised label and its side, or the reason why it is left out, in place.

    A line's side follows a keyed hash of its group alone, so it never changes; where the source has splits of its own,
    a line they leave out is rejected. They can't know what users of the service sent: there the hash decides always.
    """
    own = split.own and any(row["split"] for row in rows)
    for row in rows:
        if row["rejected"]:
            continue
        row["label"] = problem.normalise_label(row["label"])
        row["rejected"] = problem.reject(row["label"], row["width_px"], row["height_px"])
        if not own or is_captured(row["key"]):
            row["split"] = side(row["group"] or row["image_sha256"], split)
        elif not row["split"]:
            row["rejected"] = row["rejected"] or "in none of the splits of splits.json"
    _keep_apart(rows)


def side(group: str, split: SplitPlan) -> str:
    """Return train, val or test for a group by a keyed hash (BLAKE2b), the same for ever."""
    digest = hashlib.blake2b(group.encode(), key=split.key.encode()[:64], digest_size=8).digest()
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
    """Reject each row that looks like one before it on another side; the later sides come first."""
    hashes = np.array([np.frombuffer(bytes.fromhex(row["perceptual_hash"]), np.uint64) for row in rows])
    for number, row in enumerate(rows):
        bits = np.bitwise_count(hashes[:number] ^ hashes[number]).sum(axis=1)
        for later in (rows[near] for near in np.flatnonzero(bits <= NEAR_BITS)):
            if row["split"] != later["split"] and not later["rejected"]:
                row["rejected"] = f"near-duplicate in {later['split']}: {later['key']}"
                break


def _place(
    store: Store,
    registry: Registry,
    *,
    rows: Sequence[Row],
    problem: Problem,
    write: Callable[[Sequence[str]], Iterable[Path]],
) -> tuple[tuple[Artifact, ...], dict[str, Path]]:
    """Note in each row which shard holds its image, and where; return the shards, and the files of the new ones."""
    images = {row["image_sha256"] for row in rows}
    shards, places = _shards_so_far(store, registry, images=images, problem=problem)
    new = {}
    for path in write(sorted(images - places.keys())):
        shard = registry.artifact(path)
        new[shard.sha256], shards[shard.sha256] = path, shard
        held = pq.read_table(path, columns=["image_sha256"])["image_sha256"].to_pylist()
        places |= {image: (shard.sha256, number) for number, image in enumerate(held)}
    for row in rows:
        row["shard"], row["position"] = places[row["image_sha256"]]
    return tuple(shards[sha256] for sha256 in sorted({row["shard"] for row in rows})), new


def _shards_so_far(
    store: Store, registry: Registry, *, images: Set[str], problem: Problem
) -> tuple[dict[str, Artifact], dict[str, tuple[str, int]]]:
    """Find images in the shards of earlier versions, whose number is small, from the newest back."""
    shards: dict[str, Artifact] = {}
    places: dict[str, tuple[str, int]] = {}
    for version in reversed(registry.datasets(problem.name)):
        if images <= places.keys():
            break
        if version.rules != _rules(problem):
            continue
        rows = read_manifest(store, version.manifest).select(["image_sha256", "shard", "position"]).to_pylist()
        held = {row["image_sha256"]: (row["shard"], row["position"]) for row in rows if row["shard"]}
        places = {image: place for image, place in held.items() if image in images} | places
        shards |= {shard.sha256: shard for shard in version.shards}
    return shards, places


def _rules(problem: Problem) -> str:
    return f"{RULES}.{problem.rules}"


@dataclass(frozen=True)
class Lines:
    """A dataset version on this machine, ready to learn from."""

    splits: dict[str, list[Sample]]
    rejected: dict[str, int]


def load_lines(store: Store, dataset: DatasetVersion, *, cache: Path) -> Lines:
    """Fetch the shards that are not on this machine yet, or damaged there, and return the samples of each split.

    Raises IntegrityError if the store's own bytes were altered.
    """
    paths = {shard.sha256: cache / f"{shard.sha256}.parquet" for shard in dataset.shards}
    store.fetch_all(
        {paths[shard.sha256]: shard for shard in dataset.shards if not _is_whole(paths[shard.sha256], shard)}
    )
    shards = {sha256: pq.read_table(path) for sha256, path in paths.items()}
    rows = read_manifest(store, dataset.manifest).to_pylist()
    splits: dict[str, list[Sample]] = {name: [] for name in SPLITS}
    for row in rows:
        if not row["rejected"]:
            splits[row["split"]].append(_sample(row, shards[row["shard"]]))
    return Lines(splits, dict(count_reasons(rows)))


def _is_whole(path: Path, shard: Artifact) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest() == shard.sha256


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


def _check_sizes(rows: Sequence[Row], sizes: Counter[str]) -> None:
    reasons = count_reasons(rows)
    lines = ", ".join(f"{sizes[name]} {name}" for name in SPLITS)
    found = f"{sizes.total()} lines ({lines}), {reasons.total()} rejected ({told(reasons)})"
    log.info("version: %s", found)
    if missing := [name for name in SPLITS if not sizes[name]]:
        raise DataError(
            f"no usable line is left for {' and '.join(missing)}: {found}; "
            "add labelled lines, or change the shares or splits.json"
        )


def _log_unlearnable(rows: Sequence[Row], vocabulary: Sequence[str]) -> None:
    """Name the characters that are judged and never taught."""
    unseen = {character for row in rows for character in row["label"]} - set(vocabulary)
    if unseen:
        line_count = sum(not unseen.isdisjoint(row["label"]) for row in rows)
        named = ", ".join(map(repr, sorted(unseen)))
        log.info("version: %s in %d lines of val and test, never in train, so never learnt", named, line_count)
