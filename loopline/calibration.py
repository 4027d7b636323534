"""Whether a model knows when it is right: how far its confidence can be believed, and what abstaining would gain."""

from collections.abc import Sequence

import numpy as np

from loopline.details import AbstentionPoint, ReliabilityBin
from loopline.judging import LEAST_UNITS

MOST_BINS = 10  # as in Guo et al. 2017; fewer where a bin would hold less than LEAST_UNITS lines
MOST_POINTS = 50  # of the abstention curve: a step every 2 % of the lines


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> tuple[ReliabilityBin, ...]:
    """Sort lines into bins of equal count by confidence, the least confident first (Nguyen and O'Connor 2015).

    A bin's accuracy is its share of lines that are right to the last character.
    """
    order = np.argsort(confidences, kind="stable")
    bin_count = max(1, min(MOST_BINS, len(order) // LEAST_UNITS))
    return tuple(
        ReliabilityBin(
            confidence=float(np.mean(np.asarray(confidences)[lines])),
            accuracy=float(np.mean(np.asarray(right)[lines])),
            line_count=len(lines),
        )
        for lines in np.array_split(order, bin_count)
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error, 0 to 1: the mean gap between confidence and accuracy.

    Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning".
    """
    gaps = [abs(found.confidence - found.accuracy) for found in bins]
    return float(np.average(gaps, weights=[found.line_count for found in bins]))


def abstention(confidences: Sequence[float], counts: Sequence[tuple[float, float]]) -> tuple[AbstentionPoint, ...]:
    """Return a metric over the lines of at least each confidence, all lines first (El-Yaniv and Wiener 2010).

    `counts` are the metric's (numerator, denominator) per line. The curve ends where fewer than LEAST_UNITS lines are
    left.
    """
    steps = np.quantile(confidences, np.linspace(0, 1, MOST_POINTS, endpoint=False), method="inverted_cdf")
    points = []
    for confidence in np.unique(steps):
        answered = np.asarray(confidences) >= confidence
        wrong, out_of = np.asarray(counts)[answered].sum(axis=0)
        if answered.sum() >= LEAST_UNITS and out_of:
            points.append(
                AbstentionPoint(
                    confidence=float(confidence),
                    answered_share=float(answered.mean()),
                    metric=float(wrong / out_of),
                )
            )
    return tuple(points)
