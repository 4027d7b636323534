"""The rules between text and CTC frames."""

from itertools import groupby, product

import numpy as np
import pytest

from loopline.problems.handwriting.alphabet import BLANK, frames_needed, greedy, normalise_label, vocabulary


def spelt(path: tuple[int, ...], alphabet: str) -> str:
    return "".join(alphabet[number - 1] for number, _ in groupby(path) if number != BLANK)


def test_decomposed_letters_and_odd_spaces_become_one_form() -> None:
    assert normalise_label(" e\u0301te\u0301\u00a0 a\u0300 \n") == "été à"


def test_alphabet_is_every_character_once_in_code_point_order() -> None:
    assert vocabulary(["ba", "ab é"]) == (" ", "a", "b", "é")


@pytest.mark.parametrize(("label", "frames"), [("", 0), ("a", 1), ("ab", 2), ("aa", 3), ("1223334444", 16)])
def test_frames_needed_counts_a_blank_between_equal_neighbours(label: str, frames: int) -> None:
    assert frames_needed(label) == frames


@pytest.mark.parametrize("label", ["aa", "ab", "aab"])
def test_frames_needed_is_the_fewest_frames_on_which_any_path_spells_the_label(label: str) -> None:
    spelling = [
        frames for frames in range(1, 6) if any(spelt(path, "ab") == label for path in product(range(3), repeat=frames))
    ]
    assert min(spelling) == frames_needed(label)


def test_greedy_reads_the_best_path() -> None:
    rows = np.log(np.array([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.1, 0.6, 0.3], [0.1, 0.3, 0.6]]))
    text, confidence = greedy(rows.astype(np.float32), "ab")
    assert text == "aab"
    assert confidence == pytest.approx(0.8 * 0.6 * 0.6, rel=1e-5)


def test_an_empty_line_is_read_as_nothing_with_the_confidence_of_blank() -> None:
    text, confidence = greedy(np.log(np.array([[0.9, 0.1], [0.9, 0.1]])).astype(np.float32), "a")
    assert text == ""
    assert confidence == pytest.approx(0.9, rel=1e-5)
