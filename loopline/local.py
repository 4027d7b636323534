"""The laptop: which services run in LOOPLINE_HOME, on which ports and with which keys.

A service that the settings point elsewhere is not started. How processes are kept running is supervised.py's affair.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from loopline import supervised
from loopline.addresses import Wanted, choose_addresses, last_addresses, write_addresses
from loopline.clients.label_studio_token import personal_token
from loopline.clients.store import Store
from loopline.demo import champion_bento
from loopline.errors import ConfigError, LooplineError
from loopline.label_studio_database import ensure_database
from loopline.label_studio_venv import provide_venv
from loopline.laptop_addresses import LaptopAddresses
from loopline.locking import locked
from loopline.routes import BLUE, Routes, write_routes
from loopline.services import flow_environment, laptop_services, services_environment
from loopline.settings import LAPTOP, Settings
from loopline.supervised import Process, Service


@dataclass(frozen=True)
class ServiceStatus:
    """What `loopline status` says of one service."""

    name: str
    state: str
    address: str
    pid: int | None = None
    uptime_seconds: int | None = None


def up(
    settings: Settings,
    *,
    labels: bool | None = None,
    worker: bool | None = None,
    demo: bool | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[ServiceStatus]:
    """Start what does not run yet, wait until it answers, write its addresses, make bucket and access token.

    `labels` adds Label Studio or leaves it out, `worker` a worker of the pool `laptop`, `demo` a page to try the
    champion on; None: as at the last start. `tell` hears what takes long. Raises FinalError if a service ends while it
    starts, Label Studio can't be installed or there is no champion to show, UnreachableError if one does not answer.
    """
    home = settings.folder
    with _held(home):
        wanted = _wanted(settings, labels=labels, worker=worker, demo=demo)
        services = _running_services(settings, wanted)
        if services:
            supervised.start_ended(home)
            supervised.wait_until_healthy(home, services)
        else:
            _start(settings, wanted, tell=tell)
        if settings.store.endpoint == LAPTOP:
            Store(settings.resolved_store()).ensure_bucket()
        if wanted.labels:
            _keep_token(home)
    return status(settings)


def down(settings: Settings) -> int:
    """End every process that `up` started in this home folder; return how many there were."""
    with _held(settings.folder):
        return supervised.end_all(settings.folder)


def status(settings: Settings) -> list[ServiceStatus]:
    """Say of each service whether it runs, and where."""
    processes = supervised.processes(settings.folder)
    last = last_addresses(settings.folder)
    services = {service.name: service for service in laptop_services(settings, last)} if last else {}
    places = {"store": settings.store.endpoint, "prefect": settings.prefect.api_url}
    if settings.label_studio.url != LAPTOP or "label-studio" in services:
        places["label-studio"] = settings.label_studio.url
    places |= {name: LAPTOP for name in services if name not in places}
    return [
        _status(name, services.get(name), process=processes.get(name))
        if place == LAPTOP
        else ServiceStatus(name, "elsewhere", place)
        for name, place in places.items()
    ]


def log_files(settings: Settings, service: str | None = None) -> list[Path]:
    """Return the log of a service, or all logs; ConfigError if there is none."""
    logs = {path.stem: path for path in sorted((settings.folder / "logs").glob("*.log"))}
    if not logs:
        raise ConfigError(f"nothing was ever started in {settings.folder}; run `loopline up`")
    if service is not None and service not in logs:
        raise ConfigError(f"there is no log of {service!r}; choose one of: {', '.join(logs)}")
    return [logs[service]] if service else list(logs.values())


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return what a child process that runs flows needs in its environment, beside what it inherits."""
    return {
        "LOOPLINE_HOME": str(settings.folder),
        "PREFECT_HOME": str(settings.folder / "prefect"),
        **flow_environment(settings.resolved_prefect()),
    }


@contextmanager
def _held(home: Path) -> Iterator[None]:
    """Hold the home folder against every other `up` and `down`."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(home):
        yield


def _wanted(settings: Settings, *, labels: bool | None, worker: bool | None, demo: bool | None) -> Wanted:
    """Return what this start is to have: what was asked for, else what the last one had."""
    last = last_addresses(settings.folder)
    before = Wanted(labels=last.labels, worker=last.worker, demo=last.demo) if last else Wanted()
    wanted = Wanted(
        labels=settings.label_studio.url == LAPTOP and (before.labels if labels is None else labels),
        worker=before.worker if worker is None else worker,
        demo=before.demo if demo is None else demo,
    )
    standing = {colour: one.bento for colour, one in last.readers.items()} if last else {}
    if wanted.demo and not (wanted.worker and standing):  # otherwise what was released stands
        standing = {BLUE: champion_bento(settings)}
        write_routes(settings.folder, Routes(live=BLUE))
    return replace(wanted, readers=standing)


def _running_services(settings: Settings, wanted: Wanted) -> list[Service]:
    """Return the services of the last start if they are what the settings still ask for and supervisord runs."""
    last = last_addresses(settings.folder)
    if last is None or choose_addresses(settings, wanted, last=last, running=True) != last:
        return []
    services = laptop_services(settings, last)
    return services if supervised.runs_exactly(settings.folder, services) else []


def _start(settings: Settings, wanted: Wanted, *, tell: Callable[[str], None]) -> None:
    home = settings.folder
    if wanted.labels:
        if settings.laptop.label_studio_database:
            ensure_database(settings.laptop.label_studio_database)
        provide_venv(settings, tell=tell)  # takes a minute, in which the other services go on
        tell("starting the services; Label Studio takes half a minute the first time")
    supervised.end_all(home)
    last = last_addresses(home)
    addresses = choose_addresses(settings, wanted, last=last, running=False)
    services = laptop_services(settings, addresses)
    if services or last:
        write_addresses(home, addresses)
    if not services:
        return
    try:
        supervised.start(home, services, environment=services_environment(settings, addresses))
        supervised.wait_until_healthy(home, services)
    except LooplineError:
        supervised.end_all(home)
        raise


def _keep_token(home: Path) -> None:
    """Write down a token that Label Studio takes: the last one if it still does."""
    addresses = LaptopAddresses.read(home)
    token = personal_token(
        addresses.label_studio_url,
        user=addresses.label_studio_user,
        password=addresses.label_studio_password,
        known=addresses.label_studio_token,
    )
    if token != addresses.label_studio_token:
        write_addresses(home, addresses.model_copy(update={"label_studio_token": token}))


def _status(name: str, service: Service | None, *, process: Process | None) -> ServiceStatus:
    if service is None or process is None:
        return ServiceStatus(name, "stopped", service.url if service else "")
    if not process.pid:
        return ServiceStatus(name, process.state.lower(), service.url)
    state = "running" if supervised.is_healthy(service, process) else "not answering"
    return ServiceStatus(name, state, service.url, process.pid, process.uptime_seconds)
