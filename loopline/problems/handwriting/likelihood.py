"""How probable a text is on a line: what a model thinks of a label, whether or not it would read it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from loopline.problems.handwriting.alphabet import ctc_states, encode, ways

# T frames, C classes, S states: the text's characters with a blank before, between and behind them


def likelihood(log_probs_TC: npt.NDArray[np.float32], text: str, *, vocabulary: Sequence[str]) -> float:
    """Return the natural logarithm of a text's probability, the sum over all its CTC paths.

    The forward variables of Graves et al. 2006, section 4.1, kept as logarithms. Minus infinity for a text that the
    frames can't spell, or with a character outside the alphabet.
    """
    if not set(text) <= set(vocabulary):
        return -np.inf
    states_S, skips_S = ctc_states(encode(text, vocabulary))
    said_TS = log_probs_TC.astype(np.float64)[:, states_S]
    paths_S = np.full(len(states_S), -np.inf)
    paths_S[:2] = said_TS[0, :2]
    for said_S in said_TS[1:]:
        paths_S = said_S + np.logaddexp.reduce(ways(paths_S, skips_S))
    return float(np.logaddexp.reduce(paths_S[-2:]))  # ended in the last character, or in the blank behind it
