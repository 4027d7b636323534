"""The one place where pictures are read: a bounded number waits, each in its turn, beside the event loop."""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from gauges import Gauges, width_bucket
from loopline.errors import DataError
from loopline.images import decode
from loopline.problems import Answer, Part
from loopline.serving import Predictor
from refusal import Refused

RECENT = 0.1  # weight of the newest picture in the mean time of one
WARM_UP_PX = (64, 256)


class Read(NamedTuple):
    """What was read on a picture, and the upright picture's size."""

    answer: Answer
    parts: list[Part]
    width_px: int
    height_px: int


class Desk:
    """Reads in one thread: a network that has one thread of its own gains nothing from more.

    Requests take turns picture by picture, so that nobody waits for all of another's batch.
    """

    def __init__(self, predictor: Predictor, *, most_waiting: int, gauges: Gauges) -> None:
        self._predictor, self._most_waiting, self._gauges = predictor, most_waiting, gauges
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="desk")
        self._waiting, self._mean_seconds = 0, 0.0
        predictor.locate([np.full(WARM_UP_PX, 255, np.uint8)])  # the first line takes a network many times longer

    def admit(self, count: int) -> None:
        """Refuse with 503 what would wait too long; a batch larger than the queue is taken when nothing waits."""
        if self._waiting and self._waiting + count > self._most_waiting:
            seconds = math.ceil(self._waiting * self._mean_seconds)
            raise Refused(503, "too many pictures are waiting; ask again a little later", retry_seconds=max(1, seconds))

    async def read(self, pictures: Sequence[bytes]) -> list[Read | DataError]:
        """Return what stands on each, or why it can't be read."""
        self.admit(len(pictures))
        found: list[Read | DataError] = []
        self._wait_for(len(pictures))
        try:
            for picture in pictures:
                found.append(await asyncio.get_running_loop().run_in_executor(self._thread, self._read, picture))
                self._wait_for(-1)
        finally:
            self._wait_for(len(found) - len(pictures))
        return found

    def close(self) -> None:
        """End the thread once it has read what it reads."""
        self._thread.shutdown(cancel_futures=True)

    def _wait_for(self, more: int) -> None:
        self._waiting += more
        self._gauges.waiting.set(self._waiting)

    def _read(self, picture: bytes) -> Read | DataError:
        start = time.perf_counter()
        try:
            upright = decode(picture)
            line = self._predictor.problem.preprocess(upright)
            ((answer, parts),) = self._predictor.locate([line])
        except DataError as error:
            self._gauges.unreadable.inc()
            return error
        seconds = time.perf_counter() - start
        self._mean_seconds += RECENT * (seconds - self._mean_seconds)
        self._gauges.read_seconds.labels(width_bucket(line.shape[1])).observe(seconds)
        self._gauges.confidence.observe(answer.confidence)
        return Read(answer, parts, upright.width, upright.height)
