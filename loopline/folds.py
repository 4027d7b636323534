"""Who learns from which lines, so that each line is judged by a model that knows neither it nor its writer."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from loopline.errors import DataError
from loopline.problems import Sample

HELD_OUT_SHARE = 0.1  # of the lines learnt from, which choose the best epoch instead; as in SplitPlan


def divide(samples: Sequence[Sample], count: int, *, seed: int) -> list[list[Sample]]:
    """Return the lines in so many folds of about the same size; a group (writer, document) stays together.

    Groups are dealt out in the order of a keyed hash (BLAKE2b), each to the fold with the fewest lines so far: the
    order of the samples is of no account. DataError if there are fewer groups than folds.
    """
    groups: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: (sample.image_sha256, sample.key)):
        groups[sample.group or sample.image_sha256].append(sample)
    if len(groups) < count:
        raise DataError(
            f"{len(samples)} usable lines of {len(groups)} groups (writers or documents) leave some of {count} folds "
            "without a line; label more lines, or ask for fewer folds"
        )
    folds: list[list[Sample]] = [[] for _ in range(count)]
    for name in sorted(groups, key=lambda name: _place(name, seed)):
        min(folds, key=len).extend(groups[name])
    return folds


def hold_out(samples: Sequence[Sample], *, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Return the lines to learn from, and those that choose the best epoch: a tenth, at least one, by a keyed hash.

    The latter may be by the same writers: they need only tell a better epoch from a worse one.
    """
    order = sorted(samples, key=lambda sample: _place(sample.image_sha256, seed))
    held_count = max(1, round(HELD_OUT_SHARE * len(order)))
    return order[held_count:], order[:held_count]


def _place(name: str, seed: int) -> bytes:
    return hashlib.blake2b(name.encode(), key=f"fold {seed}".encode(), digest_size=16).digest()
