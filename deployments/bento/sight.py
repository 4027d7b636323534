"""From pictures to what stands on them: decoded one by one, read together where that changes no answer."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gauges import Gauges, width_bucket
from loopline.errors import DataError
from loopline.images import decode
from loopline.problems import Answer, Part, Pixels
from loopline.serving import Predictor

TOGETHER = 8  # lines; more bring nothing on one thread
LONGEST_RATIO = 100  # of a picture; a network's memory grows with it, and no line of writing is so long
SPREAD = 1.2  # widest to narrowest of lines read together: all are padded to the widest
PROBE_PX = (64, 256)  # height, and width of the widest


class Decoded(NamedTuple):
    """A picture, upright, and the line on it as it is read."""

    upright: Image.Image
    line: Pixels


class Read(NamedTuple):
    """What was read on a picture, and the picture, upright."""

    answer: Answer
    parts: list[Part]
    upright: Image.Image


class Sight:
    """Reads pictures with a predictor that is its own; `together` says how many at once."""

    def __init__(self, predictor: Predictor, gauges: Gauges) -> None:
        self._predictor, self._gauges = predictor, gauges
        self.together = predictor.batch_lines = TOGETHER if same_together(predictor) else 1

    def read(self, pictures: Sequence[bytes]) -> list[Read | DataError]:
        """Return what stands on each, or why it can't be read."""
        looked = [self._look(picture) for picture in pictures]
        decoded = {number: one for number, one in enumerate(looked) if isinstance(one, Decoded)}
        read: dict[int, Read] = {}
        for group in alike({number: one.line for number, one in decoded.items()}):
            read |= zip(group, self._read([decoded[number] for number in group]), strict=True)
        return [one if isinstance(one, DataError) else read[number] for number, one in enumerate(looked)]

    def _look(self, picture: bytes) -> Decoded | DataError:
        try:
            upright = decode(picture)
            if upright.width > LONGEST_RATIO * upright.height:
                raise DataError(f"over {LONGEST_RATIO} times as wide as high")
            return Decoded(upright, self._predictor.problem.preprocess(upright))
        except DataError as error:
            self._gauges.unreadable.inc()
            return error

    def _read(self, group: Sequence[Decoded]) -> list[Read]:
        start = time.perf_counter()
        found = self._predictor.locate([line for _, line in group])
        seconds = (time.perf_counter() - start) / len(group)
        self._gauges.together.observe(len(group))
        for (answer, _), (_, line) in zip(found, group, strict=True):
            self._gauges.read_seconds.labels(width_bucket(line.shape[1])).observe(seconds)
            self._gauges.confidence.observe(answer.confidence)
        return [Read(answer, parts, upright) for (answer, parts), (upright, _) in zip(found, group, strict=True)]


def alike(lines: dict[int, Pixels]) -> Iterator[list[int]]:
    """Yield the numbers of lines of similar width, to be read together."""
    group: list[int] = []
    shapes = {number: line.shape[1] / line.shape[0] for number, line in lines.items()}
    for number in sorted(shapes, key=shapes.__getitem__):
        if group and shapes[number] > SPREAD * shapes[group[0]]:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def same_together(predictor: Predictor) -> bool:
    """Tell whether on this machine a batch of lines is answered as each line alone, bit for bit.

    A network in whole numbers is scaled by all that a batch holds, and says something else. Of the others it depends
    on how the machine multiplies.
    """
    noise = np.random.default_rng(1).integers(0, 256, PROBE_PX, dtype=np.uint8)
    lines = [np.ascontiguousarray(noise[:, : PROBE_PX[1] - 7 * number]) for number in range(TOGETHER)]

    def said(some: Sequence[Pixels]) -> list[npt.NDArray[np.float32]]:
        fed = predictor.problem.inputs(some, predictor.recipe)
        return list(predictor.problem.spans(predictor.run(fed), fed))

    together, alone = said(lines), [said([line])[0] for line in lines]
    return all(map(np.array_equal, together, alone))
