"""Which of the texts that people gave for one image lies nearest to all of them, and to all but one's own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loopline.edits import comparable, edits_between

# V voters, T distinct texts, K of them that can win

MOST_CANDIDATES = 50  # texts that can win; an image has a handful, and each is compared with every other
DIGITS = 9  # decimals of a sum of weights that count: how it was added up must not decide

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ballot:
    """What was said of one image; the texts that can win come first, each part in the order of code points."""

    voters_V: Whole  # numbers of the annotators
    choices_V: Whole  # which text each of them gave
    texts: tuple[str, ...]
    lengths_T: Whole  # characters that are compared
    edits_KT: Whole


def cast(texts: Sequence[str], voters: Sequence[int]) -> Ballot:
    """Return the ballot on which each voter gave a text.

    If there are more than MOST_CANDIDATES texts, those given most often can win, and of these the first.
    """
    given = sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))
    distinct = [text for part in (given[:MOST_CANDIDATES], given[MOST_CANDIDATES:]) for text, _ in sorted(part)]
    numbers = {text: number for number, text in enumerate(distinct)}
    compared = [comparable(text) for text in distinct]
    single = len(distinct) == 1
    return Ballot(
        voters_V=np.array(voters),
        choices_V=np.array([numbers[text] for text in texts]),
        texts=tuple(distinct),
        lengths_T=np.array([len(text) for text in compared]),
        edits_KT=np.zeros((1, 1), np.int64) if single else edits_between(compared[:MOST_CANDIDATES], compared),
    )


def nearest(ballot: Ballot, weights_V: Real) -> tuple[int, float]:
    """Return the weighted medoid's number, and the share of the weight that stands behind exactly this text.

    Of several it is the one with the most weight behind it, then the first by code points. A text with more than half
    of the weight behind it is always the medoid, by the triangle inequality.
    """
    support_T = np.bincount(ballot.choices_V, weights_V, minlength=len(ballot.texts))
    best = int(_first(ballot.edits_KT @ support_T, support_T[: len(ballot.edits_KT)]))
    return best, round(float(support_T[best] / support_T.sum()), DIGITS)


def nearest_without_each(ballot: Ballot, weights_V: Real) -> Whole:
    """Return, for each voter, the number of the medoid of all the others, of which there must be some."""
    said_KV = np.arange(len(ballot.edits_KT))[:, None] == ballot.choices_V
    voices_KV = said_KV.sum(axis=1, keepdims=True) - said_KV
    support_KV = (said_KV * weights_V).sum(axis=1, keepdims=True) - said_KV * weights_V
    costs_KV = ballot.edits_KT[:, ballot.choices_V] * weights_V
    costs_KV = costs_KV.sum(axis=1, keepdims=True) - costs_KV
    return _first(np.where(voices_KV > 0, costs_KV, np.inf), support_KV)


def _first(costs: npt.NDArray[Any], support: npt.NDArray[Any]) -> Whole:
    """Return the number of the least cost, of several that with the most support, of several the first."""
    return np.lexsort((-support.round(DIGITS), costs.round(DIGITS)), axis=0)[0]  # type: ignore[no-any-return]
