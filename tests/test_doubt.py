"""Doubt: a label is suspect if a model reads something else, as surely as where it reads what the label says."""

import math
import random
from dataclasses import replace

import pytest

from loopline.doubt import Judged, rank, thresholds


def judged(key: str, label: str, text: str, *, sure: float = 0.95, label_prob: float = 1e-4, fold: int = 0) -> Judged:
    """A line whose reading has this probability per character; where it is the label, so has the label."""
    text_log_prob = len(text) * math.log(sure) if text else math.log(sure)
    label_log_prob = text_log_prob if text == label else math.log(label_prob)
    return Judged(key, key, label, fold, text, label_log_prob, text_log_prob)


AGREEING = [judged(f"right {number}", "4071", "4071", sure=0.9) for number in range(8)]


def suspects(*lines: Judged) -> list[str]:
    order, count = rank([*lines, *AGREEING])
    return [line.key for line in order[:count]]


def test_the_score_is_the_gain_per_character_of_the_longer_text() -> None:
    line = Judged("", "", "40", 0, "4071", label_log_prob=-9.0, text_log_prob=-1.0)
    assert line.score == 2
    assert replace(line, label="407140").score == pytest.approx(8 / 6)


def test_where_model_and_label_agree_or_the_label_is_likelier_there_is_no_doubt() -> None:
    assert AGREEING[0].score == 0
    assert Judged("", "", "41", 0, "47", label_log_prob=-1.0, text_log_prob=-1.5).score == 0


def test_surely_read_otherwise_is_suspect_and_the_worst_comes_first() -> None:
    mild, bad = judged("mild", "4171", "4071"), judged("bad", "4171", "4071", label_prob=1e-9)
    assert suspects(mild, bad) == ["bad", "mild"]


def test_what_a_model_makes_up_where_it_cannot_read_stands_behind_every_suspect() -> None:
    made_up = [judged(f"made up {n}", "4071", "1", sure=0.3, label_prob=1e-30) for n in range(20)]
    nothing = judged("nothing", "4071", "", sure=0.999, label_prob=1e-30)
    order, count = rank([*made_up, nothing, judged("wrong", "4171", "4071"), *AGREEING])
    assert [line.key for line in order[:count]] == ["wrong"]
    assert order[1].score > order[0].score


def test_a_model_that_reads_no_label_suspects_none() -> None:
    order, count = rank([judged(f"{n}", "4071", "11", sure=0.99) for n in range(9)])
    assert (count, len(order)) == (0, 9)


def test_each_fold_is_held_against_its_own_model() -> None:
    surer = [judged(f"surer {n}", "12", "12", sure=0.99, fold=1) for n in range(8)]
    assert thresholds([*AGREEING, *surer]) == pytest.approx({0: 0.9, 1: 0.99})
    order, count = rank([judged("a", "13", "12"), judged("b", "13", "12", fold=1), *AGREEING, *surer])
    assert [line.key for line in order[:count]] == ["a"]


def test_lines_that_no_model_could_judge_come_last_with_the_reason() -> None:
    strange = Judged("strange", "strange", "4q", 0, unjudged="not taught by the other folds: q")
    order, count = rank([strange, judged("wrong", "4171", "4071"), *AGREEING])
    assert (order[-1], count) == (strange, 1)


def test_the_order_of_the_lines_is_of_no_account() -> None:
    lines = [judged(f"{n}", "4171", "4071", sure=0.8 + n % 5 / 25, label_prob=10.0 ** -(1 + n % 7)) for n in range(40)]
    lines += AGREEING
    assert rank(random.Random(1).sample(lines, len(lines))) == rank(lines)
