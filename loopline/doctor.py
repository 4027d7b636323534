"""What must be in order before anything is run: each thing is tried, and what is wrong comes with its remedy.

`loopline doctor` looks at everything; build_model takes the quick part before it begins, so that what can't work fails
in seconds.
"""

import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx

from loopline.clients.comet import check_comet
from loopline.clients.git import GitRegistry
from loopline.clients.store import Store
from loopline.errors import AccessError, ConfigError, FinalError, LooplineError, UnreachableError
from loopline.laptop_addresses import LaptopAddresses
from loopline.settings import LAPTOP, Settings

LEAST_FREE_BYTES = 2 * 10**9  # a training set, its cache and the checkpoints of a small problem
FULL_BYTES = 50 * 10**6  # with less, whatever fails fails for want of room: what could not be written is gone already
MOST_SKEW_SECONDS = 60  # S3 refuses requests from 15 minutes on
COMET = "https://www.comet.com"
TIMEOUT_SECONDS = 10


class Finding(NamedTuple):
    """What was found of one thing: in order or not, and in either case a sentence."""

    name: str
    well: bool
    said: str


def quick(settings: Settings) -> None:
    """Raise what is wrong with what every build needs, with its remedy."""
    for check in (disk, store, registry):
        check(settings)


def examine(settings: Settings) -> Iterator[Finding]:
    """Try one thing after the other, and say what was found."""
    checks: tuple[Callable[[Settings], str], ...] = (
        home,
        disk,
        store,
        rights,
        clock,
        registry,
        label_studio,
        comet,
        gpu,
    )
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            yield Finding(name, True, check(settings))
        except LooplineError as error:
            yield Finding(name, False, str(error))


def home(settings: Settings) -> str:
    """Look at the home folder; AccessError if others can read it."""
    folder = settings.folder
    if not folder.exists():
        return f"{folder} is not there yet; `loopline up` makes it"
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise AccessError(f"{folder} can be read by others (mode {mode:o}), and it holds keys; chmod 700 {folder}")
    return f"{folder}, readable by its owner alone"


def disk(settings: Settings, *, least_bytes: float = LEAST_FREE_BYTES) -> str:
    """Look at the room that is left; FinalError if there is little."""
    folder = next(place for place in (settings.folder, *settings.folder.parents) if place.exists())
    free = shutil.disk_usage(folder).free
    if free < least_bytes:
        there, cache = f"{free / 1e9:.1f} GB are free at {folder}", settings.folder / "cache"
        raise FinalError(f"{there}, {least_bytes / 1e9:.0f} GB are wanted; delete {cache}, or more")
    return f"{free / 1e9:.0f} GB free at {folder}"


@contextmanager
def naming_a_full_disk(settings: Settings) -> Iterator[None]:
    """Raise FinalError for whatever fails while the disk is full: each library calls that something else, or nothing.

    numpy says how much was written, torch that an archive is corrupt, a store that it has an internal error.
    """
    try:
        yield
    except FinalError:
        raise
    except Exception as error:
        try:
            disk(settings, least_bytes=FULL_BYTES)
        except FinalError:
            place = settings.folder
            room = f"make room, such as by deleting {place / 'cache'}, and take the run up again"
            raise FinalError(f"the disk of {place} is full; {room}") from error
        raise


def store(settings: Settings) -> str:
    """Write, read, list and delete an object; AccessError says which of these the keys may not do."""
    objects, key, words = Store(settings.resolved_store()), f"tmp/doctor-{uuid4().hex}", b"Loopline"
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("write", lambda: objects.write(key, words)),
        ("read", lambda: objects.read(key)),
        ("list", lambda: list(objects.list(key))),
        ("delete", lambda: objects.delete(key)),
    )
    for may, try_it in steps:
        try:
            try_it()
        except AccessError as error:
            raise AccessError(f"the store does not let us {may}: {error}") from None
    return f"{objects.url('')} can be written, read, listed and deleted from"


def rights(settings: Settings) -> str:
    """Look whether the store's keys may do more than they need; AccessError if they see other buckets."""
    if settings.store.endpoint == LAPTOP:
        return "the laptop's own store"
    others = Store(settings.resolved_store()).other_buckets()
    if others:
        more = f"{len(others)} more buckets, such as {others[0]}"
        raise AccessError(f"the store's keys may list {more}; give Loopline keys of {settings.store.bucket} alone")
    return f"the store's keys see {settings.store.bucket} alone"


def clock(settings: Settings) -> str:
    """Hold this machine's clock against the store's; FinalError if they differ so that signatures will be refused."""
    there = Store(settings.resolved_store()).server_time()
    skew = (datetime.now(UTC) - there).total_seconds()
    if abs(skew) > MOST_SKEW_SECONDS:
        raise FinalError(
            f"this machine's clock is {skew:+.0f} s from the store's; set it, such as with chronyd or ntpd"
        )
    return f"within {max(1, abs(round(skew)))} s of the store's"


def registry(settings: Settings) -> str:
    """Clone the registry and try to push; AccessError if either is refused."""
    url = settings.resolved_registry().url
    if settings.registry.url == LAPTOP and not Path(url).exists():
        return f"{url} is not there yet; the first run makes it"
    with GitRegistry(url, scratch=settings.folder / "cache" / "registry").clone() as clone:
        clone.check_push()
        count = len(clone.tags())
    return f"{url} can be read and pushed to; {count} tags"


def label_studio(settings: Settings) -> str:
    """Sign in to the labelling tool, where one is in use."""
    here = settings.label_studio.url == LAPTOP
    if here and not (LaptopAddresses.path(settings.folder).exists() and LaptopAddresses.read(settings.folder).labels):
        return "not in use; `loopline up --labels` starts one"
    from loopline.clients.label_studio import LabelStudio

    client = LabelStudio(settings.resolved_label_studio())
    return f"{client.url} takes its token; {len(client.people())} people"


def comet(settings: Settings) -> str:
    """Ask Comet whether it knows the key, where it is in use online."""
    check_comet(settings.comet)
    if settings.comet.mode != "online" or settings.comet.api_key is None:
        return {"off": "not in use", "offline": "offline: archives wait for `loopline comet upload`"}.get(
            settings.comet.mode, "online, with a key from Comet's own configuration, which is not tried"
        )
    place = settings.comet.url or COMET
    headers = {"Authorization": settings.comet.api_key.get_secret_value()}
    try:
        answer = httpx.get(f"{place}/api/rest/v2/workspaces", headers=headers, timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"Comet at {place} did not answer ({type(error).__name__}); records stay in the store, and archives wait"
        ) from None
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise AccessError(f"Comet at {place} does not know the key; set LOOPLINE_COMET__API_KEY to one of your account")
    return f"{place} knows the key"


def gpu(settings: Settings) -> str:
    """Look for the GPU that the settings ask for; ConfigError if there is none."""
    import torch

    wanted = settings.train.accelerator
    if torch.cuda.is_available():
        name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory
        return f"{torch.cuda.device_count()} x {name}, {memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
    if wanted in ("gpu", "cuda"):
        driver = "its driver is there" if Path("/proc/driver/nvidia/version").exists() else "no NVIDIA driver is loaded"
        build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        remedy = "`make install TORCH=gpu`, or set LOOPLINE_TRAIN__ACCELERATOR=cpu"
        raise ConfigError(f"no GPU can be used: {driver}, and {build}; {remedy}")
    return f"none; learning runs on the CPU (LOOPLINE_TRAIN__ACCELERATOR={wanted})"
