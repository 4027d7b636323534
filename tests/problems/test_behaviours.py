"""Changes of a line that a person would not notice, and characters that are judged apart."""

import numpy as np
import pytest

from loopline.behaving import Probe, figure_names, probe_behaviours, probe_minimum_sets
from loopline.judging import totals
from loopline.problems import Answer, Pixels, Sample, load_problem
from loopline.problems.handwriting.lines import prepare
from loopline.problems.handwriting.recipe import Recipe
from loopline.problems.handwriting.samples import draw_lines

PROBLEM = load_problem("handwriting")
LINES = [line.pixels for line in draw_lines(seed=3, counts={"test": 12})]
LABELS = ("Né en 1987 à Évian", "né à evian en 87", "rien")


def sample(label: str, line: Pixels = LINES[0]) -> Sample:
    return Sample("0" * 64, lambda: line, label, line.shape[1], line.shape[0])


def judged(texts: tuple[str, ...], labels: tuple[str, ...] = LABELS, *, times: int = 10) -> dict[str, Probe]:
    answers = [Answer(text, 0.9) for text in texts * times]
    found = probe_minimum_sets(PROBLEM, samples=[sample(label) for label in labels * times], answers=answers)
    return {probe.name: probe for probe in found}


@pytest.mark.parametrize("name", PROBLEM.behaviours)
def test_a_change_keeps_nearly_all_of_the_ink_and_is_the_same_every_time(name: str) -> None:
    for line in LINES:
        before = line.copy()
        changed = PROBLEM.behaviours[name](line)
        assert changed.dtype == np.uint8
        assert np.array_equal(changed, PROBLEM.behaviours[name](line))
        assert np.array_equal(line, before)
        inks = [prepare(picture, Recipe()).astype(float) for picture in (line, changed)]
        assert 0.7 < inks[1].sum() / inks[0].sum() < 1.5
        assert not np.array_equal(changed, line)


def test_a_shifted_line_lies_lower_and_further_right_and_a_turned_one_has_room() -> None:
    line = LINES[0]
    height, width = line.shape
    assert np.array_equal(PROBLEM.behaviours["shifted"](line)[-height:, -width:], line)
    turned = PROBLEM.behaviours["rotated"](line)
    assert turned.shape[0] > height
    assert turned.shape[1] >= width


def test_behaviours_count_answers_that_stayed_and_errors_that_were_added() -> None:
    samples = [sample("12", line) for line in LINES]
    answers = [Answer("12", 1.0)] * len(samples)
    read = [Answer("12", 1.0)] * 9 + [Answer("13", 1.0)] * 3
    probes = probe_behaviours(PROBLEM, lambda lines: read, samples=samples, answers=answers)
    assert [probe.name for probe in probes] == list(PROBLEM.behaviours)
    assert totals(probes[0].tallies) == {"shifted_unchanged": 0.75, "shifted_cer_added": 3 / 24}
    assert (probes[0].behaviour.line_count, probes[0].behaviour.unchanged_count) == (12, 9)


def test_behaviours_are_asked_of_so_many_lines_only_spread_over_the_split() -> None:
    asked: list[int] = []

    def read(lines: list[Pixels]) -> list[Answer]:  # type: ignore[misc]
        asked.append(len(lines))
        return [Answer("", 1.0)] * len(lines)

    samples = [sample("1")] * 1000
    probes = probe_behaviours(PROBLEM, read, samples=samples, answers=[Answer("", 1.0)] * 1000)  # type: ignore[arg-type]
    assert asked == [100] * len(PROBLEM.behaviours)
    assert (probes[0].numbers[0], probes[0].numbers[-1]) == (0, 999)


def test_a_set_counts_errors_in_its_own_characters_alone() -> None:
    probes = judged(("Né en 1937 à Évian", "ne a evion en 87", "rion"))
    found = {name: totals(probe.tallies) for name, probe in probes.items()}
    assert found["digits"] == {"digits_cer": 1 / 6, "digits_line_accuracy": 0.5}
    assert found["accents"] == {"accents_cer": 2 / 5, "accents_line_accuracy": 0.5}
    assert found["capitals"] == {"capitals_cer": 0, "capitals_line_accuracy": 1}
    assert len(probes["capitals"].numbers) == 10


def test_a_set_that_too_few_lines_have_some_of_is_left_out() -> None:
    assert set(judged(LABELS, times=9)) == {"digits", "accents"}
    assert set(judged(("12",), ("12",), times=12)) == {"digits"}


def test_a_perfect_reader_gets_every_set_right_and_all_figures_have_known_names() -> None:
    probes = judged(LABELS)
    for probe in probes.values():
        assert list(totals(probe.tallies).values()) == [0, 1]
        assert set(totals(probe.tallies)) <= set(figure_names(PROBLEM))


@pytest.mark.parametrize(("character", "accented"), [("é", True), ("ç", True), ("Ô", True), ("e", False), ("œ", False)])
def test_accents_are_what_unicode_takes_apart(character: str, accented: bool) -> None:
    assert PROBLEM.minimum_sets["accents"](character) is accented
