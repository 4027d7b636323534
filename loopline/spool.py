"""What was asked, answered and corrected, on its way into the store: a bounded folder, and threads that empty it.

The folder mirrors the store's keys (captures.py), so that whatever is killed at any line, a file that lies there is
whole and still to be delivered. An answer costs its request no encoding, no disk and no network. Several processes
share a folder: all fill it, one at a time empties it. The store is only written to: a service needs no right to read
there, or to delete.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from loopline.answers import Correction, Reading
from loopline.captures import PICTURE, RECORD, Corrected, bare_png, capture_of, place
from loopline.clients.store import Store
from loopline.errors import ConfigError
from loopline.locking import locked
from loopline.spool_folder import SpoolFolder
from loopline.spool_traffic import TrafficLog
from loopline.traffic import Row, ink_and_contrast

log = logging.getLogger(__name__)

HANDED_BYTES = 64 * 2**20  # of pixels that wait to be encoded, a process; the largest picture has 40 MB of them
DELIVERERS = 4  # requests to the store at once
POLL_SECONDS = 1.0  # how long what another process left may go unnoticed
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 1.0, 60.0  # after failures of the store, twice as long each time
TELL_SECONDS = 60.0
STOP_SECONDS = 2.0
FULL = "the spool is full; see whether the store answers, or raise LOOPLINE_SERVICE__SPOOL_MB"


class SpoolFigures(NamedTuple):
    """How a spool fares: what waits in its folder, a second ago, and what this process has done since its start."""

    waiting_count: int
    waiting_bytes: int
    kept_count: int
    lost_count: int  # answers, corrections and wishes to be forgotten that could not be kept
    delivered_count: int


@dataclass(frozen=True)
class _Answer:
    reading: Reading
    image: Image.Image
    key_hash: str
    at: datetime

    @property
    def pixel_bytes(self) -> int:
        return self.image.width * self.image.height


class Spool:
    """Takes what is to be kept, and brings it to the store when it can. Nothing here raises into a request."""

    def __init__(self, folder: Path, store: Store, most_bytes: int, *, package_sha256: str) -> None:
        self._folder, self._store, self._package = SpoolFolder(folder, most_bytes), store, package_sha256
        self._traffic = TrafficLog(self._folder, package_sha256)
        self._handed: dict[str, _Answer] = {}  # by prediction id, in their order
        self._handed_bytes = 0
        self._kept_count = self._lost_count = self._delivered_count = 0
        self._told_at = -TELL_SECONDS
        self._lock = threading.Lock()
        self._work, self._files = threading.Event(), threading.Event()  # to encode; to deliver
        self._closing, self._ending = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._keep, self._deliver)]

    @property
    def figures(self) -> SpoolFigures:
        """How the spool fares."""
        folder, counts = self._folder, (self._kept_count, self._lost_count, self._delivered_count)
        return SpoolFigures(folder.file_count, folder.used_bytes, *counts)

    def start(self) -> None:
        """Begin to encode and to deliver, what an earlier process left included; once. ConfigError for a bad folder."""
        try:
            self._folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.measure()
        except OSError as error:
            reason = f"nothing can be kept in {self._folder.root} ({error.strerror})"
            raise ConfigError(f"{reason}; set LOOPLINE_SERVICE__SPOOL to a folder that can be written") from error
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Deliver what can be delivered in this time; the rest waits for the next start."""
        deadline = time.monotonic() + seconds
        for thread, event, woken in zip(
            self._threads, (self._closing, self._ending), (self._work, self._files), strict=True
        ):
            event.set()
            woken.set()
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def keep_answer(self, reading: Reading, image: Image.Image, *, key_hash: str, at: datetime) -> bool:
        """Take an answer with its decoded picture, which is then the spool's; False if it will not be kept.

        It is in memory until it was encoded, some milliseconds, and lost if the process is killed before.
        """
        answer = _Answer(reading, image, key_hash, at)
        with self._lock:
            fits = self._handed_bytes + answer.pixel_bytes <= HANDED_BYTES and self._folder.has_room(1)
            self._lost_count += not fits
            if fits:
                self._handed[reading.prediction_id] = answer
                self._handed_bytes += answer.pixel_bytes
        if fits:
            self._work.set()
        else:
            self._tell(FULL)
        return fits

    def keep_correction(self, correction: Correction, *, at: datetime) -> bool:
        """Write a correction down, a matter of one small file; False if it can't be kept."""
        data = Corrected(**correction.model_dump(), at=at).model_dump_json().encode()
        kept = self._write(lambda: self._folder.add_correction(correction.prediction_id, data))
        if kept:
            self._traffic.add(Row(kind="correction", at=at, prediction_id=correction.prediction_id))
        return kept

    def note_request(self, status: int, seconds: float, *, at: datetime) -> None:
        """Count a request for pictures, whatever came of it."""
        self._traffic.add(Row(kind="request", at=at, status=status, seconds=round(seconds, 4)))

    def forget(self, prediction_id: str) -> bool:
        """Drop what waits of an answer and leave a tombstone for the store; False if that can't be written down.

        What the store has already is deleted by housekeeping.
        """
        self._take_back(prediction_id)
        return self._write(lambda: self._folder.bury(prediction_id))

    def _take_back(self, prediction_id: str) -> bool:
        """Take an answer out of memory; False if it was taken out before."""
        with self._lock:
            answer = self._handed.pop(prediction_id, None)
            self._handed_bytes -= answer.pixel_bytes if answer else 0
        return answer is not None

    def _write(self, write: Callable[[], bool]) -> bool:
        """Write something down, count what came of it, and wake whoever delivers; raises nothing."""
        try:
            done = write()
            if not done:
                self._tell(FULL)
        except Exception as error:  # a request must not fail because its traces can't be kept
            done = False
            self._tell(str(error))
        with self._lock:
            self._kept_count += done
            self._lost_count += not done
        self._files.set()
        return done

    def _keep(self) -> None:
        """Encode what is handed over and write down what was counted, until the end."""
        while not (self._closing.is_set() and not self._handed):
            self._work.wait(POLL_SECONDS)
            self._work.clear()
            self._guarded(self._folder.measure)
            while answer := next(iter(list(self._handed.values())), None):
                self._encode(answer)
                self._guarded(self._folder.measure)
            self._guarded(self._traffic.write)
        self._guarded(partial(self._traffic.write, last=True))
        self._files.set()

    def _encode(self, answer: _Answer) -> None:
        name = answer.reading.prediction_id
        if self._write(lambda: self._folder.add(_files(answer, self._package))):
            self._traffic.add(_row(answer))
        if not self._take_back(name):  # to be forgotten since
            self._guarded(lambda: self._folder.drop(name))

    def _deliver(self) -> None:
        """Bring what waits to the store, until the end; a store that fails is left alone for longer and longer."""
        pause = 0.0
        while True:
            last = self._ending.is_set()
            failed = not self._guarded(partial(self._empty, wait=last))
            if last:
                return
            pause = min(max(FIRST_PAUSE_SECONDS, 2 * pause), MOST_PAUSE_SECONDS) if failed else 0.0
            if failed:
                self._ending.wait(pause)
            else:
                self._files.wait(POLL_SECONDS)
                self._files.clear()

    def _empty(self, *, wait: bool) -> None:
        """Deliver all that waits, unless another process is at it and we do not wait; raises what stood in the way."""
        try:
            with locked(self._folder.root, wait=wait):
                while answers := self._folder.waiting():
                    self._bring(answers)
        except BlockingIOError:
            return

    def _bring(self, answers: Sequence[Sequence[Path]]) -> None:
        failures: list[Exception] = []

        def work(some: Sequence[Sequence[Path]]) -> None:
            try:
                for path in (path for paths in some for path in paths):
                    if not failures:
                        self._bring_one(path)
            except Exception as error:  # told and tried again by whoever waits for this thread
                failures.append(error)

        parts = [answers[number::DELIVERERS] for number in range(DELIVERERS)]
        # Daemons, so that a store that hangs does not hold the end of the process.
        threads = [threading.Thread(target=work, args=(part,), daemon=True) for part in parts if part]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _bring_one(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # to be forgotten since
            return
        self._store.write(self._folder.key(path), data)
        path.unlink(missing_ok=True)
        with self._lock:
            self._delivered_count += 1

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Do a part of a thread's work; whatever fails is told and not the end of the thread."""
        try:
            work()
        except Exception as error:
            self._tell(str(error))
            return False
        return True

    def _tell(self, reason: str) -> None:
        """Say what stands in the way, once a minute."""
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            counts = (self._folder.file_count, self._lost_count)
            log.warning(
                "captures: %s; %d files wait for the store, %d answers or corrections were lost", reason, *counts
            )


def _files(answer: _Answer, package_sha256: str) -> dict[str, bytes]:
    name, png = answer.reading.prediction_id, bare_png(answer.image)
    record = capture_of(answer.reading, png=png, package_sha256=package_sha256, key_hash=answer.key_hash, at=answer.at)
    return {place(name, PICTURE): png, place(name, RECORD): record.model_dump_json().encode()}


def _row(answer: _Answer) -> Row:
    reading, (ink, contrast) = answer.reading, ink_and_contrast(answer.image)
    return Row(
        kind="answer",
        at=answer.at,
        prediction_id=reading.prediction_id,
        confidence=reading.confidence,
        unsure=reading.unsure,
        width_px=reading.width_px,
        height_px=reading.height_px,
        ink=ink,
        contrast=contrast,
    )
