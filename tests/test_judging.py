"""Metrics, intervals and verdicts."""

import numpy as np
import pytest

from loopline.contracts import Requirement, Requirements
from loopline.errors import ConfigError
from loopline.judging import check_bounds, interval_95, paired_interval_95, totals
from loopline.problems import load_problem

tally = load_problem("handwriting").tally


def test_cer_is_all_edits_over_all_characters_never_a_mean_of_means() -> None:
    assert totals([tally("a", "b"), tally("abcdefghi", "abcdefghi")])["cer"] == pytest.approx(0.1)


def test_a_perfect_prediction_scores_as_perfect() -> None:
    assert totals([tally("un deux", "un deux")]) == {"cer": 0, "wer": 0, "line_accuracy": 1}


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        wrong = generator.random(300) < 0.2
        low, high = interval_95([{"error": (float(w), 1.0)} for w in wrong], [str(n) for n in range(300)])["error"]
        inside += low <= 0.2 <= high
    assert 88 <= inside <= 100


def test_lines_of_one_writer_widen_the_interval() -> None:
    tallies = [{"error": (float(number % 10 == 0), 1.0)} for number in range(500)]
    alone = interval_95(tallies, [str(number) for number in range(500)])["error"]
    writers = interval_95(tallies, [str(number % 50) for number in range(500)])["error"]
    assert writers[1] - writers[0] > 1.5 * (alone[1] - alone[0])


def test_a_small_difference_on_the_same_lines_is_seen() -> None:
    generator = np.random.default_rng(1)
    hard = generator.random(1000) < 0.3
    ours = [{"error": (float(h and n % 10 != 0), 1.0)} for n, h in enumerate(hard)]
    theirs = [{"error": (float(h), 1.0)} for h in hard]
    low, high = paired_interval_95(ours, theirs, groups=[str(n) for n in range(1000)])["error"]
    assert low < high < 0


def test_a_requirement_that_names_no_known_metric_is_refused_before_anything_is_spent() -> None:
    wrong = Requirements(bounds=(Requirement(metric="accuracy", at_least=0.9),))
    with pytest.raises(ConfigError, match=r"'accuracy' names no known metric; choose from: .*cer"):
        check_bounds(wrong, metrics=["cer"])


def test_a_requirement_without_a_bound_is_refused() -> None:
    with pytest.raises(ConfigError, match="'cer' has no bound"):
        check_bounds(Requirements(bounds=(Requirement(metric="cer"),)), metrics=["cer"])


def test_every_problem_bounds_only_what_is_measured() -> None:
    check_bounds(load_problem("handwriting").requirements(), metrics=["cer", "wer", "line_accuracy"])
