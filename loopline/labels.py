"""Labels that lie beside the images: labels.json, and splits and groups where the user has them.

labels.json   {"images/00001.png": "4071", ...}; a name may leave out its folders where that is unambiguous
splits.json   {"train": [names], "validation": [names], "test": [names]} or {name: split}; optional
lines.jsonl   one object a line: {"file": name, "group": writer or document, "source": ...}; optional
"""

import json
import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from loopline.clients.store import Store
from loopline.contracts import LabeledDataset, RawDataset
from loopline.errors import DataError
from loopline.manifest import read_manifest, write_manifest

log = logging.getLogger(__name__)

SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "dev": "val", "test": "test"}
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
Row = dict[str, Any]
Find = Callable[[str], Sequence[str]]


def take_labels(store: Store, raw: RawDataset, *, labels: str, normalise: Callable[[str], str]) -> LabeledDataset:
    """Join the images with their labels; images without a label are left out, so that new scans retrain nothing.

    Labels that can't be used keep their row, with the reason. Raises DataError if no image has a label, or for a file
    that doesn't hold what it should.
    """
    sidecars = _Sidecars(store, raw.source)
    images = {image["key"]: image for image in read_manifest(store, raw.manifest).to_pylist()}
    rows = _join(sidecars.texts(labels), images, sidecars)
    _settle_duplicates(rows, normalise)
    label_count = sum(not row["rejected"] for row in rows)
    reasons = told(count_reasons(rows))
    if not label_count:
        raise DataError(
            f"none of the {len(rows)} labels in {sidecars.place(labels)} belongs to a usable image ({reasons}); "
            "name the images as they are named in the source"
        )
    rejected_count, unlabelled_count = len(rows) - label_count, _count_unlabelled(images, rows)
    counts = "label_sync: %d labels, %d rejected (%s), %d images without a label"
    log.info(counts, label_count, rejected_count, reasons, unlabelled_count)
    return LabeledDataset(
        problem=raw.problem,
        manifest=write_manifest(store, pa.Table.from_pylist(rows, schema=SCHEMA)),
        label_count=label_count,
        rejected_count=rejected_count,
        agreement=None,
        raw=raw,
    )


def count_reasons(rows: Iterable[Row]) -> Counter[str]:
    """Count rejected rows by reason, leaving out what is particular: numbers, and what follows a colon."""
    return Counter(re.sub(r"\d+", "N", row["rejected"].partition(":")[0]) for row in rows if row["rejected"])


def told(counts: Counter[str]) -> str:
    """Say how often each reason occurs: 3 no such image, 1 empty label."""
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none"


class _Sidecars:
    """The JSON files beside the images."""

    def __init__(self, store: Store, source: str) -> None:
        self.store, self.source = store, source.strip("/")

    def place(self, name: str) -> str:
        return self.store.url(f"{self.source}/{name}")

    def texts(self, name: str) -> dict[str, Any]:
        texts = self.object_(name)
        if texts is None:
            raise DataError(f"{self.place(name)} does not exist; put it beside the images: file name to text")
        return texts

    def object_(self, name: str) -> dict[str, Any] | None:
        text = self._text(name)
        return None if text is None else self._object(text, self.place(name))

    def lines(self, name: str) -> list[dict[str, Any]]:
        # Not splitlines: JSON allows U+2028 and its like inside a text.
        lines = enumerate((self._text(name) or "").split("\n"), start=1)
        return [self._object(line, f"line {number} of {self.place(name)}") for number, line in lines if line.strip()]

    def _text(self, name: str) -> str | None:
        key = f"{self.source}/{name}"
        if not self.store.exists(key):
            return None
        try:
            return self.store.read(key).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.place(name)} is not UTF-8 (byte {error.start}); save it as UTF-8") from None

    def _object(self, text: str, place: str) -> dict[str, Any]:
        try:
            found = json.loads(text, object_pairs_hook=_unambiguous)
            json.dumps(found, ensure_ascii=False).encode()  # refuses half characters, which no table can hold
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} can't be read as JSON: {error}; mend the file and run again") from None
        if not isinstance(found, dict):
            raise DataError(f"{place} holds no JSON object but a {type(found).__name__}; write {{name: value, ...}}")
        return found


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for name, value in pairs:
        if found[name] != value:
            raise ValueError(f"{name!r} stands there twice, with different values")
    return found


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _finder(keys: Iterable[str]) -> Find:
    """Return a function from a name in a sidecar to the keys it may mean: the exact one, else all with that end.

    Both are compared in NFC, since one é has two spellings and file systems differ in which they keep.
    """
    known = set(keys)
    by_path: defaultdict[str, list[str]] = defaultdict(list)
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for key in known:
        by_path[_nfc(key)].append(key)
        by_name[_nfc(key).rsplit("/", 1)[-1]].append(key)

    def find(name: str) -> Sequence[str]:
        if name in known:
            return [name]
        path = _nfc(name).removeprefix("./").lstrip("/")
        ends = by_name.get(path.rsplit("/", 1)[-1], ())
        return by_path.get(path) or [key for key in ends if _nfc(key).endswith(f"/{path}")]

    return find


def _join(texts: Mapping[str, Any], images: Mapping[str, Row], sidecars: _Sidecars) -> list[Row]:
    """Return a row per label, in an order that has nothing to do with the file's."""
    find = _finder(images)
    facts, splits = _facts(sidecars, find), _splits(sidecars, find)
    rows = [
        _row(name, text, found=[images[key] for key in find(name)], facts=facts, splits=splits)
        for name, text in texts.items()
    ]
    return sorted(rows, key=lambda row: (row["key"], row["label"] or ""))


def _facts(sidecars: _Sidecars, find: Find) -> dict[str, Row]:
    pairs = [
        (line.get("file"), {field: str(line[field]) for field in ("group", "source") if line.get(field) is not None})
        for line in sidecars.lines("lines.jsonl")
    ]
    return _keyed(pairs, find, place=sidecars.place("lines.jsonl"))


def _splits(sidecars: _Sidecars, find: Find) -> dict[str, str]:
    place = sidecars.place("splits.json")
    given = sidecars.object_("splits.json") or {}
    pairs = [
        (name, str(split))
        for first, second in given.items()
        for name, split in ([(name, first) for name in second] if isinstance(second, list) else [(first, second)])
    ]
    if unknown := {split for _, split in pairs} - set(SPLITS):
        raise DataError(f"{place} names the split {min(unknown)!r}; use train, validation and test")
    return _keyed([(name, SPLITS[split]) for name, split in pairs], find, place=place)


def _keyed(pairs: Sequence[tuple[Any, Any]], find: Find, *, place: str) -> dict[str, Any]:
    """Return what a sidecar says by the key of the image; DataError if it is about none, or contradicts itself."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        keys = find(str(name))
        if len(keys) == 1 and found.setdefault(keys[0], value) != value:
            raise DataError(f"{place} says two things about {keys[0]}; keep the one that holds")
    if pairs and not found:
        raise DataError(f"{place} names none of the images, such as {pairs[0][0]!r}; name them as in the source")
    return found


def _row(name: str, text: Any, *, found: Sequence[Row], facts: Mapping[str, Row], splits: Mapping[str, str]) -> Row:
    row = dict.fromkeys(SCHEMA.names) | {"key": name, "label": text if isinstance(text, str) else None}
    if len(found) != 1:
        return row | {"rejected": "several such images" if found else "no such image"}
    (image,) = found
    if image["quarantine_reason"]:
        return row | {"key": image["key"], "rejected": "image quarantined"}
    return (
        row
        | {field: image[field] for field in ("image_sha256", "key", "width_px", "height_px", "perceptual_hash")}
        | facts.get(image["key"], {})
        | {"split": splits.get(image["key"]), "rejected": None if isinstance(text, str) else "label is not a text"}
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
