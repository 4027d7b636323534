"""Real servers for the tests: each listens on a free port of the loopback and keeps its data in a temporary folder."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from loopline.settings import StoreSettings


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"server on port {port} ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listened on port {port} within {seconds} s")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreSettings]:
    """A real S3 server (rclone) over HTTP; its one data folder holds a folder per bucket."""
    data = tmp_path_factory.mktemp("s3")
    port = free_port()
    rclone = Path(sys.executable).parent / "rclone"
    process = subprocess.Popen(
        [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "1s", str(data)],
        env={**os.environ, "RCLONE_AUTH_KEY": '"testkey,testsecret"', "RCLONE_CONFIG": "/dev/null"},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield StoreSettings(
            endpoint=f"http://127.0.0.1:{port}", access_key="testkey", secret_key=SecretStr("testsecret")
        )
    finally:
        process.terminate()
        process.wait(10)
