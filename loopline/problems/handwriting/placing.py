"""Where on a line each character of a text was read, and how surely."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from loopline.problems import Part
from loopline.problems.handwriting.alphabet import BLANK, ctc_states, encode, ways

# T frames, C classes, S states: the text's characters with a blank before, between and behind them

Run = tuple[int, int]  # the frames of one character: the first, and the one behind the last

REACH_FRAMES = 6  # how far a character may lie beyond its frames: three quarters of a line of 32 px


def parts(log_probs_TC: npt.NDArray[np.float32], text: str, *, vocabulary: Sequence[str]) -> list[Part]:
    """Return the characters of a text that was read on a line, (T, C), each where its frames lie on the likeliest path.

    A network says a character in few frames near its middle; so a part reaches halfway to its neighbours. Its
    confidence is the best probability among its frames. Nothing for a text that the frames can't spell.
    """
    if not set(text) <= set(vocabulary):
        return []
    classes = encode(text, vocabulary)
    runs = _best_path(log_probs_TC, classes) or _aligned(log_probs_TC, classes)
    frame_count = len(log_probs_TC)
    return [
        Part(
            text=character,
            confidence=float(np.exp(log_probs_TC[first:end, number].max())),
            start=left / frame_count,
            end=right / frame_count,
        )
        for character, number, (first, end), (left, right) in zip(
            text, classes, runs, _widened(runs, frame_count), strict=False
        )
    ]


def _best_path(log_probs_TC: npt.NDArray[np.float32], classes: Sequence[int]) -> list[Run]:
    """Return the runs of the best path if it spells these classes, which it mostly does."""
    runs, found, frame = [], [], 0
    for number, run in groupby(log_probs_TC.argmax(axis=1).tolist()):
        length = len(list(run))
        if number != BLANK:
            runs.append((frame, frame + length))
            found.append(number)
        frame += length
    return runs if found == list(classes) else []


def _aligned(log_probs_TC: npt.NDArray[np.float32], classes: Sequence[int]) -> list[Run]:
    """Return the runs of the likeliest of all paths that spell these classes; nothing if none does.

    The Viterbi algorithm on the states of CTC.
    """
    states_S, skips_S = ctc_states(classes)
    said_TS = log_probs_TC.astype(np.float64)[:, states_S]
    steps_TS = np.zeros(said_TS.shape, dtype=np.int8)
    best_S = np.full(len(states_S), -np.inf)
    best_S[:2] = said_TS[0, :2]
    for frame in range(1, len(said_TS)):
        ways_3S = ways(best_S, skips_S)
        steps_TS[frame] = ways_3S.argmax(axis=0)
        best_S = said_TS[frame] + ways_3S.max(axis=0)
    if not classes or np.isneginf(best_S[-2:].max()):
        return []
    return list(_runs(steps_TS, last=len(states_S) - 2 + int(best_S[-2:].argmax())))


def _runs(steps_TS: npt.NDArray[np.int8], *, last: int) -> Iterator[Run]:
    """Walk back from the last state, and yield the frames of each character."""
    states_T = np.empty(len(steps_TS), dtype=int)
    for frame in reversed(range(len(steps_TS))):
        states_T[frame] = last
        last -= int(steps_TS[frame, last])
    for state in range(1, int(states_T.max()) + 1, 2):
        (frames,) = np.nonzero(states_T == state)
        yield int(frames[0]), int(frames[-1]) + 1


def _widened(runs: Sequence[Run], frame_count: int) -> Iterator[tuple[float, float]]:
    gaps = [(after[0] - before[1]) / 2 for before, after in pairwise(runs)]
    for (first, end), before, after in zip(runs, [np.inf, *gaps], [*gaps, np.inf], strict=True):
        yield max(0, first - min(before, REACH_FRAMES)), min(frame_count, end + min(after, REACH_FRAMES))
