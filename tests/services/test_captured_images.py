"""What users sent is offered to people in a real Label Studio; nothing of it is learnt before a person labelled it."""

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import packages
import pytest
from asked import KEY, NOW, line, prediction_id, put, put_correction
from PIL import Image
from projects import ANN, PROBLEM, Bench, picture, quality_result

from loopline.board import IMAGE
from loopline.capture_contracts import Captures
from loopline.captured_images import read_chosen, take_captures
from loopline.captures import RECORD, bare_png, place, tombstone
from loopline.contracts import LabeledDataset, Offer
from loopline.dataset import assign_splits
from loopline.errors import ConfigError
from loopline.guessing import Guesser
from loopline.intake import take_images
from loopline.label_review import gather_review
from loopline.labels import SCHEMA, take_labels
from loopline.manifest import read_manifest
from loopline.orders import SplitPlan
from loopline.serving import Predictor
from loopline.settings import Settings

OTHER = hashlib.sha256(b"another key").hexdigest()


@dataclass
class Desk(Bench):
    """A project to which captured pictures are offered beside those of a source."""

    def take_captures(self, **plan: Any) -> Captures:
        raw = self.put("own")
        return take_captures(self.store, self.client, raw=raw, plan=self.plan.model_copy(update=plan), newest=None)

    def collect(self, *, guesser: Guesser | None = None, **plan: Any) -> Offer:
        captures = self.take_captures(**plan)
        return self.offer(guesser=guesser, captured=read_chosen(self.store, captures), **plan)

    def shown(self) -> dict[str, dict[str, Any]]:
        """The data of the tasks that show a captured picture, by prediction id."""
        tasks = self.sdk.tasks.list(project=self.project.id, fields="all", resolve_uri=False)
        return {task.data["capture"]: dict(task.data) for task in tasks if "capture" in task.data}

    def guesses(self, name: str) -> dict[str, str]:
        """The guesses on a captured picture's task, by who made them."""
        tasks = self.sdk.tasks.list(project=self.project.id, fields="all")
        (task,) = [task for task in tasks if task.data.get("capture") == name]
        found = list(task.dict()["predictions"])
        assert len({guess["model_version"] for guess in found}) == len(found)
        return {guess["model_version"]: guess["result"][0]["value"]["text"][0] for guess in found}

    def say_of(self, name: str, text: Any) -> None:
        (key,) = [data["key"] for capture, data in self.shown().items() if capture == name]
        self.say(key.removesuffix(".png"), text)

    def rows(self, labeled: LabeledDataset | None = None) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_manifest(
            self.store, (labeled or self.take()).manifest, schema=SCHEMA
        ).to_pylist()
        return rows


@pytest.fixture
def desk(label_studio: Settings) -> Desk:
    return Desk(Desk(label_studio).apart().settings)


def guesser(desk: Desk, version: str) -> Guesser:
    return Guesser(desk.store, PROBLEM, version=version, predictor=Predictor.open(packages.package()))


def test_what_a_user_wrote_stands_beside_the_champions_guess(desk: Desk) -> None:
    name = put(desk.store, line("a"), correction="what it says")
    offered = desk.collect(guesser=guesser(desk, "v1.0.0"))
    assert (offered.offered_count, offered.captured_count, offered.over_limit_count) == (2, 1, 0)
    assert desk.guesses(name).keys() == {"v1.0.0", "user"}
    assert desk.guesses(name)["user"] == "what it says"
    data = desk.shown()[name]
    assert desk.store.read(f"blobs/{data[IMAGE]}") == bare_png(line("a"))
    assert desk.collect(guesser=guesser(desk, "v1.0.0")).offered_count == 0
    assert desk.collect(guesser=guesser(desk, "v2.0.0")).guess_count == 2
    assert desk.guesses(name).keys() == {"v2.0.0", "user"}, "a new champion takes no user's word away"


def test_a_correction_that_comes_later_is_added_and_first_in_the_queue(desk: Desk) -> None:
    name = put(desk.store, line("a"))
    desk.collect()
    assert desk.guesses(name) == {}
    put_correction(desk.store, name, "now I see")
    desk.collect()
    assert desk.guesses(name) == {"user": "now I see"}
    assert desk.shown()[name]["priority"] == 1
    desk.collect()
    assert desk.guesses(name) == {"user": "now I see"}


def test_a_captured_picture_is_learnt_from_once_a_person_has_labelled_it(desk: Desk) -> None:
    corrected = put(desk.store, line("a"), correction="by its user")
    unreadable, untouched = put(desk.store, line("b")), put(desk.store, line("c"))
    desk.collect(guesser=guesser(desk, "v1.0.0"))
    assert desk.rows() == []
    desk.say("own", "one")
    desk.say_of(corrected, "by a person")
    desk.say_of(unreadable, quality_result("Unreadable"))
    rows = {row["key"]: row for row in desk.rows()}
    keys = {name: place(name, ".png") for name in (corrected, unreadable, untouched)}
    assert {key: row["rejected"] or row["label"] for key, row in rows.items()} == {
        "own.png": "one",
        keys[corrected]: "by a person",
        keys[unreadable]: "judged unreadable",
    }
    row = rows[keys[corrected]]
    assert (row["source"], row["group"]) == ("captured", f"captured {KEY[:12]} 2026-11-26")
    assert (row["width_px"], row["height_px"], row["annotator"]) == (160, 32, ANN)


def test_no_file_of_labels_brings_a_captured_picture_in(desk: Desk) -> None:
    name = put(desk.store, line("a"), correction="trust me")
    desk.collect()
    key = place(name, ".png")
    names = {key: "smuggled", key.rpartition("/")[2]: "smuggled", desk.store.url(key): "smuggled", "own.png": "one"}
    desk.store.write(f"{desk.source}/labels.json", json.dumps(names).encode())
    for labeled in (desk.take(), take_labels(desk.store, desk.raw, labels="labels.json", normalise=str)):
        assert {row["label"] for row in desk.rows(labeled) if not row["rejected"]} == {"one"}
    for source in ("captured", "captured/dt=2026-11-26", desk.store.url("captured/")):
        with pytest.raises(ConfigError, match=r"which nobody has reviewed; .*--captures"):
            take_images(desk.store, "handwriting", source)


def test_a_task_that_was_changed_by_hand_brings_nothing_in(desk: Desk) -> None:
    name = put(desk.store, line("a"))
    desk.collect()
    task = desk.tasks()[place(name, "")]
    desk.say_of(name, "said")
    desk.sdk.tasks.update(id=str(task), data={**desk.shown()[name], "width_px": -1})
    assert [row["rejected"] for row in desk.rows()] == ["no such image in the source"]


@pytest.mark.parametrize("askers", [(KEY, KEY, OTHER), (OTHER, OTHER, KEY)])
def test_a_picture_counts_once_however_often_and_however_it_is_sent(desk: Desk, askers: tuple[str, ...]) -> None:
    for key in askers:
        put(desk.store, line("a"), key_hash=key)
    squeezed = io.BytesIO()
    line("a").save(squeezed, "JPEG", quality=80)
    again = put(desk.store, Image.open(squeezed).convert("L"), correction="corrected")
    put(desk.store, Image.open(io.BytesIO(picture("own"))))
    captures = desk.take_captures()
    assert (captures.image_count, captures.known_count, captures.repeated_count) == (1, 1, 3)
    assert [one.capture for one in read_chosen(desk.store, captures)] == [again], "the one with most to tell stands"
    assert desk.collect().captured_count == 1
    put(desk.store, line("a"))
    assert desk.collect().captured_count == 0


def test_a_flood_of_one_key_is_capped_counted_and_named(desk: Desk) -> None:
    flood = [put(desk.store, line(f"flood {number}"), confidence=0.1) for number in range(9)]
    corrected = put(desk.store, line("corrected"), confidence=0.9, correction="yes")
    few = {put(desk.store, line(f"other {number}"), key_hash=OTHER, confidence=0.99) for number in range(2)}
    captures = desk.take_captures(captures_key_limit=3)
    chosen = {one.capture for one in read_chosen(desk.store, captures)}
    assert few | {corrected} <= chosen and len(chosen) == 5
    assert captures.over_limit == {KEY[:12]: 7}
    offered = desk.collect(captures_key_limit=3, captures_limit=2)
    assert (offered.captured_count, offered.over_limit_count) == (2, 3)
    assert corrected in desk.shown() and set(desk.shown()) <= {corrected, *few, *flood}


def test_what_can_not_be_used_is_counted_and_what_is_to_be_forgotten_is_no_longer_there(desk: Desk) -> None:
    good, forgotten, other, damaged, swapped = (put(desk.store, line(name)) for name in "abcde")
    put(desk.store, line("f"), model="garments:123456789abc")
    desk.store.write(place(other, RECORD), b"{}")
    desk.store.write(place(damaged, ".png"), b"no picture")
    desk.store.write(place(swapped, ".png"), bare_png(line("another")))
    desk.store.write(tombstone(forgotten), b"")
    desk.store.write(f"captured/dt=2026-11-26/{prediction_id()}.png", b"its record never came")
    captures = desk.take_captures()
    assert [one.capture for one in read_chosen(desk.store, captures)] == [good]
    assert captures.unusable == {
        "its record can't be read": 1,
        "it is another problem's": 1,
        "its picture is not the one of its record": 2,
    }
    assert desk.take_captures().unusable == captures.unusable


def test_a_source_with_splits_of_its_own_leaves_captured_lines_to_the_hash() -> None:
    own = {"key": "a.png", "image_sha256": "a" * 64, "split": "test", "group": None}
    sent = {"key": f"captured/dt=2026-11-26/{prediction_id()}.png", "split": None, "group": "captured 1 2026-11-26"}
    left_out = own | {"key": "b.png", "image_sha256": "b" * 64, "split": None}
    rows = [
        {"rejected": None, "label": "one", "width_px": 160, "height_px": 32, "perceptual_hash": n * 64} | row
        for n, row in zip("07f", (own, sent | {"image_sha256": "c" * 64}, left_out), strict=True)
    ]
    assign_splits(rows, problem=PROBLEM, split=SplitPlan(val_share=0, test_share=0))
    assert [(row["split"], row["rejected"]) for row in rows] == [
        ("test", None),
        ("train", None),
        (None, "in none of the splits of splits.json"),
    ]


def test_the_page_counts_captured_pictures_among_the_images(desk: Desk) -> None:
    put(desk.store, line("a"))
    name = put(desk.store, line("b"))
    desk.collect()
    desk.say_of(name, "said")
    review = gather_review(desk.store, PROBLEM, labeled=desk.take(), people={}, server_url="")
    assert (review.counts.image_count, review.counts.label_count, review.open_count) == (3, 1, 2)
    assert NOW.year == 2026
