"""How fast each key may ask, counted over all processes that serve it on this machine."""

import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

FULL = struct.Struct("d")
PLACE = "LOOPLINE_SHARED_RATES"  # in the environment: the file that the serving processes share


class Rates:
    """A bucket of a minute's requests for each key, which fills steadily.

    All that is kept of a bucket is the moment at which it will be full again (the generic cell rate algorithm), on
    the machine's own monotonic clock, which every process reads alike. A lock that dies with its process guards them.
    """

    def __init__(self, key_hashes: Iterable[str], *, per_minute: int) -> None:
        self._places = {key: number * FULL.size for number, key in enumerate(sorted(key_hashes))}
        self._seconds, self._bucket_seconds = 60 / per_minute, 60.0
        path = os.environ.get(PLACE)
        self._file = os.open(path, os.O_RDWR) if path else os.open(tempfile.gettempdir(), os.O_RDWR | os.O_TMPFILE)
        size = max(1, len(self._places)) * FULL.size
        os.ftruncate(self._file, size)
        self._full_at = mmap.mmap(self._file, size)

    def take(self, key_hash: str, count: int = 1) -> float:
        """Take so many requests out of a key's bucket; return 0, or after how many seconds they would be there."""
        now, place = time.monotonic(), self._places[key_hash]
        with self._alone():
            (full_at,) = FULL.unpack_from(self._full_at, place)
            full_at = max(now, full_at) + count * self._seconds
            short: float = full_at - now - self._bucket_seconds
            if short <= 0:
                FULL.pack_into(self._full_at, place, full_at)
        return max(0.0, short)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
