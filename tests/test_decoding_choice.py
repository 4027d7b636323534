"""The way to decode is chosen on the validation lines: the simplest, unless another is clearly better."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from loopline.decoding import Chosen, choose
from loopline.problems import Sample, load_problem
from loopline.problems.handwriting.alphabet import BLANK

PROBLEM = load_problem("handwriting")
RECIPE = PROBLEM.make_recipe({})
VOCABULARY = "aiquv"
WORDS = ("qui", "qua", "via", "quai", "qiv")
WIDTH_PX = 4 * 11  # 11 frames: room for five characters between blanks


class Network:
    """Stands for a trained network: it looks a line's label up by its grey, and takes most u for v."""

    def __init__(self, labels: Sequence[str], *, u: float = 0.4, v: float = 0.55) -> None:
        self.labels, self.u, self.v = labels, u, v
        self.read_count = 0

    def __call__(self, fed: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        self.read_count += len(fed["widths"])
        return np.stack([self._line(label) for label in self._found(fed)])

    def _found(self, fed: Mapping[str, npt.NDArray[Any]]) -> list[str]:
        return [self.labels[int((line_HW > 0).sum()) - 1] for line_HW in fed["ink"]]

    def _line(self, label: str) -> npt.NDArray[np.float32]:
        probs_TC = np.full((12, len(VOCABULARY) + 1), 0.001, dtype=np.float32)
        for frame in range(11):
            place, odd = divmod(frame, 2)
            character = label[place] if odd and place < len(label) else None
            if character is None:
                probs_TC[frame, BLANK] = 0.995
            elif character == "u":
                probs_TC[frame, [1 + VOCABULARY.index("u"), 1 + VOCABULARY.index("v")]] = self.u, self.v
            else:
                probs_TC[frame, 1 + VOCABULARY.index(character)] = 0.995
        probs_TC[11] = 0.9  # beyond the line's true end: what is read there is wrong
        return np.log(probs_TC)


def marked(number: int, label: str) -> Sample:
    """A line of paper with as many ink dots as say which one it is."""
    pixels = np.full((RECIPE.height_px, WIDTH_PX), 255, dtype=np.uint8)
    pixels.flat[: number + 1] = 0
    return Sample(f"{number:064d}", lambda: pixels, label, WIDTH_PX, RECIPE.height_px, key=str(number))


def chosen(labels: Sequence[str], *, network: Network | None = None, train: Sequence[str] = WORDS * 20) -> Chosen:
    return choose(
        PROBLEM,
        RECIPE,
        vocabulary=tuple(VOCABULARY),
        run=network or Network(labels),
        train=[marked(0, label) for label in train],
        val=[marked(number, label) for number, label in enumerate(labels)],
    )


def test_a_search_that_mends_what_the_network_mistakes_is_chosen_with_its_language() -> None:
    found = chosen([WORDS[number % 4] for number in range(12)])
    assert found.decoding.name == "beam"
    assert found.decoding.language is None
    assert found.language == PROBLEM.language(WORDS * 20)
    assert [result.name for result in found.results] == [decoding.name for decoding in PROBLEM.decodings()]
    assert found.results[0].metric > min(result.metric for result in found.results) == 0
    assert found.decode(Network([])._line("quai")[:11]).text == "quai"


def test_the_network_reads_each_validation_line_once() -> None:
    labels = [WORDS[number % 5] for number in range(40)]
    network = Network(labels)
    chosen(labels, network=network)
    assert network.read_count == 40


@pytest.mark.parametrize(
    "labels",
    [["via", "qiv"] * 20, ["quai"] + ["via"] * 39, ["qui"] * 9],
    ids=["no difference", "one line of forty", "too few lines to tell"],
)
def test_the_simplest_stays_where_none_is_clearly_better(labels: list[str]) -> None:
    found = chosen(labels)
    assert (found.decoding, found.language) == (PROBLEM.decodings()[0], b"")


def test_a_language_that_misleads_is_not_chosen() -> None:
    found = chosen(["quv"] * 20, train=["qvv"] * 50, network=Network(["quv"] * 20, u=0.55, v=0.4))
    assert found.decoding.name == "greedy"
    assert found.results[0].metric == 0 < max(result.metric for result in found.results)
