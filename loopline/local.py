"""The laptop: which services run in LOOPLINE_HOME, on which ports and with which keys.

A service that the settings point elsewhere is not started. How processes are kept running is supervised.py's affair.
"""

import fcntl
import json
import os
import secrets
import socket
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from loopline import supervised
from loopline.clients.store import Store
from loopline.errors import ConfigError, LooplineError
from loopline.settings import LAPTOP, LaptopAddresses, Settings
from loopline.supervised import Process, Service

STORE_PORT = 4300
PREFECT_PORT = 4200  # where Prefect's own documentation puts it
FOREIGN = ("AWS_", "LOOPLINE_", "PREFECT_", "RCLONE_")  # the user's own servers and keys are no affair of the laptop's


@dataclass(frozen=True)
class ServiceStatus:
    """What `loopline status` says of one service."""

    name: str
    state: str
    address: str
    pid: int | None = None
    uptime_seconds: int | None = None


def up(settings: Settings) -> list[ServiceStatus]:
    """Start what does not run yet, wait until it answers, write its addresses and make the bucket.

    Raises FinalError if a service ends while it starts, UnreachableError if it does not answer within two minutes.
    """
    home = settings.folder
    with _locked(home):
        services = _running_services(settings)
        if services:
            supervised.start_ended(home)
            supervised.wait_until_healthy(home, services)
        else:
            _start(settings)
        if settings.store.endpoint == LAPTOP:
            Store(settings.resolved_store()).ensure_bucket()
    return status(settings)


def down(settings: Settings) -> int:
    """End every process that `up` started in this home folder; return how many there were."""
    with _locked(settings.folder):
        return supervised.end_all(settings.folder)


def status(settings: Settings) -> list[ServiceStatus]:
    """Say of each service whether it runs, and where."""
    processes = supervised.processes(settings.folder)
    last = _last_addresses(settings.folder)
    services = {service.name: service for service in _services(settings, last)} if last else {}
    elsewhere = {"store": settings.store.endpoint, "prefect": settings.prefect.api_url}
    return [
        _status(name, services.get(name), process=processes.get(name))
        if place == LAPTOP
        else ServiceStatus(name, "elsewhere", place)
        for name, place in elsewhere.items()
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
        "PREFECT_API_URL": settings.resolved_prefect().api_url,
        "PREFECT_HOME": str(settings.folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",  # without it, Prefect's client reports usage when a server elsewhere allows it
        "PREFECT_LOGGING_EXTRA_LOGGERS": "loopline",
        # GNU OpenMP's threads wait by spinning: a second process on the same cores makes training 10 times slower.
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000"),
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the home folder against every other `up` and `down`; the kernel lets go when this process ends."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _running_services(settings: Settings) -> list[Service]:
    """Return the services of the last start if they are what the settings still ask for and supervisord runs."""
    last = _last_addresses(settings.folder)
    if last is None or _addresses(settings, last=last, running=True) != last:
        return []
    services = _services(settings, last)
    return services if supervised.runs_exactly(settings.folder, services) else []


def _start(settings: Settings) -> None:
    home = settings.folder
    supervised.end_all(home)
    addresses = _addresses(settings, last=_last_addresses(home), running=False)
    services = _services(settings, addresses)
    if not services:
        return
    secret = addresses.store_secret_key.get_secret_value()
    document = json.dumps({**addresses.model_dump(mode="json"), "store_secret_key": secret}, indent=2)
    supervised.write_private(LaptopAddresses.path(home), document)
    try:
        supervised.start(home, services, environment=_environment(home, addresses))
        supervised.wait_until_healthy(home, services)
    except LooplineError:
        supervised.end_all(home)
        raise


def _environment(home: Path, addresses: LaptopAddresses) -> dict[str, str]:
    secret = addresses.store_secret_key.get_secret_value()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    programs = [str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    return {
        **inherited,
        "PATH": os.pathsep.join(programs),
        "PREFECT_HOME": str(home / "prefect"),
        "RCLONE_AUTH_KEY": f'"{addresses.store_access_key},{secret}"',  # rclone reads a CSV list, of one pair here
        "RCLONE_CACHE_DIR": str(home / "run"),
        "RCLONE_CONFIG": os.devnull,
    }


def _services(settings: Settings, addresses: LaptopAddresses) -> list[Service]:
    services = []
    if settings.store.endpoint == LAPTOP:
        services.append(_store(addresses))
    if settings.prefect.api_url == LAPTOP:
        services.append(_prefect(addresses))
    return services


def _store(addresses: LaptopAddresses) -> Service:
    where = urlsplit(addresses.store_url).netloc
    command = f"rclone serve s3 --addr {where} --dir-cache-time 1s store"
    return Service(name="store", url=addresses.store_url, health="/", command=command, environment={})


def _prefect(addresses: LaptopAddresses) -> Service:
    url = addresses.prefect_url.removesuffix("/api")
    port = urlsplit(url).port
    return Service(
        name="prefect",
        url=url,
        health="/api/health",
        command=f"{Path(sys.executable).name} -P -m prefect server start --host 127.0.0.1 --port {port}",
        environment={
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # By default any web page may speak to this server through the user's browser.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{url},http://localhost:{port}",
            "PREFECT_SERVER_UI_API_URL": addresses.prefect_url,
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        },
    )


def _status(name: str, service: Service | None, *, process: Process | None) -> ServiceStatus:
    if service is None or process is None:
        return ServiceStatus(name, "stopped", service.url if service else "")
    if not process.pid:
        return ServiceStatus(name, process.state.lower(), service.url)
    state = "running" if supervised.is_healthy(service, process) else "not answering"
    return ServiceStatus(name, state, service.url, process.pid, process.uptime_seconds)


def _last_addresses(home: Path) -> LaptopAddresses | None:
    try:
        return LaptopAddresses.read(home)
    except (ConfigError, ValidationError):
        return None


def _addresses(settings: Settings, *, last: LaptopAddresses | None, running: bool) -> LaptopAddresses:
    """Choose ports, keeping those and the keys of the last start where possible; `running`: its ports are ours."""
    used = (urlsplit(last.store_url).port, urlsplit(last.prefect_url).port) if last else (None, None)
    ours = {port for port in used if running and port}
    store_port = _choose_port((settings.laptop.store_port, used[0], STORE_PORT), ours=ours)
    prefect_port = _choose_port((settings.laptop.prefect_port, used[1], PREFECT_PORT), ours=ours, besides=store_port)
    return LaptopAddresses(
        store_url=f"http://127.0.0.1:{store_port}",
        store_access_key=last.store_access_key if last else secrets.token_hex(10),
        store_secret_key=last.store_secret_key if last else SecretStr(secrets.token_hex(20)),
        prefect_url=f"http://127.0.0.1:{prefect_port}/api",
    )


def _choose_port(wishes: tuple[int | None, ...], *, ours: set[int], besides: int | None = None) -> int:
    for port in wishes:
        if port and port != besides and (port in ours or _is_free(port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False
