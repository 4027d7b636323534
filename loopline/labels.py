"""Labels joined with images: one row a label, with the reason where it can't be used. Here from labels.json."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from loopline.clients.store import Store
from loopline.contracts import Artifact, LabeledDataset, RawDataset
from loopline.errors import DataError
from loopline.manifest import read_manifest, write_manifest
from loopline.sidecars import Row, Sidecars, finder

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        pa.field("image_sha256", pa.string()),
        pa.field("key", pa.string(), nullable=False),
        pa.field("width_px", pa.int32()),
        pa.field("height_px", pa.int32()),
        pa.field("perceptual_hash", pa.string()),
        pa.field("label", pa.string()),
        pa.field("group", pa.string()),
        pa.field("source", pa.string()),
        pa.field("split", pa.string()),
        pa.field("annotator", pa.string()),
        pa.field("rejected", pa.string()),
    ]
)


def take_labels(store: Store, raw: RawDataset, *, labels: str, normalise: Callable[[str], str]) -> LabeledDataset:
    """Join the images with their labels; images without a label are left out, so that new scans retrain nothing.

    Labels that can't be used keep their row, with the reason. Raises DataError if no image has a label, or for a file
    that doesn't hold what it should.
    """
    sidecars, images = Sidecars(store, raw.source), images_by_key(store, raw)
    rows = file_rows(sidecars.texts(labels), images, sidecars, normalise=normalise)
    if all(row["rejected"] for row in rows):
        raise DataError(
            f"none of the {len(rows)} labels in {sidecars.place(labels)} belongs to a usable image "
            f"({told(count_reasons(rows))}); name the images as they are named in the source"
        )
    return publish_labels(store, raw, rows, unlabelled_count=_count_unlabelled(images, rows))


def images_by_key(store: Store, raw: RawDataset) -> dict[str, Row]:
    """Return what ingest found, by the key of the image."""
    return {image["key"]: image for image in read_manifest(store, raw.manifest).to_pylist()}


def file_rows(
    texts: Mapping[str, Any], images: Mapping[str, Row], sidecars: Sidecars, *, normalise: Callable[[str], str]
) -> list[Row]:
    """Return a row for each label of a file, an image's labels settled where it stands under several keys."""
    rows = _join(texts, images, sidecars)
    _settle_duplicates(rows, normalise)
    return rows


def publish_labels(
    store: Store,
    raw: RawDataset,
    rows: Sequence[Row],
    *,
    unlabelled_count: int,
    agreement: float | None = None,
    label_project: str | None = None,
    label_snapshot: Artifact | None = None,
) -> LabeledDataset:
    """Store rows of labels as a manifest."""
    label_count, reasons = sum(not row["rejected"] for row in rows), told(count_reasons(rows))
    counts = "label_sync: %d labels, %d rejected (%s), %d images without a label"
    log.info(counts, label_count, len(rows) - label_count, reasons, unlabelled_count)
    return LabeledDataset(
        problem=raw.problem,
        manifest=write_manifest(store, pa.Table.from_pylist(list(rows), schema=SCHEMA)),
        label_count=label_count,
        rejected_count=len(rows) - label_count,
        agreement=agreement,
        raw=raw,
        label_project=label_project,
        label_snapshot=label_snapshot,
    )


def image_facts(image: Row, *, facts: Mapping[str, Row], splits: Mapping[str, str]) -> Row:
    """Return what a row says of its image, whoever labelled it."""
    named = {field: image[field] for field in ("image_sha256", "key", "width_px", "height_px", "perceptual_hash")}
    return named | facts.get(image["key"], {}) | {"split": splits.get(image["key"])}


def count_reasons(rows: Iterable[Row]) -> Counter[str]:
    """Count rejected rows by reason, leaving out what is particular: numbers, and what follows a colon."""
    return Counter(re.sub(r"\d+", "N", row["rejected"].partition(":")[0]) for row in rows if row["rejected"])


def told(counts: Counter[str]) -> str:
    """Say how often each reason occurs: 3 no such image, 1 empty label."""
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none"


def _join(texts: Mapping[str, Any], images: Mapping[str, Row], sidecars: Sidecars) -> list[Row]:
    """Return a row per label, in an order that has nothing to do with the file's."""
    find = finder(images)
    facts, splits = sidecars.facts(find), sidecars.splits(find)
    rows = [
        _row(name, text, found=[images[key] for key in find(name)], facts=facts, splits=splits)
        for name, text in texts.items()
    ]
    return sorted(rows, key=lambda row: (row["key"], row["label"] or ""))


def _row(name: str, text: Any, *, found: Sequence[Row], facts: Mapping[str, Row], splits: Mapping[str, str]) -> Row:
    row = dict.fromkeys(SCHEMA.names) | {"key": name, "label": text if isinstance(text, str) else None}
    if len(found) != 1:
        return row | {"rejected": "several such images" if found else "no such image"}
    (image,) = found
    if image["quarantine_reason"]:
        return row | {"key": image["key"], "rejected": "image quarantined"}
    return (
        row
        | image_facts(image, facts=facts, splits=splits)
        | {"rejected": None if isinstance(text, str) else "label is not a text"}
    )


def _settle_duplicates(rows: Iterable[Row], normalise: Callable[[str], str]) -> None:
    """Keep one row of an image that stands under several keys; none where its labels contradict each other."""
    of_image: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not row["rejected"]:
            of_image[row["image_sha256"]].append(row)
    for same in of_image.values():
        contradicting = len({normalise(row["label"]) for row in same}) > 1
        for row in same if contradicting else same[1:]:
            row["rejected"] = "same image with two labels" if contradicting else f"same image as: {same[0]['key']}"


def _count_unlabelled(images: Mapping[str, Row], rows: Iterable[Row]) -> int:
    accepted = {key for key, image in images.items() if not image["quarantine_reason"]}
    return len(accepted - {row["key"] for row in rows})
