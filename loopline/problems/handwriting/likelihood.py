"""How probable a text is on a line: what a model thinks of a label, whether or not it would read it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from loopline.problems.handwriting.alphabet import BLANK, encode

# T frames, C classes, S states: the text's characters with a blank before, between and behind them

Reals = npt.NDArray[np.float64]


def likelihood(log_probs_TC: npt.NDArray[np.float32], text: str, *, vocabulary: Sequence[str]) -> float:
    """Return the natural logarithm of a text's probability, the sum over all its CTC paths.

    The forward variables of Graves et al. 2006, section 4.1, kept as logarithms. Minus infinity for a text that the
    frames can't spell, or with a character outside the alphabet.
    """
    if not set(text) <= set(vocabulary):
        return -np.inf
    states_S = np.full(2 * len(text) + 1, BLANK)
    states_S[1::2] = encode(text, vocabulary)
    skips_S = np.zeros(len(states_S), dtype=bool)
    skips_S[2:] = states_S[2:] != states_S[:-2]  # from character to another character; never between blanks
    said_TS = log_probs_TC.astype(np.float64)[:, states_S]
    paths_S = np.full(len(states_S), -np.inf)
    paths_S[:2] = said_TS[0, :2]
    for said_S in said_TS[1:]:
        paths_S = said_S + np.logaddexp.reduce(
            [paths_S, _shifted(paths_S, 1), np.where(skips_S, _shifted(paths_S, 2), -np.inf)]
        )
    return float(np.logaddexp.reduce(paths_S[-2:]))  # ended in the last character, or in the blank behind it


def _shifted(paths_S: Reals, count: int) -> Reals:
    shifted_S: Reals = np.concatenate([np.full(count, -np.inf), paths_S])[: len(paths_S)]
    return shifted_S
