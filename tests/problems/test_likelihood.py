"""How probable a text is: the sum over all its paths, in logarithms that stay finite on long lines."""

import math

import numpy as np
import pytest
from test_decoding import random_line, sum_over_paths

from loopline.problems import load_problem

PROBLEM = load_problem("handwriting")


@pytest.mark.parametrize("seed", range(4))
def test_a_texts_likelihood_is_the_sum_over_all_its_paths(seed: int) -> None:
    log_probs_TC = random_line(5, 4, seed=seed)
    expected = sum_over_paths(log_probs_TC, "abc")
    found = {text: math.exp(PROBLEM.likelihood(log_probs_TC, text, vocabulary="abc")) for text in expected}
    assert found == pytest.approx(expected, rel=1e-5)  # the sum is in 32 bits
    assert sum(found.values()) == pytest.approx(1)


def test_a_line_of_one_frame_says_one_character_or_nothing() -> None:
    log_probs_TC = np.log(np.array([[0.7, 0.3]], dtype=np.float32))
    found = [PROBLEM.likelihood(log_probs_TC, text, vocabulary="a") for text in ("", "a")]
    assert found == pytest.approx([math.log(0.7), math.log(0.3)])


@pytest.mark.parametrize("text", ["aaa", "abcab", "q"])
def test_a_text_that_cannot_be_spelt_is_impossible(text: str) -> None:
    assert PROBLEM.likelihood(random_line(4, 4, seed=1), text, vocabulary="abc") == -math.inf


def test_long_lines_stay_finite_and_exact() -> None:
    frame_count = 4000
    log_probs_TC = np.full((frame_count, 2), math.log(0.5), dtype=np.float32)
    paths = frame_count * (frame_count + 1) / 2  # where the run of the one character begins and ends
    expected = math.log(paths) + frame_count * math.log(0.5)
    assert PROBLEM.likelihood(log_probs_TC, "a", vocabulary="a") == pytest.approx(expected)
