"""The Prefect server as its task is told to run, on a real PostgreSQL: addresses and folders alone are others."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from clouds import Stack, container_of
from laptop_processes import free_port

SIGNS_IN = "user:word"
SECONDS = 120  # to start, on a machine that is busy


@dataclass
class Told:
    """What the task's definition tells, for this machine."""

    container: dict[str, Any]
    environment: dict[str, str]

    def run(self, command: list[str], **changed: str) -> subprocess.Popen[bytes]:
        """Start a command of the container."""
        program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or command[0]
        return subprocess.Popen([program, *command[1:]], env=self.environment | changed)


@pytest.fixture(scope="module")
def told(stack: Stack, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    container, place = container_of(stack, "loopline-server"), tmp_path_factory.mktemp("server")
    database = urlsplit(postgres)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE prefect")  # others keep theirs in the one that is there
    named = {variable["name"]: variable["value"] for variable in container["environment"]}
    ours = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "PREFECT_HOME": str(place / "data"),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(place / "ui"),
        "PREFECT_SERVER_DATABASE_HOST": str(database.hostname),
        "PREFECT_SERVER_DATABASE_PORT": str(database.port),
        "PREFECT_SERVER_DATABASE_NAME": "prefect",
    }
    assert ours.keys() - {"PATH"} <= named.keys()
    secrets = {
        "PREFECT_SERVER_API_AUTH_STRING": SIGNS_IN,
        "PREFECT_SERVER_DATABASE_PASSWORD": str(database.password),
    }
    assert {secret["name"] for secret in container["secrets"]} == secrets.keys()
    return Told(container, named | ours | secrets)


@pytest.fixture(scope="module")
def server(told: Told) -> Iterator[str]:
    port = str(free_port())
    (mapping,) = told.container["portMappings"]
    command = [port if word == str(mapping["containerPort"]) else word for word in told.container["command"]]
    running = told.run(command)
    try:
        yield until_ready(f"http://127.0.0.1:{port}")
    finally:
        running.terminate()
        running.wait(30)


def until_ready(url: str) -> str:
    """Wait for a server whose database answers."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/api/ready", trust_env=False).is_success:
                return url
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"{url} was not ready within {SECONDS} s")


def test_it_is_healthy_to_the_balancer_and_open_to_those_who_sign_in_alone(server: str) -> None:
    with httpx.Client(base_url=server, trust_env=False) as anyone:
        assert anyone.get("/api/health").status_code == httpx.codes.OK
        assert anyone.get("/api/version").status_code == httpx.codes.UNAUTHORIZED
        assert anyone.get("/api/version", auth=tuple(SIGNS_IN.split(":"))).status_code == httpx.codes.OK  # type: ignore[arg-type]
        assert anyone.get("/ui-settings").json()["api_url"] == "https://prefect.example.com/api"


def test_it_is_replaced_once_its_password_is_no_longer_right(told: Told) -> None:
    kind, *command = told.container["healthCheck"]["command"]
    assert kind == "CMD"
    assert told.run(command).wait(30) == 0
    assert told.run(command, PREFECT_SERVER_DATABASE_PASSWORD="of last week").wait(30) != 0
