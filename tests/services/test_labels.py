"""Labels beside the images, in a real object store: which belongs to which image, and what is said if none does."""

import io
import json
import logging
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loopline.clients.store import Store
from loopline.contracts import LabeledDataset
from loopline.errors import DataError
from loopline.intake import take_images
from loopline.labels import SCHEMA, take_labels
from loopline.manifest import read_manifest
from loopline.problems.handwriting.alphabet import normalise_label
from loopline.settings import StoreSettings

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
JSON_LINES = (
    '{"file": "1.png", "group": "Zoé", "source": "census"}\n\n{"file": "2.png", "group": 7, "text": "a\u2028b"}\n'
)


@dataclass(frozen=True)
class Inbox:
    """A source of its own for each test."""

    store: Store
    source: str

    def put(self, contents: Mapping[str, Any]) -> None:
        """Put files there: bytes as they are, a number as a picture of its own, anything else as JSON."""
        self.store.upload_all({f"{self.source}/{name}": as_bytes(content) for name, content in contents.items()})

    def take(self, contents: Mapping[str, Any], *, labels: str = "labels.json") -> LabeledDataset:
        self.put(contents)
        raw = take_images(self.store, "handwriting", self.source)
        return take_labels(self.store, raw, labels=labels, normalise=normalise_label)

    def rows(self, contents: Mapping[str, Any]) -> list[dict[str, Any]]:
        return read_manifest(self.store, self.take(contents).manifest, schema=SCHEMA).to_pylist()

    def told(self, contents: Mapping[str, Any]) -> dict[str, str | None]:
        """The label of each row that is used, the reason of each that is not."""
        return {row["key"]: row["rejected"] or row["label"] for row in self.rows(contents)}


def as_bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if not isinstance(content, int):
        return json.dumps(content).encode()
    target = io.BytesIO()
    pixels = np.random.default_rng(content).integers(256, size=(16, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


@pytest.fixture(scope="module")
def store(s3_server: StoreSettings) -> Store:
    return opened(s3_server, bucket=f"labels-{uuid.uuid4().hex[:8]}")


def opened(server: StoreSettings, **place: str) -> Store:
    store = Store(server.model_copy(update=place))
    store.ensure_bucket()
    return store


@pytest.fixture
def inbox(store: Store) -> Inbox:
    return Inbox(store, f"inbox/{uuid.uuid4().hex}")


def test_name_may_leave_out_folders(inbox: Inbox) -> None:
    labels = {"a/1.png": "exact", "2.png": "end", "d/3.png": "longer end", "./5.png": "dot", "/c/6.png": "slash"}
    images = {"a/1.png": 1, "b/2.png": 2, "c/d/3.png": 3, "c/44.png": 4, "5.png": 5, "c/6.png": 6}
    assert inbox.told({**images, "labels.json": {**labels, "4.png": "no end of a name"}}) == {
        "a/1.png": "exact",
        "b/2.png": "end",
        "c/d/3.png": "longer end",
        "5.png": "dot",
        "c/6.png": "slash",
        "4.png": "no such image",
    }


def test_name_that_fits_two_images_is_rejected_unless_it_is_exact(inbox: Inbox) -> None:
    images = {"a/1.png": 1, "b/1.png": 2, "2.png": 3, "c/2.png": 4}
    told = {"1.png": "several such images", "2.png": "exact"}
    assert inbox.told({**images, "labels.json": {"1.png": "either", "2.png": "exact"}}) == told
    told = {"a/1.png": "one", "b/1.png": "other"}
    assert inbox.told({"labels.json": told}) == told


@pytest.mark.parametrize("key", [NFC, NFD])
@pytest.mark.parametrize("name", [NFC, NFD])
def test_name_is_found_in_either_unicode_spelling(inbox: Inbox, key: str, name: str) -> None:
    images = {f"{NFD}/{key}.png": 1, f"{key}-2.png": 2}
    labels = {f"{name}.png": "end", f"{name}-2.png": "exact"}
    rows = inbox.rows({**images, "labels.json": labels, "splits.json": dict.fromkeys(labels, "test")})
    assert {(row["key"], row["label"], row["split"]) for row in rows} == {
        (f"{NFD}/{key}.png", "end", "test"),
        (f"{key}-2.png", "exact", "test"),
    }


@pytest.mark.parametrize(
    "splits",
    [
        {"train": ["1.png"], "validation": ["2.png", "unknown.png"], "test": ["a/3.png"]},
        {"1.png": "train", "2.png": "val", "3.png": "test"},
    ],
)
def test_splits_come_in_both_forms(inbox: Inbox, splits: Any) -> None:
    images = {f"a/{number}.png": number for number in range(1, 5)}
    rows = inbox.rows({**images, "labels.json": dict.fromkeys(images, "x"), "splits.json": splits})
    assert [row["split"] for row in rows] == ["train", "val", "test", None]


def test_groups_and_sources_come_from_lines(inbox: Inbox) -> None:
    images = {f"{number}.png": number for number in range(1, 4)}
    files = {"labels.json": dict.fromkeys(images, "x"), "lines.jsonl": JSON_LINES.encode("utf-8-sig")}
    rows = inbox.rows({**images, **files})
    assert [(row["group"], row["source"]) for row in rows] == [("Zoé", "census"), ("7", None), (None, None)]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"labels.json": b"1.png: x"}, "labels.json can't be read as JSON"),
        ({"labels.json": b""}, "labels.json can't be read as JSON"),
        ({"labels.json": b"[" * 100_000}, "labels.json can't be read as JSON"),
        ({"labels.json": b'{"1.png": 1' + b"0" * 5000 + b"}"}, "labels.json can't be read as JSON"),
        ({"labels.json": b'{"1.png": "half \\ud83d"}'}, "labels.json can't be read as JSON"),
        ({"labels.json": b'{"1.png": "a", "1.png": "b"}'}, "'1.png' stands there twice, with different values"),
        ({"labels.json": ["1.png", "x"]}, "labels.json holds no JSON object but a list"),
        ({"labels.json": '{"1.png": "x"}'.encode("utf-16")}, "labels.json is not UTF-8 (byte 0)"),
        ({"labels.json": '{"1.png": "é"}'.encode("latin-1")}, "labels.json is not UTF-8 (byte 11)"),
        ({"splits.json": {"training": ["1.png"]}}, "splits.json names the split 'training'"),
        ({"splits.json": {"1.png": None}}, "splits.json names the split 'None'"),
        ({"splits.json": {"train": ["x/1.png", 1]}}, "splits.json names none of the images"),
        ({"splits.json": {"train": ["1.png"], "test": ["./1.png"]}}, "splits.json says two things about 1.png"),
        ({"lines.jsonl": b'{"file": "1.png"}\n{"fi'}, "line 2 of s3://"),
        ({"lines.jsonl": b'["1.png", "Zoe"]'}, "line 1 of s3://"),
        ({"lines.jsonl": b'{"image": "1.png", "group": "Zoe"}'}, "lines.jsonl names none of the images"),
    ],
)
def test_file_that_does_not_hold_what_it_should_is_told_in_a_sentence(
    inbox: Inbox, files: dict[str, Any], sentence: str
) -> None:
    message = refusal(inbox, {"1.png": 1, "labels.json": {"1.png": "x"}, **files})
    assert sentence in message
    assert inbox.store.url(inbox.source) in message


def refusal(inbox: Inbox, contents: dict[str, Any]) -> str:
    with pytest.raises(DataError) as refused:
        inbox.take(contents)
    message = str(refused.value)
    assert "\n" not in message
    assert ";" in message, "it must say what to do"
    return message


def test_missing_labels_are_told_in_a_sentence(inbox: Inbox) -> None:
    assert f"{inbox.source}/labels.json does not exist" in refusal(inbox, {"1.png": 1})


def test_labels_may_have_another_name_and_a_byte_order_mark(inbox: Inbox) -> None:
    labeled = inbox.take({"1.png": 1, "mine.json": '{"1.png": "é"}'.encode("utf-8-sig")}, labels="mine.json")
    assert labeled.label_count == 1


def test_label_without_a_usable_image_is_rejected_and_an_image_without_label_is_left_out(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    labels = {"1.png": "x", "gone.png": "y", "also gone.png": "z", "cut.png": "w", "2.png": 42}
    images = {"1.png": 1, "2.png": 2, "3.png": 3, "a/cut.png": as_bytes(4)[:60], "b.png": b""}
    with caplog.at_level(logging.INFO, logger="loopline.labels"):
        labeled = inbox.take({**images, "labels.json": labels})
    assert (labeled.label_count, labeled.rejected_count) == (1, 4)
    rows = read_manifest(inbox.store, labeled.manifest).to_pylist()
    assert {row["key"]: row["rejected"] for row in rows} == {
        "1.png": None,
        "2.png": "label is not a text",
        "a/cut.png": "image quarantined",
        "also gone.png": "no such image",
        "gone.png": "no such image",
    }
    assert caplog.messages == [
        "label_sync: 1 labels, 4 rejected (2 no such image, 1 label is not a text, 1 image quarantined), "
        "1 images without a label"
    ]


def test_image_without_a_label_changes_nothing(inbox: Inbox) -> None:
    first = inbox.take({"1.png": 1, "labels.json": {"1.png": "x"}})
    second = inbox.take({"2.png": 2, "broken.png": b"oops"})
    assert first.raw.digest != second.raw.digest
    assert first.digest == second.digest


def test_same_image_with_one_label_is_taken_once(inbox: Inbox) -> None:
    images = {"a.png": 1, "b.png": 1, "c.png": 2}
    told = inbox.told({**images, "labels.json": {"b.png": NFC, "a.png": f" {NFD}", "c.png": "other"}})
    assert told == {"a.png": f" {NFD}", "b.png": "same image as: a.png", "c.png": "other"}


def test_same_image_with_two_labels_is_not_taken(inbox: Inbox) -> None:
    images = {"a.png": 1, "b.png": 1, "c.png": 2}
    told = inbox.told({**images, "labels.json": {"a.png": "one", "b.png": "two", "c.png": "other"}})
    assert told == {"a.png": "same image with two labels", "b.png": "same image with two labels", "c.png": "other"}


def test_digest_knows_neither_order_nor_place(inbox: Inbox, s3_server: StoreSettings) -> None:
    labels = {f"{number}.png": f"label {number}" for number in range(9)} | {"gone.png": "x", "7.png": 7}
    labels |= {"./1.png": " label  1", "a/1.png": "label 1"}
    images = {f"{number}.png": number for number in range(9)} | {"a/1.png": 1, "cut.png": b"oops"}
    first = inbox.take({**images, "labels.json": labels})
    backwards = dict(reversed(labels.items()))
    elsewhere = Inbox(opened(s3_server, bucket="labels-elsewhere", prefix="deep/down"), "inbox/lines")
    second = elsewhere.take({**images, "labels.json": backwards})
    assert first.digest == second.digest
    assert (first.label_count, first.rejected_count) == (8, 4)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [({}, "0 labels"), ({"gone.png": "x", "a.png": "y", "1.png": 3}, "3 labels")],
)
def test_nothing_usable_is_told_with_the_counts(inbox: Inbox, labels: dict[str, Any], counts: str) -> None:
    message = refusal(inbox, {"1.png": 1, "2.png": b"oops", "labels.json": labels})
    assert f"none of the {counts} in {inbox.store.url(inbox.source)}/labels.json belongs to a usable image" in message
    assert not labels or "(2 no such image, 1 label is not a text)" in message
