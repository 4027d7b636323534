"""Labels that people gave in a real Label Studio become a labelled dataset, whatever they typed, and whoever did."""

import json
from typing import Any

import pytest
from projects import ANN, BEN, COY, Bench, quality_result, text_result

from loopline.errors import DataError
from loopline.settings import Settings


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    found = Bench(label_studio)
    found.offer("a", "b", "c", "d")
    return found


def test_what_people_said_becomes_labels(bench: Bench) -> None:
    bench.say("a", " one  line ")
    bench.say("b", "deux", who=BEN)
    assert bench.told() == {"a": "one line", "b": "deux"}
    taken = bench.take()
    assert (taken.label_count, taken.rejected_count, taken.label_project) == (2, 0, bench.title)


def test_the_dataset_depends_on_the_labels_alone(bench: Bench) -> None:
    bench.say("a", "one")
    bench.say("b", "two")
    first = bench.take().digest
    number = bench.say("c", "three")
    assert bench.take().digest != first
    bench.sdk.annotations.delete(id=number)
    assert bench.take().digest == first


def test_a_project_without_labels_gives_none(bench: Bench) -> None:
    assert bench.told() == {}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ([], "no text"),
        (quality_result("Bad"), "judged bad"),
        (quality_result("Unreadable") + text_result("one"), "judged unreadable"),
        (quality_result("Good") + text_result("one"), "one"),
        (text_result("one", field_name="captioning"), "one"),
        (text_result("one", field_name="bbox"), "unknown field: bbox"),
        (text_result("one") + text_result("two"), "2 texts for one line"),
        (text_result("x") * 10_000, "10000 texts for one line"),
        ([{"from_name": "transcription", "type": "textarea", "value": None}], "no text"),
        (text_result("שלום 🙂"), "שלום 🙂"),
        (
            text_result("a\x00b\x07c\td\u202ee\u200b"),
            "a\x00b\x07c d\u202ee\u200b",
        ),  # set aside by the problem's own rules
        (text_result("x" * 100_000), "100000 characters in one line"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_every_answer_is_a_label_or_has_its_reason(bench: Bench, result: Any, told: str) -> None:
    bench.say("a", result)
    assert bench.told() == {"a": told}


def test_skips_drafts_and_guesses_are_no_labels(bench: Bench) -> None:
    bench.say("a", "typed, then skipped", was_cancelled=True)
    request = {"task": bench.tasks()["b"], "result": text_result("guess"), "model_version": "v1", "score": 0.9}
    bench.sdk.predictions.create(**request)  # type: ignore[arg-type]
    bench.sdk.annotations.create(id=bench.tasks()["c"], result=text_result("said"))
    assert bench.told() == {"c": "said"}


def test_of_one_person_the_latest_counts_and_two_who_agree_are_one_label(bench: Bench) -> None:
    bench.say("a", "first", who=ANN)
    bench.say("a", "second", who=ANN)
    bench.say("b", "same", who=ANN)
    bench.say("b", "same", who=BEN)
    assert bench.told() == {"a": "second", "b": "same"}
    assert bench.take().agreement == 1


def test_two_who_disagree_give_no_label_and_a_third_settles_it(bench: Bench) -> None:
    bench.say("a", "one", who=ANN)
    bench.say("a", "won", who=BEN)
    assert bench.told() == {"a": "annotators disagree: one | won"}
    bench.say("a", "won", who=COY)
    assert bench.told() == {"a": "won"}


def test_a_label_for_an_image_that_left_the_source_is_set_aside(bench: Bench) -> None:
    bench.say("a", "one")
    bench.say("b", "two")
    bench.store.delete(f"{bench.source}/a.png")
    told = bench.told()
    assert told.pop("b") == "two"
    assert list(told.values()) == ["no such image in the source"]


def test_a_project_that_was_deleted_is_named(bench: Bench) -> None:
    bench.say("a", "one")
    bench.sdk.projects.delete(id=bench.project.id)
    with pytest.raises(DataError, match=rf"has no project '{bench.title}'"):
        bench.take()


def test_labels_beside_the_images_hold_where_nobody_has_spoken(bench: Bench) -> None:
    bench.say("a", "by hand")
    beside = {"a.png": "beside", "b.png": "beside", "x.png": "beside"}
    bench.store.write(f"{bench.source}/labels.json", json.dumps(beside).encode())
    assert bench.told() == {"a": "by hand", "b": "beside", "x": "no such image"}
