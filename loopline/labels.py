"""Labels that lie beside the images: labels.json, and splits and groups where the user has them.

labels.json   {"images/00001.png": "4071", ...}; a name may leave out its folders where that is unambiguous
splits.json   {"train": [names], "validation": [names], "test": [names]} or {name: split}; optional
lines.jsonl   one object a line: {"file": name, "group": writer or document, "source": ...}; optional
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
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


def take_labels(store: Store, raw: RawDataset, *, labels: str, normalise: Callable[[str], str]) -> LabeledDataset:
    """Join the images with their labels; images without a label are left out, so that new scans retrain nothing.

    Labels that can't be used keep their row, with the reason. Raises DataError if no image has a label.
    """
    sidecars = _Sidecars(store, raw.source)
    texts = sidecars.object_(labels)
    if texts is None:
        raise DataError(f"{sidecars.place(labels)} does not exist; put it beside the images: file name to text")
    images = read_manifest(store, raw.manifest).to_pylist()
    find = _finder([image["key"] for image in images])
    by_key = {image["key"]: image for image in images}
    facts = _by_key(sidecars.lines("lines.jsonl"), find)
    splits = _splits(sidecars, find)
    rows = [
        _row(name, text, image=by_key.get(find(name) or ""), facts=facts, splits=splits) for name, text in texts.items()
    ]
    rows = _settle_duplicates(rows, normalise)
    usable = [row for row in rows if not row["rejected"]]
    if not usable:
        raise DataError(
            f"none of the {len(rows)} labels in {sidecars.place(labels)} belongs to a usable image: {_reasons(rows)}"
        )
    unlabelled = len(by_key) - sum(row["image_sha256"] is not None for row in rows) - raw.quarantined_count
    log.info(
        "label_sync: %d labels, %d rejected (%s), %d images without a label",
        len(usable),
        len(rows) - len(usable),
        _reasons(rows),
        max(unlabelled, 0),
    )
    rows.sort(key=lambda row: (row["key"], row["label"] or ""))
    return LabeledDataset(
        problem=raw.problem,
        manifest=write_manifest(store, pa.Table.from_pylist(rows, schema=SCHEMA)),
        label_count=len(usable),
        rejected_count=len(rows) - len(usable),
        agreement=None,
        raw=raw,
    )


class _Sidecars:
    """The JSON files beside the images."""

    def __init__(self, store: Store, source: str) -> None:
        self.store, self.source = store, source.strip("/")

    def place(self, name: str) -> str:
        return self.store.url(f"{self.source}/{name}")

    def object_(self, name: str) -> dict[str, Any] | None:
        text = self._text(name)
        if text is None:
            return None
        found = self._parse(text, name)
        if not isinstance(found, dict):
            raise DataError(
                f"{self.place(name)} holds a {type(found).__name__}; an object of file name to value is needed"
            )
        return found

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [self._parse(line, name) for line in (self._text(name) or "").splitlines() if line.strip()]

    def _text(self, name: str) -> str | None:
        key = f"{self.source}/{name}"
        if not self.store.exists(key):
            return None
        try:
            return self.store.read(key).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.place(name)} is not UTF-8 (byte {error.start}); save it as UTF-8") from None

    def _parse(self, text: str, name: str) -> Any:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{self.place(name)} is not JSON: {error}; mend the file and run again") from None


def _finder(keys: Iterable[str]) -> Callable[[str], str | None]:
    """Return a function from a name in a sidecar to the key of its image: exact, or by an unambiguous end."""
    known = set(keys)
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for key in known:
        by_name[key.rsplit("/", 1)[-1]].append(key)

    def find(name: str) -> str | None:
        if name in known:
            return name
        ends = [key for key in by_name[name.rsplit("/", 1)[-1]] if key.endswith("/" + name.lstrip("./"))]
        return ends[0] if len(ends) == 1 else None

    return find


def _by_key(lines: Iterable[dict[str, Any]], find: Callable[[str], str | None]) -> dict[str, dict[str, Any]]:
    return {key: line for line in lines if (key := find(str(line.get("file", ""))))}


def _splits(sidecars: _Sidecars, find: Callable[[str], str | None]) -> dict[str, str]:
    given = sidecars.object_("splits.json") or {}
    pairs = [
        (name, split)
        for first, second in given.items()
        for name, split in ([(name, first) for name in second] if isinstance(second, list) else [(first, second)])
    ]
    unknown = {str(split) for _, split in pairs} - set(SPLITS)
    if unknown:
        raise DataError(
            f"{sidecars.place('splits.json')} names the split {min(unknown)!r}; use train, validation and test"
        )
    return {key: SPLITS[split] for name, split in pairs if (key := find(name))}


def _row(name: str, text: Any, *, image: Row | None, facts: dict[str, Row], splits: dict[str, str]) -> Row:
    row: Row = {"key": name, "label": text if isinstance(text, str) else None}
    if image is None:
        return row | {"rejected": "no such image"}
    if image["quarantine_reason"]:
        return row | {"rejected": "image quarantined"}
    key = image["key"]
    known = facts.get(key, {})
    return row | {
        "image_sha256": image["image_sha256"],
        "key": key,
        "width_px": image["width_px"],
        "height_px": image["height_px"],
        "perceptual_hash": image["perceptual_hash"],
        "group": str(known["group"]) if known.get("group") is not None else None,
        "source": str(known["source"]) if known.get("source") is not None else None,
        "split": splits.get(key),
        "rejected": None if isinstance(text, str) else "label is not a text",
    }


def _settle_duplicates(rows: list[Row], normalise: Callable[[str], str]) -> list[Row]:
    """Keep one row of an image that stands under several keys; none where its labels contradict each other."""
    of_image: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row["key"])):
        if not row["rejected"]:
            of_image[row["image_sha256"]].append(row)
    for same in of_image.values():
        contradicting = len({normalise(row["label"]) for row in same}) > 1
        for row in same if contradicting else same[1:]:
            row["rejected"] = "same image with two labels" if contradicting else f"same image as {same[0]['key']}"
    return rows


def _reasons(rows: Iterable[Row]) -> str:
    counts = Counter(str(row["rejected"]).split(" as ")[0] for row in rows if row.get("rejected"))
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none"
