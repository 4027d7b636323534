"""How far people who transcribed the same image agree: what no model can be expected to exceed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from loopline.edits import LONGEST, comparable, distances, edits

MOST_VOICES = 200  # of one image; 20,000 pairs say enough of it
MOST_OPINIONS = 2000  # whose pairs tell what chance would disagree by: 32 MB, and the third digit stands
MOST_CHARACTERS = 200_000  # of these opinions in all: comparing costs their square, here a second or two
SEED = 2011  # of the samples


@dataclass(frozen=True)
class Agreement:
    """Figures over the images that two or more people transcribed."""

    image_count: int
    exact_share: float  # of these images, on which all say the same
    cer: float  # between two people: all edits over all characters of the pairs
    alpha: float | None  # 1: they agree; 0: as chance would; None where there is but one text, so that chance agrees


@dataclass(frozen=True)
class _Pairs:
    """Sums over the pairs of people who transcribed one image."""

    edits: float
    characters: float
    disagreement: float  # normalised distances, each person's weighing one in all
    voices: int


def agreement(images: Sequence[Sequence[str]]) -> Agreement | None:
    """Return how far the texts of each image agree, or None if no image has two; the order within it doesn't matter.

    Of an image with more than MOST_VOICES texts a seeded sample counts, so that time and memory stay bounded.
    """
    shared = [_sample(texts, MOST_VOICES) for texts in images if len(texts) > 1]
    if not shared:
        return None
    pairs = [_pairs(texts) for texts in shared]
    return Agreement(
        image_count=len(shared),
        exact_share=sum(len(set(texts)) == 1 for texts in images if len(texts) > 1) / len(shared),
        cer=sum(one.edits for one in pairs) / max(sum(one.characters for one in pairs), 1),
        alpha=_alpha(pairs, [text for texts in shared for text in texts]),
    )


def _alpha(pairs: Sequence[_Pairs], texts: Sequence[str]) -> float | None:
    """Return Krippendorff's alpha for a distance of one's own, here the edits as a share of the longer text.

    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; for free text: Braylan, Alonso and Lease 2022,
    "Measuring Annotator Agreement Generally across Complex Structured, Multi-object, and Free-text Annotation Tasks".
    """
    expected = _expected_disagreement(texts)
    observed = sum(one.disagreement for one in pairs) / sum(one.voices for one in pairs)
    return 1 - observed / expected if expected else None


def _pairs(texts: Sequence[str]) -> _Pairs:
    counts = Counter(comparable(text) for text in texts)
    edit_count = disagreement = 0.0
    for (left, left_count), (right, right_count) in combinations(counts.items(), 2):
        found = left_count * right_count * edits(left, right)
        edit_count += found
        disagreement += 2 * found / max(len(left), len(right)) / (len(texts) - 1)
    character_count = sum(len(text) * count for text, count in counts.items())
    return _Pairs(edit_count, character_count * (len(texts) - 1) / 2, disagreement=disagreement, voices=len(texts))


def _expected_disagreement(texts: Sequence[str]) -> float:
    """Return the mean distance of all pairs, of whatever image; of a seeded sample if there are many or long texts."""
    mean_length = sum(min(len(text), LONGEST) for text in texts) / len(texts)
    most = min(MOST_OPINIONS, max(2, int(MOST_CHARACTERS / max(mean_length, 1))))
    counts = Counter(comparable(text) for text in _sample(texts, most))
    counts_T = np.array(list(counts.values()), float)
    sample_size = counts_T.sum()
    return float(counts_T @ distances(list(counts)) @ counts_T / (sample_size * (sample_size - 1)))


def _sample(texts: Sequence[str], most: int) -> list[str]:
    """Return the texts sorted, or as many of them as are allowed."""
    ordered = sorted(texts)
    if len(ordered) <= most:
        return ordered
    chosen = np.random.default_rng((SEED, len(ordered))).choice(len(ordered), most, replace=False)
    return [ordered[number] for number in sorted(chosen)]
