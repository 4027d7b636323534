"""Between text and class numbers: normal form, the alphabet of a dataset, and the CTC alignment rules."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

BLANK = 0  # CTC blank; the alphabet's characters follow from 1


def normalise_label(label: str) -> str:
    """Return the text in Unicode NFC with every run of white space as one space and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", label).split())


def vocabulary(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the characters of the labels, sorted by code point."""
    return tuple(sorted(set("".join(labels))))


def encode(label: str, vocabulary: Sequence[str]) -> list[int]:
    """Return the class of each character; characters outside the alphabet raise KeyError."""
    classes = {character: number for number, character in enumerate(vocabulary, start=BLANK + 1)}
    return [classes[character] for character in label]


def frames_needed(label: str) -> int:
    """Return the fewest CTC frames that can spell a label: one a character, and a blank between equal neighbours."""
    return len(label) + sum(left == right for left, right in pairwise(label))


def ctc_states(classes: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the states (S) of all paths that spell these classes, and which of them may follow on the last but one.

    The classes with a blank before, between and behind them (Graves et al. 2006, section 4.1).
    """
    states_S = np.full(2 * len(classes) + 1, BLANK)
    states_S[1::2] = classes
    skips_S = np.zeros(len(states_S), dtype=bool)
    skips_S[2:] = states_S[2:] != states_S[:-2]  # from character to another character; never between blanks
    return states_S, skips_S


def ways(paths_S: npt.NDArray[np.float64], skips_S: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return from where each state can be reached, (3, S): itself, the one before, the last but one; as logarithms."""
    moved = [np.concatenate([np.full(count, -np.inf), paths_S])[: len(paths_S)] for count in (1, 2)]
    return np.stack([paths_S, moved[0], np.where(skips_S, moved[1], -np.inf)])


def greedy(log_probs_TC: npt.NDArray[np.float32], vocabulary: Sequence[str]) -> tuple[str, float]:
    """Read the best path (Graves et al. 2006, section 3.2).

    Returns the text and its confidence that the whole line is right: the product, over the characters read, of each
    one's best probability; for an empty text the mean probability of blank.
    """
    best_T = log_probs_TC.argmax(axis=1)
    top_T = log_probs_TC.max(axis=1)
    text, scores, frame = "", [], 0
    for number, run in groupby(best_T):
        length = len(list(run))
        if number != BLANK:
            text += vocabulary[number - 1]
            scores.append(top_T[frame : frame + length].max())
        frame += length
    return text, float(np.exp(np.sum(scores) if scores else np.mean(top_T)))
