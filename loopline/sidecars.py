"""The JSON files that may lie beside the images: labels, and splits and groups where the user has them.

labels.json   {"images/00001.png": "4071", ...}; a name may leave out its folders where that is unambiguous
splits.json   {"train": [names], "validation": [names], "test": [names]} or {name: split}; optional
lines.jsonl   one object a line: {"file": name, "group": writer or document, "source": ...}; optional
"""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from loopline.clients.store import Store
from loopline.errors import DataError

SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "dev": "val", "test": "test"}

Row = dict[str, Any]
Find = Callable[[str], Sequence[str]]


class Sidecars:
    """The JSON files beside the images of a source."""

    def __init__(self, store: Store, source: str) -> None:
        self.store, self.source = store, source.strip("/")

    def place(self, name: str) -> str:
        """Return where a file is, or would be."""
        return self.store.url(f"{self.source}/{name}")

    def texts(self, name: str) -> dict[str, Any]:
        """Return what a file of labels says, by the name of the image; DataError if there is none."""
        texts = self.texts_if_any(name)
        if texts is None:
            raise DataError(f"{self.place(name)} does not exist; put it beside the images: file name to text")
        return texts

    def texts_if_any(self, name: str) -> dict[str, Any] | None:
        """Return what a file of labels says, or None if there is none."""
        return self._object_of(name)

    def facts(self, find: Find) -> dict[str, Row]:
        """Return group and source by the key of the image; DataError for a file that is about none of the images."""
        pairs = [
            (
                line.get("file"),
                {name: str(line[name]) for name in ("group", "source") if line.get(name) is not None},
            )
            for line in self._lines("lines.jsonl")
        ]
        return _keyed(pairs, find, place=self.place("lines.jsonl"))

    def splits(self, find: Find) -> dict[str, str]:
        """Return train, val or test by the key of the image; DataError for any other word."""
        place = self.place("splits.json")
        given = self._object_of("splits.json") or {}
        pairs = [
            (name, str(split))
            for first, second in given.items()
            for name, split in ([(name, first) for name in second] if isinstance(second, list) else [(first, second)])
        ]
        if unknown := {split for _, split in pairs} - set(SPLITS):
            raise DataError(f"{place} names the split {min(unknown)!r}; use train, validation and test")
        return _keyed([(name, SPLITS[split]) for name, split in pairs], find, place=place)

    def _object_of(self, name: str) -> dict[str, Any] | None:
        text = self._text(name)
        return None if text is None else self._object(text, self.place(name))

    def _lines(self, name: str) -> list[dict[str, Any]]:
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


def finder(keys: Iterable[str]) -> Find:
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
