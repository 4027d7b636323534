"""Where each character was read: the likeliest path decides, and no two characters share a place."""

import math
from itertools import groupby, pairwise, product

import numpy as np
import pytest
from test_decoding import random_line

from loopline.problems import load_problem

PROBLEM = load_problem("handwriting")


def likeliest_path(log_probs_TC: np.ndarray, text: str, vocabulary: str) -> tuple[int, ...]:
    letters = ["", *vocabulary]
    paths = product(range(len(letters)), repeat=len(log_probs_TC))
    spelling = [path for path in paths if "".join(letters[number] for number, _ in groupby(path)) == text]
    return max(spelling, key=lambda path: sum(log_probs_TC[frame, number] for frame, number in enumerate(path)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", ["a", "ab", "aa", "cab", "bba"])
def test_a_character_lies_where_the_likeliest_path_says_it(seed: int, text: str) -> None:
    log_probs_TC = random_line(6, 4, seed=seed)
    path = likeliest_path(log_probs_TC, text, "abc")
    said = [number for number, _ in groupby(path) if number]
    starts = [frame for frame, number in enumerate(path) if number and (frame == 0 or path[frame - 1] != number)]
    found = PROBLEM.parts(log_probs_TC, text, vocabulary="abc")
    assert [part.text for part in found] == ["abc"[number - 1] for number in said]
    for part, start, number in zip(found, starts, said, strict=True):
        assert part.start <= start / 6 < part.end
        assert part.confidence >= math.exp(log_probs_TC[start, number]) - 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_places_follow_each_other_within_the_line(seed: int) -> None:
    log_probs_TC = random_line(40, 4, seed=seed)
    (answer,) = PROBLEM.answers(
        log_probs_TC[None], {"widths": np.array([160])}, decode=PROBLEM.decoder(
            PROBLEM.decodings()[0], vocabulary="abc", language=None
        )
    )  # fmt: skip
    found = PROBLEM.parts(log_probs_TC, answer.text, vocabulary="abc")
    assert "".join(part.text for part in found) == answer.text
    assert all(0 <= part.start < part.end <= 1 and 0 < part.confidence <= 1 for part in found)
    assert all(left.end <= right.start for left, right in pairwise(found))


@pytest.mark.parametrize("text", ["", "aaa", "abcab", "q"])
def test_what_was_not_read_has_no_place(text: str) -> None:
    assert PROBLEM.parts(random_line(4, 4, seed=1), text, vocabulary="abc") == []
