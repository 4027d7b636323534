"""Rows of traffic on their way into the spool: held for a second, then in a file that is handed over each minute."""

import os
import secrets
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from loopline.spool_folder import SpoolFolder
from loopline.traffic import TIME, Row, traffic_place

OPEN = "counted"  # in the spool's folder: files that processes still write to
MOST_HELD = 10_000  # rows in memory; more in a second are not counted
MOST_ROWS = 2000  # of a file: half a megabyte
SECONDS = 60.0  # how old a file grows
DEAD_SECONDS = 3 * SECONDS  # after which a file that grows no more was left by a process that is dead


class TrafficLog:
    """The rows of one process, which serves one package. Whoever has the spool's folder may end what it left."""

    def __init__(self, folder: SpoolFolder, package_sha256: str) -> None:
        self._folder, self._package = folder, package_sha256
        self._rows: deque[Row] = deque(maxlen=MOST_HELD)
        self._file: Path | None = None
        self._row_count, self._begun = 0, 0.0

    def add(self, row: Row) -> None:
        """Take a row, from any thread."""
        self._rows.append(row)

    def write(self, *, last: bool = False) -> None:
        """Write down what came since, and hand the file over if it is full or old, or the last one; OSError."""
        lines = [self._rows.popleft().model_dump_json(exclude_none=True) for _ in range(len(self._rows))]
        data = "".join(f"{line}\n" for line in lines).encode()
        if lines and self._folder.has_room(len(data)):
            with self._opened().open("ab") as file:
                file.write(data)
            self._row_count += len(lines)
        old = time.monotonic() - self._begun >= SECONDS
        if self._file and (last or old or self._row_count >= MOST_ROWS):
            self._hand_over(self._file)
            self._file, self._row_count = None, 0
        self._adopt()

    def _opened(self) -> Path:
        if self._file is None:
            self._file, self._begun = (
                self._folder.root / OPEN / f"{self._package}.{secrets.token_hex(8)}",
                time.monotonic(),
            )
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._file

    def _hand_over(self, file: Path) -> None:
        package, _, chance = file.name.partition(".")
        place = self._folder.root / traffic_place(package, f"{datetime.now(UTC):{TIME}}-{chance}.jsonl")
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process was faster
            file.rename(place)

    def _adopt(self) -> None:
        """Hand over what dead processes left."""
        folder = self._folder.root / OPEN
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if time.time() - entry.stat().st_mtime > DEAD_SECONDS:
                        self._hand_over(Path(entry.path))
