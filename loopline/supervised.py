"""Background processes that outlive the terminal: started, asked, watched and ended through supervisord.

Everything is kept in one home folder: the configuration, the logs, and the unix socket in a private folder. Each
process carries LOOPLINE_HOME and LOOPLINE_SUPERVISED in its environment, so that what is ours is found even when
supervisord itself was killed, and nothing else is.
"""

import configparser
import http.client
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from supervisor.xmlrpc import SupervisorTransport

from loopline.errors import FinalError, UnreachableError

SUPERVISOR = "supervisor"
HEALTH_SECONDS = 300  # Label Studio's first boot takes half a minute on an idle machine, two on a busy one
SERVICE_STOP_SECONDS = 5  # Prefect waits for open pages of its UI for ever
STOP_SECONDS = 30  # supervisord ends its services one after the other
MOST_LIVES = 2  # a service may have been killed just before; dying again is its own doing
LOG_LINES = 12  # enough to hold the end of the traceback that ended a service
GIVEN_UP = {"BACKOFF", "FATAL"}


@dataclass(frozen=True)
class Service:
    """What runs, where it listens, and the path that answers once it works."""

    name: str
    url: str
    health: str
    command: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Process:
    """What supervisord knows of a service; `state` is its word, such as RUNNING."""

    state: str
    pid: int
    uptime_seconds: int


def start(home: Path, services: Iterable[Service], *, environment: dict[str, str]) -> None:
    """Start supervisord and its services, all with `environment`; FinalError if it does not start."""
    for name in ("logs", "run", *(service.name for service in services)):
        (home / name).mkdir(mode=0o700, exist_ok=True)
    write_private(_configuration_path(home), _configuration(services))
    with _short_path(home) as run:
        result = subprocess.run(
            [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", _configuration_path(home)],
            cwd=home,  # the configuration's paths are relative, so that no character of the home folder needs quoting
            env={
                **environment,
                "LOOPLINE_HOME": str(home),
                "LOOPLINE_RUN": str(run),
                "LOOPLINE_SUPERVISED": SUPERVISOR,
            },
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    if result.returncode:
        raise FinalError(f"supervisord did not start in {home}: {result.stderr.strip() or result.stdout.strip()}")


def runs_exactly(home: Path, services: Iterable[Service]) -> bool:
    """Tell whether supervisord runs with these services and no others."""
    path = _configuration_path(home)
    return bool(processes(home)) and path.is_file() and path.read_text() == _configuration(services)


def change(home: Path, services: Iterable[Service]) -> None:
    """Make a running supervisord run these services: what is new or other is started, what is gone ended.

    What they all have in their environment stays as it was when it started.
    """
    for service in services:
        (home / service.name).mkdir(mode=0o700, exist_ok=True)
    write_private(_configuration_path(home), _configuration(services))
    with _supervisor(home) as supervisor:
        ((added, changed, removed),) = supervisor.reloadConfig()
        for name in (*changed, *removed):
            supervisor.stopProcessGroup(name)
            supervisor.removeProcessGroup(name)
        for name in (*added, *changed):
            supervisor.addProcessGroup(name)


def start_ended(home: Path) -> None:
    """Start again the services that supervisord gave up."""
    with _supervisor(home) as supervisor:
        supervisor.startAllProcesses(False)


def processes(home: Path) -> dict[str, Process]:
    """Ask supervisord about its services, by name; nothing if it does not run."""
    try:
        with _supervisor(home) as supervisor:
            answers = supervisor.getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return {}
    return {
        answer["name"]: Process(answer["statename"], answer["pid"], max(0, answer["now"] - answer["start"]))
        for answer in answers
    }


def is_healthy(service: Service, process: Process | None) -> bool:
    """Tell whether this very process listens on the service's port and answers."""
    return process is not None and process.state == "RUNNING" and _listens(process, service) and _answers(service)


def wait_until_healthy(home: Path, services: Iterable[Service]) -> None:
    """Wait until all services answer; FinalError if one ends meanwhile, UnreachableError after five minutes."""
    deadline = time.monotonic() + HEALTH_SECONDS
    pids: dict[str, set[int]] = defaultdict(set)
    while True:
        found = processes(home)
        waiting = [service for service in services if not is_healthy(service, found.get(service.name))]
        if not waiting:
            return
        for service in waiting:
            process = found.get(service.name)
            pids[service.name].add(process.pid if process else 0)
            if process is None or process.state in GIVEN_UP or len(pids[service.name] - {0}) > MOST_LIVES:
                raise FinalError(f"{service.name} ended while it started; {_last_words(home, service)}")
        if time.monotonic() > deadline:
            silent = waiting[0]
            raise UnreachableError(
                f"{silent.name} did not answer at {silent.url} within {HEALTH_SECONDS} s; {_last_words(home, silent)}"
            )
        time.sleep(0.1)


def end_all(home: Path) -> int:
    """End every process of this home folder, supervisord first; return how many there were."""
    count = len(_ours(home))
    _signal(home, signal.SIGTERM, only=SUPERVISOR, seconds=STOP_SECONDS)
    _signal(home, signal.SIGTERM, seconds=SERVICE_STOP_SECONDS)
    _signal(home, signal.SIGKILL, seconds=SERVICE_STOP_SECONDS)
    return count


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(temporary).replace(path)


def _configuration_path(home: Path) -> Path:
    return home / "run" / "supervisord.conf"


def _configuration(services: Iterable[Service]) -> str:
    parser = configparser.RawConfigParser()
    parser["supervisord"] = {
        "logfile": "logs/supervisor.log",
        "logfile_maxbytes": "1MB",
        "logfile_backups": "1",
        "pidfile": "run/supervisord.pid",
        "umask": "077",
        "user": str(os.getuid()),
    }
    parser["unix_http_server"] = {"file": "%(ENV_LOOPLINE_RUN)s/supervisor.sock", "chmod": "0700"}
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for service in services:
        parser[f"program:{service.name}"] = _program(service)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _program(service: Service) -> dict[str, str]:
    environment = {**service.environment, "LOOPLINE_SUPERVISED": service.name}
    return {
        "command": service.command,
        "environment": ",".join(f'{name}="{value}"' for name, value in environment.items()),
        "autorestart": "true",
        "stopasgroup": "true",
        "killasgroup": "true",
        "stopwaitsecs": str(SERVICE_STOP_SECONDS),
        "redirect_stderr": "true",
        "stdout_logfile": f"logs/{service.name}.log",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "1",
    }


@contextmanager
def _short_path(home: Path) -> Iterator[Path]:
    """Lead to the folder of the socket through a link: the path of a unix socket may have some 100 characters only."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "run"
        link.symlink_to(home / "run")
        yield link


@contextmanager
def _supervisor(home: Path) -> Iterator[Any]:
    url = "unix://{}/supervisor.sock"
    with _short_path(home) as run, closing(SupervisorTransport(serverurl=url.format(run))) as transport:
        yield xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _listens(process: Process, service: Service) -> bool:
    try:
        connections = psutil.Process(process.pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    port = urlsplit(service.url).port
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def _answers(service: Service) -> bool:
    where = urlsplit(service.url)
    with closing(http.client.HTTPConnection(where.netloc, timeout=5)) as connection:
        try:
            connection.request("GET", service.health)
            return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False


def _last_words(home: Path, service: Service) -> str:
    log = home / "logs" / f"{service.name}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"the last lines of {log}:", *lines[-LOG_LINES:]])


def _signal(home: Path, number: signal.Signals, *, seconds: float, only: str | None = None) -> None:
    targets = _ours(home, only=only)
    for process in targets:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    deadline = time.monotonic() + seconds
    while targets and _ours(home) and time.monotonic() < deadline:
        time.sleep(0.1)


def _ours(home: Path, *, only: str | None = None) -> set[psutil.Process]:
    """Find the processes of this home folder, with their descendants; `only` names one service."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter(["environ"]):
        environment = process.info["environ"] or {}
        service = environment.get("LOOPLINE_SUPERVISED")
        if environment.get("LOOPLINE_HOME") == str(home) and service and only in (None, service):
            found.add(process)
            with suppress(psutil.Error):
                found.update(process.children(recursive=True) if only is None else [])
    return found - {psutil.Process()}
