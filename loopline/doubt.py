"""How doubtful a label is, from what a model makes of it that has not learnt from it; and from when on it is suspect.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068) for lines of text, as Wang and Mueller 2022
(arXiv:2210.03920) have it for sequences of tokens: one label a line, of which there are too many to count by class, so
that a fold has one threshold.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Judged:
    """One line, and what a model that has not learnt from it reads there; logarithms are natural.

    Where `unjudged` says why no model can tell, nothing else of the model is known.
    """

    image_sha256: str
    key: str
    label: str
    fold: int | None = None
    text: str = ""
    label_log_prob: float = 0.0
    text_log_prob: float = 0.0
    unjudged: str | None = None

    @property
    def score(self) -> float:
        """How much more probable the reading is than the label, per character of the longer; 0 where they agree."""
        gain = self.text_log_prob - self.label_log_prob
        return max(0.0, gain) / max(len(self.label), len(self.text), 1)

    @property
    def confidence(self) -> float:
        """How sure the model is of its reading, per character, from 0 to 1; of having read nothing it never is."""
        return math.exp(self.text_log_prob / len(self.text)) if self.text else 0.0


def thresholds(judged: Iterable[Judged]) -> dict[int, float]:
    """Return, by fold, how confident its model is on average where it reads the label.

    A model that never reads a label has no threshold.
    """
    agreeing: defaultdict[int, list[float]] = defaultdict(list)
    for line in judged:
        if line.fold is not None and line.text and line.text == line.label:
            agreeing[line.fold].append(line.confidence)
    return {fold: fmean(sorted(confidences)) for fold, confidences in agreeing.items()}


def is_suspect(line: Judged, least: Mapping[int, float]) -> bool:
    """Tell whether the model reads something else, and is as sure of it as where it reads what the label says."""
    if line.unjudged or line.fold is None or not line.score:
        return False
    return line.confidence >= least.get(line.fold, math.inf)


def rank(judged: Iterable[Judged]) -> tuple[list[Judged], int]:
    """Return the lines, the most doubtful label first, and how many of them are suspect: these stand first.

    A model that can't read a line isn't sure of it, so what it makes up there stands behind every suspect, whatever its
    score. Lines that no model could judge come last.
    """
    lines = list(judged)
    least = thresholds(lines)
    suspects = {line for line in lines if is_suspect(line, least)}
    order = sorted(
        lines,
        key=lambda line: (line not in suspects, line.unjudged or "", -line.score, line.key, line.image_sha256),
    )
    return order, len(suspects)
