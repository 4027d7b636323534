"""What the tests of the laptop ask of its processes and its command line."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loopline.settings import PrefectSettings, Settings

LOOPLINE = Path(sys.executable).parent / "loopline"
ELSEWHERE = PrefectSettings(api_url="http://prefect.example.com/api")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which the command line has these settings of the laptop."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("LOOPLINE_")}
    laptop = {f"LOOPLINE_LAPTOP__{name.upper()}": str(value) for name, value in settings.laptop if value is not None}
    return {
        **others,
        **laptop,
        "LOOPLINE_HOME": str(settings.home),
        "LOOPLINE_PREFECT__API_URL": settings.prefect.api_url,
    }


def supervised_processes(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield each process of a home's services, with the service's name."""
    for process in psutil.process_iter(["environ"]):
        variables = process.info["environ"] or {}
        if variables.get("LOOPLINE_HOME") == str(home) and "LOOPLINE_SUPERVISED" in variables:
            yield variables["LOOPLINE_SUPERVISED"], process


def processes_of(home: Path) -> dict[str, psutil.Process]:
    return dict(supervised_processes(home))


def running(home: Path, *words: str) -> list[psutil.Process]:
    """The processes of this home whose command holds all these words."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        places = (environment.get("LOOPLINE_HOME", ""), environment.get("PREFECT_HOME", ""))
        if any(place.startswith(str(home)) for place in places) and set(words) <= set(command):
            found.append(process)
    return found


def listening_addresses(home: Path) -> list[str]:
    """Return each address on which a service listens, of whatever port; datagram sockets count too."""
    supervisor = processes_of(home)["supervisor"]
    return [
        connection.laddr.ip
        for process in [supervisor, *supervisor.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN or not connection.raddr
    ]


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
