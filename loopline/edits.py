"""How far two texts lie apart, at a cost that no text can drive up."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

LONGEST = 500  # characters compared one by one: several times the longest line; comparing costs their square

Comparable = str | tuple[str, ...]


def comparable(text: str) -> Comparable:
    """Return what stands for a text when it is compared: itself, or its first LONGEST characters and the rest as one.

    Two texts stay apart if they are, and the distance obeys the triangle inequality.
    """
    return text if len(text) <= LONGEST else (*text[:LONGEST], text[LONGEST:])


def edits(left: Comparable, right: Comparable) -> int:
    """Return the fewest characters to put in, take out or exchange (Levenshtein 1966)."""
    return Levenshtein.distance(left, right, processor=None)


def edits_between(rows: Sequence[Comparable], columns: Sequence[Comparable]) -> npt.NDArray[np.int64]:
    """Return the edits between each two, (rows, columns)."""
    return cdist(rows, columns, scorer=Levenshtein.distance, processor=None).astype(np.int64)


def distances(texts: Sequence[Comparable]) -> npt.NDArray[np.float64]:
    """Return the edits between each two as a share of the longer one, 0 to 1; 8 bytes a pair."""
    return cdist(texts, texts, scorer=Levenshtein.normalized_distance, processor=None, dtype=np.float64)
