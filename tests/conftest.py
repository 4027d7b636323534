"""Real servers for the tests: each listens on a free port of the loopback and keeps its data in a temporary folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import bentos
import psycopg
import pytest
from laptop_processes import ELSEWHERE, LOOPLINE, environment, free_port
from playwright.sync_api import Browser, sync_playwright
from pydantic import SecretStr

from loopline import local
from loopline.label_studio_venv import PINS
from loopline.settings import LaptopSettings, Settings, StoreSettings

ROOT = Path(__file__).parents[1]
CHROMIUM = Path("/usr/bin/chromium")
# What other programs read from the environment, Label Studio reads too.
OTHERS = {"CI": "true", "DEBUG": "1", "SECRET_KEY": "theirs", "LOG_LEVEL": "debug", "STORAGE_TYPE": "s3", "HOST": "h"}


# Slow to start, or of one port: the modules that use one of them are tested in one process.
SHARED = ("label_studio_venv", "elsewhere", "laptop", "bento", "system", "stack")
# What is made for minutes before it runs: a stand-in for AWS with all of infra/ on it, and other environments.
OUTSIDE = {"elsewhere", "cloud"}
# Groups of minutes, after all others: as long as their servers stand, they take from the rest. The longest goes first.
LONGEST = (
    "system", "laptop", "stack", "label_studio_venv", "elsewhere", "test_build_faults", "test_spot_loss", "bento",
    "test_watching", "test_tuning", "test_suspects", "test_export", "test_spool",
)  # fmt: skip
# The order in which these leave the system to each other.
SYSTEM = ("test_first_day", "test_release", "test_system_faults", "test_watch", "test_schedule")


def pytest_xdist_auto_num_workers() -> int:
    """Test in three processes or more: half of what a test does is waiting for servers, also where cores are few."""
    return max(3, os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what pytest-xdist should leave together: a module, and modules that share a server; the longest go last.

    Tests of what runs elsewhere are marked so: `make infra-test` runs them, and `make test` does not.
    """
    used: dict[Path, set[str]] = {}
    for item in items:
        used.setdefault(item.path, set()).update(getattr(item, "fixturenames", ()))
    groups = {path: next((name for name in SHARED if name in names), path.stem) for path, names in used.items()}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
        if OUTSIDE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.elsewhere)
    items.sort(key=lambda item: (place(groups[item.path], LONGEST), place(item.path.stem, SYSTEM)))


def place(name: str, names: tuple[str, ...]) -> int:
    """Return where a name stands; before all where it is none of them."""
    return names.index(name) if name in names else -1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", metavar="FOLDER", help="where to put pictures of pages; unset: nowhere that stays")


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"server on port {port} ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listened on port {port} within {seconds} s")


def wait_for_postgres(address: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until it lets someone in: it listens before it does."""
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, f"PostgreSQL ended with {process.returncode}"
        try:
            return psycopg.connect(address).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, f"PostgreSQL let nobody in within {seconds} s"
            time.sleep(0.1)


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real PostgreSQL server with one database; its address, with a password."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].is_file():
        pytest.skip("needs PostgreSQL's server (apt-get install postgresql); the README says where it runs")
    user = {"user": "postgres"} if os.getuid() == 0 else {}  # it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        data, words = Path(folder) / "data", Path(folder) / "password"
        words.write_text("s3cret-word")
        if user:
            shutil.chown(folder, "postgres")
            shutil.chown(words, "postgres")
        initdb = [found[-1], "-D", data, "-U", "loopline", "--auth=scram-sha-256", f"--pwfile={words}", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, **user)  # type: ignore[call-overload]
        port = free_port()
        options = ["-D", str(data), "-p", str(port), "-k", folder, "-c", "fsync=off", "-h", "127.0.0.1"]
        server = subprocess.Popen([found[-1].with_name("postgres"), *options], stderr=subprocess.DEVNULL, **user)
        try:
            address = f"postgresql://loopline:s3cret-word@127.0.0.1:{port}/postgres"
            wait_for_postgres(address, server)
            yield address
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for clients to leave
            server.wait(20)


@pytest.fixture(scope="module")  # longer, and its event loop would stand in the way of other tests' own
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} here; runs wherever Debian's chromium package is installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def label_studio_venv() -> Iterator[Path]:
    """An environment that has Label Studio: the one that the settings name, or a new one, which uv makes soon."""
    given = os.environ.get("LOOPLINE_LAPTOP__LABEL_STUDIO_VENV")
    if given:
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="labels, 100% odd ") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [ROOT / ".ci" / "uv", sys.prefix, "pip", "install", "--quiet", "--no-deps", "--python", folder]
        subprocess.run([*install, "--requirement", PINS], check=True)
        yield Path(folder)


@pytest.fixture(scope="session")
def label_studio(label_studio_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A laptop with a real Label Studio and the store, and no more. Its first start takes half a minute: all share it.

    It is as odd a one as a user may have: by its folder's name, and by what else stands in the environment.
    """
    laptop = LaptopSettings(store_port=free_port(), label_studio_port=free_port(), label_studio_venv=label_studio_venv)
    home = tmp_path_factory.mktemp("labels") / "a home, 100% odd"
    settings = Settings(home=home, laptop=laptop, prefect=ELSEWHERE)
    try:
        variables = environment(settings) | OTHERS
        up = subprocess.run([LOOPLINE, "up", "--labels"], env=variables, check=True, capture_output=True, text=True)
        assert f"label-studio  running   http://127.0.0.1:{laptop.label_studio_port}" in up.stdout
        yield settings
    finally:
        local.down(settings)


@pytest.fixture(scope="session")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a built Bento."""
    return bentos.build(bentos.archive(), tmp_path_factory.mktemp("bento"))


@pytest.fixture(scope="session")
def reader(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[bentos.Served]:
    """A service in two processes that knows bentos.KEYS, and gives small requests three seconds."""
    limits = {"LOOPLINE_SERVICE__MOST_MB": "2", "LOOPLINE_SERVICE__TIMEOUT_SECONDS": "3"}
    with bentos.serving(bento, tmp_path_factory.mktemp("reader"), **bentos.KEYED, **limits) as served:
        yield served
