"""How far what a service reads now is from what it was judged on, and whether chance alone could have it so.

Every distance goes from 0, alike, to 1, nothing in common. Tests take lines as independent: those of one writer are
not, which is what bounds on the distances allow for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.stats import false_discovery_control, ks_2samp, permutation_test

Values = npt.NDArray[np.float64]

ALPHA = 0.01  # chance of any false alarm in a window in which nothing has changed
RESAMPLES = 2999  # so that a p-value can be small enough after it was adjusted for all tests of a window
BATCH = 50  # permutations at once: some 50 MB
NEIGHBOURS = 5
SEED = 95


class Shift(NamedTuple):
    """How far apart two samples are, and how often chance would put such samples so far apart."""

    distance: float
    p_value: float


def shift_of_values(known: Values, live: Values) -> Shift:
    """Compare one number a line by the test of Kolmogorov and Smirnov; the distance is their D."""
    found = ks_2samp(known, live)
    return Shift(float(found.statistic), float(found.pvalue))


def shift_of_places(known_ND: Values, live_ND: Values) -> Shift:
    """Compare where lines lie among each other: are a line's neighbours of its own sample more often than by chance?

    The test of Schilling (1986, JASA 81) on NEIGHBOURS nearest ones, by permutation. The distance is how much of what
    was left to chance is gone: 1 if every neighbour is of the line's own sample.
    """
    points_ND = np.concatenate([known_ND, live_ND])
    near_NK = cKDTree(points_ND).query(points_ND, k=NEIGHBOURS + 1)[1][:, 1:]

    def own_share(known: npt.NDArray[np.int64], live: npt.NDArray[np.int64], axis: int = -1) -> Any:
        is_live = np.zeros((*live.shape[:-1], len(points_ND)), dtype=bool)
        np.put_along_axis(is_live, live, values=True, axis=-1)
        return np.mean(is_live[..., near_NK] == is_live[..., None], axis=(-1, -2))

    share, p_value = _permuted(own_share, len(known_ND), len(live_ND))
    sizes, count = np.array([len(known_ND), len(live_ND)]), len(points_ND)
    by_chance = float(np.sum(sizes / count * (sizes - 1) / (count - 1)))
    return Shift(max(0.0, (share - by_chance) / (1 - by_chance)), p_value)


def shift_of_characters(known: Sequence[str], live: Sequence[str]) -> Shift:
    """Compare how often each character is read: total variation distance, by a permutation of whole lines."""
    names = sorted({character for text in (*known, *live) for character in text})
    if not names:
        return Shift(0.0, 1.0)
    counts_NC = np.array([[Counter(text)[name] for name in names] for text in (*known, *live)], dtype=float)

    def distance(known: npt.NDArray[np.int64], live: npt.NDArray[np.int64], axis: int = -1) -> Any:
        sums = [counts_NC[side].sum(axis=-2) for side in (known, live)]
        shares = [side / np.maximum(side.sum(axis=-1, keepdims=True), 1) for side in sums]
        return np.abs(shares[0] - shares[1]).sum(axis=-1) / 2

    return Shift(*_permuted(distance, len(known), len(live)))


def adjusted(shifts: Mapping[str, Shift]) -> dict[str, float]:
    """Return p-values adjusted for all tests of a window, however they hang together (Benjamini and Yekutieli 2001).

    If nothing has changed, the chance that any of them falls under ALPHA is at most ALPHA.
    """
    if not shifts:
        return {}
    found = false_discovery_control([shift.p_value for shift in shifts.values()], method="by")
    return dict(zip(shifts, map(float, found), strict=True))


def _permuted(statistic: Any, known_count: int, live_count: int) -> tuple[float, float]:
    """Return the statistic of the lines' numbers, and the share of divisions at random that give no smaller one."""
    numbers = np.arange(known_count + live_count)
    found = permutation_test(
        (numbers[:known_count], numbers[known_count:]),
        statistic,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=BATCH,
        alternative="greater",
        rng=np.random.default_rng(SEED),
    )
    return float(found.statistic), float(found.pvalue)
