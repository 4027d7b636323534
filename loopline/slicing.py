"""Where a model is better and where worse: the same metrics on parts of a split."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from loopline.contracts import Slice
from loopline.judging import LEAST_UNITS, Tally, totals
from loopline.problems import Sample

LENGTH_SLICES = 3  # short, middle and long thirds


def slices(samples: Sequence[Sample], tallies: Sequence[Tally]) -> tuple[Slice, ...]:
    """Judge parts of the split apart: thirds by length, sources, groups; of at least LEAST_UNITS lines each."""
    lengths = [len(sample.label) for sample in samples]
    bounds = np.quantile(lengths, np.linspace(0, 1, LENGTH_SLICES + 1)[1:-1])
    parts: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        third = int(np.searchsorted(bounds, lengths[number]))
        parts["length", f"{third + 1} of {LENGTH_SLICES}"].append(number)
        for name, value in (("source", sample.source), ("group", sample.group)):
            if value:
                parts[name, value].append(number)
    return tuple(
        Slice(
            name=name,
            value=_length_range(lengths, numbers) if name == "length" else value,
            sample_count=len(numbers),
            metrics=totals([tallies[number] for number in numbers]),
        )
        for (name, value), numbers in sorted(parts.items())
        if len(numbers) >= LEAST_UNITS
    )


def _length_range(lengths: Sequence[int], numbers: Sequence[int]) -> str:
    chosen = [lengths[number] for number in numbers]
    shortest, longest = min(chosen), max(chosen)
    return f"{shortest} to {longest} characters" if shortest < longest else f"{longest} characters"
