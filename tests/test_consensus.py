"""What holds where several people transcribed the same line, and what each of them is worth."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from loopline.consensus import Opinion, settle
from loopline.edits import LONGEST
from loopline.medoid import MOST_CANDIDATES

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORDS = ["the", "engine", "turns", "and", "so", "does", "a", "wheel", "of", "fortune", "above", "seven", "lines"]


def said(image: str, annotator: str, text: str, *, annotation: int = 1, minute: int = 0) -> Opinion:
    return Opinion(
        image_sha256=image,
        annotator=annotator,
        text=text,
        task=1,
        annotation=annotation,
        updated_at=NOON + timedelta(minutes=minute),
        seconds=30,
    )


def lines(texts: Mapping[str, Sequence[str]]) -> list[Opinion]:
    """Each annotator's texts, of one image after the other; "" where they skipped one."""
    return [
        said(f"{number:03d}", annotator, text)
        for annotator, of_images in texts.items()
        for number, text in enumerate(of_images)
        if text
    ]


def slipped(text: str, *, seed: int, count: int = 1) -> str:
    """The text with some letters replaced by digits."""
    draw = random.Random(seed)
    for place in draw.sample(range(len(text)), count):
        text = text[:place] + draw.choice("0123456789") + text[place + 1 :]
    return text


def apprenticeship(line_count: int = 40) -> list[Opinion]:
    """Lines on which ann and bob make no error, cy makes many, and dan and eve a few."""
    truths = [" ".join(random.Random(number).sample(WORDS, 6)) for number in range(line_count)]
    errors = {"ann": 0, "bob": 0, "cy": 8, "dan": 1, "eve": 1}
    return [
        said(f"past {number:03d}", name, slipped(truth, seed=1000 * place + number, count=count))
        for number, truth in enumerate(truths)
        for place, (name, count) in enumerate(errors.items())
    ]


def contested(**texts: str) -> list[Opinion]:
    """One image of which each person says something, after the apprenticeship."""
    return apprenticeship() + [said("now", name, text) for name, text in texts.items()]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_opinions_changes_nothing(seed: int) -> None:
    opinions = contested(ann="un", cy="uu", dan="an", eve="nn")
    shuffled = random.Random(seed).sample(opinions, len(opinions))
    assert settle(shuffled) == settle(opinions)


@pytest.mark.parametrize("seed", range(5))
def test_what_people_are_called_changes_no_label(seed: int) -> None:
    opinions = contested(ann="un", bob="uu", dan="un", cy="uu")
    names = ["ann", "bob", "cy", "dan", "eve"]
    renamed = dict(zip(names, random.Random(seed).sample(names, 5), strict=True))
    others = settle(replace(opinion, annotator=renamed[opinion.annotator]) for opinion in opinions)
    for image, settled in settle(opinions).images.items():
        found = others.images[image]
        assert (found.text, found.conflict) == (settled.text, settled.conflict)
        assert found.support == pytest.approx(settled.support)


def test_of_one_person_the_latest_opinion_counts_in_whatever_task_it_was_given() -> None:
    early, late = said("a", "ann", "draft", annotation=9), said("a", "ann", "final", annotation=2, minute=5)
    settled = settle([replace(late, task=7), early]).images["a"]
    assert (settled.text, settled.annotators, settled.conflict) == ("final", ("ann",), False)
    assert [opinion.task for opinion in settled.opinions] == [7]


def test_of_two_opinions_at_the_same_moment_the_later_annotation_counts() -> None:
    opinions = [said("a", "ann", "second", annotation=2), said("a", "ann", "first", annotation=1)]
    assert settle(opinions).images["a"].text == "second"


def test_a_single_opinion_is_the_label() -> None:
    settled = settle([said("a", "ann", "seven")]).images["a"]
    assert (settled.text, settled.support, settled.conflict) == ("seven", 1, False)


def test_two_who_agree_outvote_one_however_trusted() -> None:
    settled = settle(contested(ann="seven", cy="eleven", dan="eleven")).images["now"]
    assert (settled.text, settled.conflict) == ("eleven", False)
    assert 0.5 < settled.support < 2 / 3


def test_a_careless_annotator_loses_a_tie() -> None:
    for careful, careless in (("seven", "eleven"), ("eleven", "seven")):
        settled = settle(contested(ann=careful, dan=careful, bob=careless, cy=careless)).images["now"]
        assert (settled.text, settled.conflict) == (careful, False)


def test_two_who_disagree_are_a_conflict_whatever_they_weigh() -> None:
    consensus = settle(contested(ann="seven", cy="eleven"))
    settled = consensus.images["now"]
    assert consensus.annotators["ann"].weight > 1 > consensus.annotators["cy"].weight
    assert settled.support > 0.5
    assert settled.conflict


def test_three_who_all_differ_are_a_conflict_and_the_nearest_text_is_shown() -> None:
    settled = settle([said("a", "ann", "wheel"), said("a", "bob", "wheal"), said("a", "cy", "whoal")]).images["a"]
    assert settled.conflict
    assert settled.text == "wheal"
    assert settled.support == pytest.approx(1 / 3)
    assert [opinion.text for opinion in settled.opinions] == ["wheel", "wheal", "whoal"]


def test_two_against_two_of_the_same_standing_are_a_conflict() -> None:
    texts = {"ann": "seven", "bob": "seven", "cy": "eleven", "dan": "eleven"}
    settled = settle(said("a", name, text) for name, text in texts.items()).images["a"]
    assert (settled.conflict, settled.support) == (True, 0.5)


def test_a_tie_goes_to_the_text_that_more_say_and_then_to_the_first() -> None:
    most = settle(said("a", name, text) for name, text in zip("pqrs", ["b", "b", "a", "c"], strict=True))
    none = settle(said("a", name, text) for name, text in zip("pqr", ["c", "b", "a"], strict=True))
    assert (most.images["a"].text, none.images["a"].text) == ("b", "a")


def test_careless_people_weigh_less_and_none_twice_as_much_as_another() -> None:
    people = settle(apprenticeship()).annotators
    assert min(people[name].weight for name in ("ann", "bob", "dan", "eve")) > 1 > people["cy"].weight
    assert max(person.weight for person in people.values()) < 2 * min(person.weight for person in people.values())


def test_nobody_vouches_for_themself() -> None:
    opinions = lines({"ann": ["seven", "lines"], "bob": ["seben", "line"]})
    people = settle(opinions).annotators
    assert people["ann"].cer == pytest.approx(2 / len("sebenline"))
    assert people["bob"].cer == pytest.approx(2 / len("sevenlines"))


def test_a_newcomer_weighs_about_as_much_as_the_mean() -> None:
    people = settle(contested(ann="seven", bob="seven", fay="se")).annotators
    assert people["fay"].cer == pytest.approx(3 / 5)
    assert people["cy"].cer is not None
    assert people["cy"].cer < 3 / 5
    assert people["cy"].weight < people["fay"].weight < 1


def test_who_was_always_alone_has_the_mean_weight_and_no_figures() -> None:
    record = settle([*apprenticeship(), said("other", "fay", "seven")]).annotators["fay"]
    assert (record.weight, record.cer, record.agreement, record.overruled_count) == (1, None, None, 0)
    assert (record.line_count, record.shared_count) == (1, 0)


def test_a_record_tells_how_often_one_was_right_or_overruled_and_how_long_it_took() -> None:
    texts = {
        "ann": ["one", "two", "six", "ten", "own"],
        "bob": ["one", "two", "six", "tin", ""],
        "cy": ["one", "tvvo", "", "", ""],
    }
    people = settle(lines(texts)).annotators
    assert (people["cy"].line_count, people["cy"].shared_count) == (2, 2)
    assert (people["cy"].agreement, people["cy"].overruled_count) == (0.5, 1)
    assert people["cy"].cer == pytest.approx(2 / 6)
    assert (people["ann"].agreement, people["ann"].overruled_count) == (0.75, 0)
    assert people["ann"].minutes == pytest.approx(5 * 30 / 60)


def test_without_lead_times_no_minutes_are_told() -> None:
    timed, untimed = said("a", "ann", "one"), replace(said("b", "ann", "two"), seconds=None)
    assert settle([untimed]).annotators["ann"].minutes is None
    assert settle([timed, untimed]).annotators["ann"].minutes == 0.5


def test_nobody_agrees_with_themself() -> None:
    assert settle([said("a", "ann", "one"), said("b", "bob", "two")]).agreement is None
    assert settle([]).agreement is None


@pytest.mark.parametrize("text", ["שָׁלוֹם עולם", "السلام عليكم", "❤️ 👨‍👩‍👧 🏴󠁧󠁢󠁷󠁬󠁳󠁿", "a\ud800", ""], ids=ascii)
def test_any_text_is_settled_as_it_was_given(text: str) -> None:
    opinions = [said("a", "ann", text), said("a", "bob", text), said("a", "cy", "x")]
    settled = settle(opinions).images["a"]
    assert (settled.text, settled.conflict) == (text, False)


@pytest.mark.timeout(60)
def test_texts_of_100_kb_are_told_apart_to_the_last_character() -> None:
    long = "".join(random.Random(0).choices("abcdefgh ", k=100_000))
    one_off = long[:-1] + "!"
    settled = settle([said("a", "ann", long), said("a", "bob", one_off), said("a", "cy", one_off)]).images["a"]
    assert (settled.text == one_off, settled.conflict) == (True, False)
    assert settle([said("a", "ann", long), said("a", "bob", one_off)]).images["a"].conflict


@pytest.mark.timeout(60)
def test_an_image_may_have_ten_thousand_opinions() -> None:
    texts = [slipped("the wheel of fortune", seed=number, count=number % 3) for number in range(10_000)]
    consensus = settle(said("a", f"{number:05d}", text) for number, text in enumerate(texts))
    settled = consensus.images["a"]
    assert settled.text == "the wheel of fortune"
    assert settled.conflict
    assert len(settled.annotators) == 10_000
    assert consensus.agreement is not None


@pytest.mark.timeout(60)
def test_what_more_than_half_say_is_settled_among_however_many_texts() -> None:
    strays = ["z" * number for number in range(1, 3 * MOST_CANDIDATES)]
    texts = ["wheel"] * (len(strays) + 10) + strays + ["y" * (LONGEST + 1)]
    settled = settle(said("a", f"{number:05d}", text) for number, text in enumerate(texts)).images["a"]
    assert (settled.text, settled.conflict) == ("wheel", False)
