"""What is kept of what was asked, answered and corrected: nothing, unless the settings say so."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from gauges import Gauges
from loopline.answers import Correction, Reading
from loopline.captures import SECRET_BYTES, day_of, is_ours, new_prediction_id, signing_secret
from loopline.settings import Settings
from refusal import Refused

if TYPE_CHECKING:
    from loopline.spool import Spool

MEGABYTE = 1_000_000
FORGOTTEN = "forgotten"  # in the spool's folder: ids that were deleted
NOTHING_KEPT = "nothing is kept here, so that there is nothing to correct or to delete"
NOT_YOURS = "no such prediction of yours is kept: it is unknown, was deleted, or was not to be kept"
NO_ROOM = "this can't be kept now; send it again later"
RETRY_SECONDS = 60


class Keeper:
    """Keeps answers and what their callers say of them; a prediction never waits for it.

    A caller is the hash of a key, "" where none is asked for. An answer that is not kept has an id whose secret nobody
    has, so that it is unknown from the beginning.
    """

    def __init__(self, settings: Settings, *, package_sha256: str, gauges: Gauges) -> None:
        self._gauges = gauges
        self._secret = self._nobodys = secrets.token_bytes(SECRET_BYTES)
        self._spool: Spool | None = None
        if settings.service.capture:
            self._secret = signing_secret(settings.service)
            self._forgotten = Forgotten(settings.service.spool / FORGOTTEN)
            self._spool = make_spool(settings, package_sha256)
            self._spool.start()

    def close(self) -> None:
        """Bring to the store what can be brought in two seconds; the rest waits for the next start."""
        if self._spool:
            self._spool.stop()

    def named(self, key: str, *, kept: bool) -> str:
        """Return the id of an answer, which can be corrected later if it is to be kept and anything is."""
        return new_prediction_id(key, secret=self._secret if kept else self._nobodys, now=datetime.now(UTC))

    def keep(self, reading: Reading, upright: Image.Image, key: str) -> Reading:
        """Take an answer, with the picture; return it, under another id if there is no room to keep it."""
        if self._spool is None:
            return reading
        kept = self._spool.keep_answer(reading, upright, key_hash=key, at=datetime.now(UTC))
        self._count(self._spool)
        return reading if kept else reading.model_copy(update={"prediction_id": self.named(key, kept=False)})

    def note(self, status: int, seconds: float) -> None:
        """Count a request for pictures."""
        if self._spool:
            self._spool.note_request(status, seconds, at=datetime.now(UTC))

    def correct(self, correction: Correction, key: str) -> None:
        """Take a correction; Refused if there is nothing to correct, or no room."""
        spool = self._spool_of(correction.prediction_id, key)
        self._checked(spool, spool.keep_correction(correction, at=datetime.now(UTC)))

    def forget(self, prediction_id: str, key: str) -> None:
        """Have a prediction forgotten, whatever of it is kept and wherever; Refused if there is nothing to forget."""
        spool = self._spool_of(prediction_id, key)
        self._checked(spool, spool.forget(prediction_id))
        self._forgotten.add(prediction_id)

    def _spool_of(self, prediction_id: str, key: str) -> "Spool":
        if self._spool is None:
            raise Refused(409, NOTHING_KEPT)
        if not is_ours(prediction_id, key, secret=self._secret) or prediction_id in self._forgotten:
            raise Refused(404, NOT_YOURS)
        return self._spool

    def _checked(self, spool: "Spool", done: bool) -> None:
        self._count(spool)
        if not done:
            raise Refused(503, NO_ROOM, retry_seconds=RETRY_SECONDS)

    def _count(self, spool: "Spool") -> None:
        self._gauges.spooled_bytes.set(spool.figures.waiting_bytes)
        self._gauges.lost.set(spool.figures.lost_count)


class Forgotten:
    """Ids that were deleted: lines of a file that the processes of a machine share, and each reads once."""

    def __init__(self, path: Path) -> None:
        self._path, self._read_bytes = path, 0
        self._ids: set[str] = set()

    def add(self, prediction_id: str) -> None:
        """Write an id down."""
        with self._path.open("a") as file:
            file.write(prediction_id + "\n")

    def __contains__(self, prediction_id: str) -> bool:
        if self._path.exists():
            with self._path.open() as file:
                file.seek(self._read_bytes)
                self._ids.update(file.read().split())
                self._read_bytes = file.tell()
        return prediction_id in self._ids

    def prune(self, *, days: int) -> None:
        """Leave out what is so old that nothing of it is kept any more; while nobody else has the file."""
        if self._path.exists():
            since = (datetime.now(UTC) - timedelta(days=days)).date()
            young = [one for one in self._path.read_text().split() if day_of(one) >= since]
            self._path.write_text("".join(f"{one}\n" for one in young))


def make_spool(settings: Settings, package_sha256: str) -> "Spool":
    """Return the way into the store, unopened; ConfigError if the settings know no store."""
    from loopline.clients.store import Store  # a tenth of a second and 40 MB that few services need
    from loopline.spool import Spool

    store, most_bytes = Store(settings.resolved_store()), settings.service.spool_mb * MEGABYTE
    return Spool(settings.service.spool, store, most_bytes, package_sha256=package_sha256)


def check_keeping(settings: Settings) -> None:
    """Raise ConfigError if answers are to be kept and can't be; forget what was forgotten long ago."""
    if settings.service.capture:
        make_spool(settings, "")
        signing_secret(settings.service)
        Forgotten(settings.service.spool / FORGOTTEN).prune(days=settings.service.capture_days)
