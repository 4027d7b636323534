"""Where pictures wait to be read: a bounded number, each in its turn, beside the event loop."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from gauges import Gauges
from loopline.errors import DataError
from refusal import Refused
from sight import Read, Sight

RECENT = 0.1  # weight of the newest pictures in the mean time of one

Found = Read | DataError


class Waiting(NamedTuple):
    """A picture in the queue, and who waits for it."""

    picture: bytes
    found: asyncio.Future[Found]


class Desk:
    """Reads in one thread, since a network that has one thread of its own gains nothing from more.

    Whatever waits is read together, as many as the sight takes; nothing waits for company. A request has no more
    pictures than that in the queue, so that nobody waits for all of another's batch.
    """

    def __init__(self, sight: Sight, *, most_waiting: int, gauges: Gauges) -> None:
        self._sight, self._most_waiting, self._gauges = sight, most_waiting, gauges
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="desk")
        self._queue: deque[Waiting] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._waiting_count, self._mean_seconds = 0, 0.0

    @property
    def is_crowded(self) -> bool:
        """True if a picture more would not be the next to be read."""
        return self._waiting_count > 1

    def admit(self, count: int) -> None:
        """Refuse with 503 what would wait too long; a batch larger than the queue is taken when nothing waits."""
        if self._waiting_count and self._waiting_count + count > self._most_waiting:
            seconds = math.ceil(self._waiting_count * self._mean_seconds)
            raise Refused(503, "too many pictures are waiting; ask again a little later", retry_seconds=max(1, seconds))

    async def read(self, pictures: Sequence[bytes]) -> list[Found]:
        """Return what stands on each, or why it can't be read."""
        self.admit(len(pictures))
        found: list[Found] = []
        self._count(len(pictures))
        try:
            for start in range(0, len(pictures), self._sight.together):
                some = pictures[start : start + self._sight.together]
                found += await asyncio.gather(*map(self._enqueue, some))
                self._count(-len(some))
        finally:
            self._count(len(found) - len(pictures))
        return found

    def close(self) -> None:
        """End the thread once it has read what it reads."""
        self._thread.shutdown(cancel_futures=True)

    def _count(self, more: int) -> None:
        self._waiting_count += more
        self._gauges.waiting.set(self._waiting_count)

    def _enqueue(self, picture: bytes) -> asyncio.Future[Found]:
        loop = asyncio.get_running_loop()
        waiting = Waiting(picture, loop.create_future())
        self._queue.append(waiting)
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_all())
        return waiting.found

    async def _read_all(self) -> None:
        loop = asyncio.get_running_loop()
        while some := self._next():
            start = time.perf_counter()
            pictures = [waiting.picture for waiting in some]
            try:
                found: Sequence[Found | Exception] = await loop.run_in_executor(
                    self._thread, self._sight.read, pictures
                )
            except Exception as fault:  # of ours; each request tells of it
                found = [fault] * len(some)
            seconds = (time.perf_counter() - start) / len(some)
            self._mean_seconds += RECENT * (seconds - self._mean_seconds)
            for waiting, one in zip(some, found, strict=True):
                _tell(waiting.found, one)

    def _next(self) -> list[Waiting]:
        """Take the oldest out of the queue, as many as are read together, without those given up."""
        some: list[Waiting] = []
        while self._queue and len(some) < self._sight.together:
            waiting = self._queue.popleft()
            if not waiting.found.done():
                some.append(waiting)
        return some


def _tell(waits: asyncio.Future[Found], found: Found | Exception) -> None:
    if waits.done():  # given up meanwhile
        return
    if isinstance(found, Read | DataError):
        waits.set_result(found)
    else:
        waits.set_exception(found)
