"""Folds: every line in one, groups together, the same ones whatever the order."""

import random
from collections import Counter

import numpy as np
import pytest

from loopline.errors import DataError
from loopline.folds import divide, hold_out
from loopline.problems import Sample


def line(number: int, group: str = "") -> Sample:
    return Sample(
        f"{number:064x}", lambda: np.zeros((32, 64), np.uint8), "12", 64, 32, key=f"{number}.png", group=group
    )


def names(folds: list[list[Sample]]) -> list[list[str]]:
    return [[sample.key for sample in fold] for fold in folds]


LINES = [line(number, group=f"writer {number % 11}" if number % 3 else "") for number in range(90)]


def test_every_line_is_in_one_fold_of_about_the_same_size() -> None:
    folds = divide(LINES, 3, seed=1)
    assert Counter(sample.key for fold in folds for sample in fold) == Counter(sample.key for sample in LINES)
    assert [len(fold) for fold in folds] == pytest.approx([30] * 3, abs=6)


def test_the_lines_of_a_writer_stay_together() -> None:
    groups = [{sample.group for sample in fold} - {""} for fold in divide(LINES, 3, seed=1)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 11


def test_the_order_of_the_lines_is_of_no_account_and_the_seed_is() -> None:
    shuffled = random.Random(1).sample(LINES, len(LINES))
    assert names(divide(shuffled, 3, seed=1)) == names(divide(LINES, 3, seed=1)) != names(divide(LINES, 3, seed=2))
    assert hold_out(shuffled, seed=1) == hold_out(LINES, seed=1) != hold_out(LINES, seed=2)


@pytest.mark.parametrize("lines", [[], LINES[:2], [line(number, group="one hand") for number in range(30)]])
def test_a_fold_without_a_line_is_told_in_a_sentence(lines: list[Sample]) -> None:
    with pytest.raises(DataError, match=r"leave some of 3 folds without a line; label more lines, or ask for fewer"):
        divide(lines, 3, seed=1)


@pytest.mark.parametrize(("count", "held_count"), [(90, 9), (4, 1), (2, 1)])
def test_a_tenth_and_at_least_one_line_chooses_the_epoch(count: int, held_count: int) -> None:
    train, val = hold_out(LINES[:count], seed=1)
    assert (len(train), len(val)) == (count - held_count, held_count)
    assert not {sample.key for sample in train} & {sample.key for sample in val}
