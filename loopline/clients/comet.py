"""The experiment tracker: a run never waits for it, never fails because of it, and loses nothing to it.

What Comet gets are the lines of a run's record, brought by a process of its own. Whatever Comet does not take, or is
not to have yet, becomes an archive in LOOPLINE_HOME/comet, which `upload` brings there later.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loopline.clients.comet_courier import NO_ANSWER, REFUSED, Courier, Errand, News, Upload
from loopline.errors import ConfigError
from loopline.scratch import private_folder
from loopline.settings import CometSettings

END_SECONDS = 5  # for what is still on its way when a run ends
SPARE_SECONDS = 2  # of these, before an archive is begun beside: it takes 4, and both together stay below 10
ARCHIVE_SECONDS = 60  # nothing but this machine is waited for
UPLOAD_SECONDS = 600  # one archive over a slow line
KEY_LENGTH = 40  # Comet takes 32 to 50 characters

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What Comet is to call a run. The same digest is the same experiment, whatever the kind."""

    digest: str
    kind: str
    name: str
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The experiment's key: a retry, or a later judgement of the same run, continues the experiment."""
        return self.digest[:KEY_LENGTH]


@dataclass(frozen=True)
class Uploaded:
    """What `upload` did: archives by name, and a sentence for each that stays."""

    archives: tuple[str, ...]
    failures: tuple[str, ...]


def check_comet(settings: CometSettings) -> None:
    """Raise ConfigError for settings that can't work, before anything is spent on a run."""
    if settings.mode == "online" and not _key(settings):
        raise ConfigError(
            "Comet is online but has no key; set LOOPLINE_COMET__API_KEY, or LOOPLINE_COMET__MODE=offline"
        )
    if settings.url and not settings.url.startswith(("http://", "https://")):
        raise ConfigError(f"{settings.url!r} is no address of a Comet server; set LOOPLINE_COMET__URL to https://...")


class Delivery:
    """How a delivery stands; settled when its block has ended. `failure` says why Comet did not take everything."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.failure: str | None = None


@contextmanager
def delivering(settings: CometSettings, run: Run, *, record: Path, home: Path) -> Iterator[Delivery]:
    """Bring a record to Comet while it is written; at the block's end, wait END_SECONDS at most for the rest.

    Offline, or if Comet did not take everything, the whole record is an archive then. Nothing is raised for it.
    """
    if settings.mode == "off":
        yield Delivery()
        return
    with private_folder(_folder(home) / "scratch") as scratch:
        trip = _Trip(settings, run, record=record, scratch=scratch, archive=_folder(home) / f"{run.key}-{run.kind}.zip")
        try:
            yield trip.delivery
        finally:
            trip.end()


def upload(settings: CometSettings, home: Path) -> Uploaded:
    """Bring every archive of LOOPLINE_HOME/comet to Comet, once; what has arrived is moved into uploaded/.

    An archive that Comet does not take stays, with a sentence in `failures`. ConfigError if there is no key.
    """
    if not _key(settings):
        raise ConfigError("archives can't be uploaded without a key; set LOOPLINE_COMET__API_KEY")
    arrived, failures = [], []
    done = _folder(home) / "uploaded"
    waiting = sorted(_folder(home).glob("*.zip"), key=lambda path: path.stat().st_mtime)
    while waiting:
        archive = waiting.pop(0)
        if failure := _upload(settings, archive):
            failures.append(f"{archive.name} was not uploaded: {failure}; it stays in {archive.parent}")
        else:
            done.mkdir(exist_ok=True)
            archive.replace(done / archive.name)
            arrived.append(archive.name)
        if failure in (NO_ANSWER, REFUSED) and waiting:
            failures.append(f"{len(waiting)} more were not tried; they stay there too")
            break
    return Uploaded(tuple(arrived), tuple(failures))


class _Trip:
    """A record on its way: to the server, or into an archive as soon as the server can't be relied on."""

    def __init__(self, settings: CometSettings, run: Run, *, record: Path, scratch: Path, archive: Path) -> None:
        self.settings, self.run, self.record, self.scratch, self.archive = settings, run, record, scratch, archive
        self.delivery = Delivery()
        self._archiving: Courier | None = None
        self._one_at_a_time = threading.Lock()
        self._sending = self._courier(offline=None, hear=self._hear) if settings.mode == "online" else None
        if not self._sending:
            self._start_archiving()

    def end(self) -> None:
        """Deliver what is left, or put the archive in its place."""
        if self._sending:
            if self._sending.finish(SPARE_SECONDS) is None:
                self._start_archiving()
            if self._sending.finish(END_SECONDS - SPARE_SECONDS):
                self.archive.unlink(missing_ok=True)  # of an earlier attempt: all that it holds has arrived now
            else:
                self._sending.give_up(f"it did not take everything within {END_SECONDS} s of the run's end")
        if self._archiving:
            self._keep_archive(self._archiving)

    def _keep_archive(self, courier: Courier) -> None:
        if self._sending and not self.delivery.failure:
            courier.kill()
        elif courier.finish(ARCHIVE_SECONDS):
            for archive in self.scratch.glob("*.zip"):
                archive.replace(self.archive)
        else:
            courier.give_up(f"it took more than {ARCHIVE_SECONDS} s")

    def _courier(self, *, offline: Path | None, hear: Callable[[News], None]) -> Courier:
        errand = Errand(
            record=self.record,
            key=self.run.key,
            name=self.run.name,
            tags=self.run.tags,
            project=self.settings.project,
            workspace=self.settings.workspace,
            log_code=self.settings.log_code,
            argv=tuple(sys.argv),
            offline=offline,
        )
        return Courier(errand, settings=self.settings, scratch=self.scratch, hear=hear)

    def _start_archiving(self) -> None:
        with self._one_at_a_time:
            if not self._archiving:
                self._archiving = self._courier(offline=self.scratch, hear=self._hear_of_archive)

    def _hear(self, news: News) -> None:
        self.delivery.url = news.url or self.delivery.url
        if news.failure:
            self.delivery.failure = news.failure
            log.warning(
                "comet: %s; this run goes on without it and will be in %s, which `loopline comet upload` sends",
                news.failure,
                self.archive,
            )
            self._start_archiving()

    def _hear_of_archive(self, news: News) -> None:
        if news.failure:
            log.warning("comet: no archive of %s was written: %s", self.record, news.failure)


def _upload(settings: CometSettings, archive: Path) -> str | None:
    failures: list[str] = []
    with private_folder(archive.parent / "scratch") as scratch:
        courier = Courier(
            Upload(archive=archive),
            settings=settings,
            scratch=scratch,
            hear=lambda news: failures.append(news.failure) if news.failure else None,
        )
        if courier.finish(UPLOAD_SECONDS) is None:
            courier.give_up(f"it took more than {UPLOAD_SECONDS} s")
    return failures[0] if failures else None


def _key(settings: CometSettings) -> str:
    return settings.api_key.get_secret_value() if settings.api_key else ""


def _folder(home: Path) -> Path:
    return home / "comet"
