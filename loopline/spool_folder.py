"""Files that wait for the store, each where its key says and whole, in a folder that several processes share."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from loopline.captures import CAPTURED, CORRECTION, FORGOTTEN, PICTURE, RECORD, place, tombstone
from loopline.traffic import TRAFFIC

BLOCK_BYTES = 4096  # what the smallest file takes of a disk
MEASURE_SECONDS = 1.0  # how long what other processes wrote may go uncounted
PART_SECONDS = 600  # after which a file that is not whole was left by a process that is dead
PARTS = "parts"
_ENDINGS = (PICTURE, RECORD)


class _File(NamedTuple):
    path: Path
    modified: float
    size_bytes: int  # on the disk


class SpoolFolder:
    """At most so many bytes of files, but for what other processes wrote in the last second and for tombstones."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        self.root, self.most_bytes = root, most_bytes
        self.used_bytes = self.file_count = 0
        self._measured_at = -MEASURE_SECONDS
        self._lock = threading.Lock()

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether so much may be added."""
        return self.used_bytes + size_bytes <= self.most_bytes

    def add(self, files: Mapping[str, bytes]) -> bool:
        """Write files at their keys, in this order; False if there is no room for them all. OSError as disks do."""
        size_bytes = sum(_on_disk(len(data)) for data in files.values())
        with self._lock:
            if not self.has_room(size_bytes):
                return False
            self.used_bytes += size_bytes
        for key, data in files.items():
            self._write(key, data)
        return True

    def add_correction(self, prediction_id: str, data: bytes) -> bool:
        """Write a correction beside the earlier ones, which may be under way; False as in `add`."""
        return self.add({place(prediction_id, f"{CORRECTION}.{time.time_ns():020}"): data})

    def bury(self, prediction_id: str) -> bool:
        """Delete what waits of an answer and leave a tombstone, however full the folder is."""
        self.drop(prediction_id)
        self._write(tombstone(prediction_id), b"")
        return True

    def drop(self, prediction_id: str) -> None:
        """Delete what waits of an answer."""
        for path in (self.root / place(prediction_id, "")).parent.glob(f"{prediction_id}.*"):
            path.unlink(missing_ok=True)

    def waiting(self) -> list[list[Path]]:
        """Return the files of each answer in the order in which the store is to have them, the oldest answer first.

        Of one that is to be forgotten only the tombstone is left. A file of traffic stands for itself.
        """
        answers: defaultdict[str, list[_File]] = defaultdict(list)
        for file in (file for part in (CAPTURED, TRAFFIC) for file in _files(self.root / part)):
            answers[file.path.name.partition(".")[0]].append(file)
        oldest = sorted(answers.values(), key=lambda files: min(file.modified for file in files))
        return [self._ordered([file.path for file in files]) for files in oldest]

    def key(self, path: Path) -> str:
        """Return where the store is to have a file."""
        key = path.relative_to(self.root).as_posix()
        return f"{key.partition('.')[0]}{CORRECTION}" if CORRECTION in key else key

    def measure(self) -> None:
        """Count anew what lies there, unless that was done just now; take away what dead processes left half written.

        What is written meanwhile may be counted twice, until the next time.
        """
        if time.monotonic() - self._measured_at < MEASURE_SECONDS:
            return
        self._measured_at, before = time.monotonic(), self.used_bytes
        files = list(_files(self.root))
        for file in files:
            if file.path.parent.name == PARTS and time.time() - file.modified > PART_SECONDS:
                file.path.unlink(missing_ok=True)
        with self._lock:
            self.used_bytes += sum(file.size_bytes for file in files) - before
            self.file_count = len(files)

    def _ordered(self, paths: list[Path]) -> list[Path]:
        stones = [path for path in paths if path.parent.name == Path(FORGOTTEN).name]
        if not stones:
            return sorted(paths, key=lambda path: (path.suffix not in _ENDINGS, path.suffix != PICTURE, path.name))
        self.drop(stones[0].name)
        return stones

    def _write(self, key: str, data: bytes) -> None:
        part, path = self.root / PARTS / uuid4().hex, self.root / key
        try:
            for folder in (part.parent, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _on_disk(size_bytes: int) -> int:
    return max(1, -(-size_bytes // BLOCK_BYTES)) * BLOCK_BYTES


def _files(folder: Path) -> Iterator[_File]:
    """Yield every file below a folder that is still there when it is looked at."""
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            with suppress(FileNotFoundError):  # delivered meanwhile
                found = path.stat()
                yield _File(path, found.st_mtime, _on_disk(found.st_size))
