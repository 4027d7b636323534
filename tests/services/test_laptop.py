"""The laptop on real processes: one home with everything, and homes with the store alone, in a very deep folder."""

import http.client
import json
import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from laptop_processes import (
    ELSEWHERE,
    LOOPLINE,
    environment,
    free_port,
    listening_addresses,
    port_of,
    processes_of,
)
from pydantic import SecretStr

from loopline import local
from loopline.clients.store import Store
from loopline.errors import ConfigError, FinalError
from loopline.laptop_addresses import LaptopAddresses
from loopline.settings import LaptopSettings, Settings


def wait_for_another(settings: Settings, pid: int) -> local.ServiceStatus:
    """Wait until the store runs as another process than `pid`."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        store = local.status(settings)[0]
        if store.state == "running" and store.pid != pid:
            return store
        time.sleep(0.1)
    raise AssertionError(f"the store did not come back: {store}")


@pytest.fixture(scope="module")
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, taken_port: int) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("laptop") / "a home, 100% odd"
    settings = Settings(home=home, laptop=LaptopSettings(store_port=taken_port, prefect_port=free_port()))
    yield settings
    local.down(settings)


@pytest.fixture(scope="module")
def two_ups(settings: Settings) -> list[str]:
    """Say what two `loopline up` of the same moment printed."""
    commands = [
        subprocess.Popen([LOOPLINE, "up"], env=environment(settings), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [command.communicate()[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0]
    return outputs


@pytest.fixture(scope="module")
def laptop(two_ups: list[str], settings: Settings) -> Settings:
    return settings


@pytest.fixture
def store_alone(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(home=tmp_path / ("deep" * 15) / ("deep" * 15), prefect=ELSEWHERE)
    yield settings
    local.down(settings)


def test_two_ups_at_once_start_one_set_and_say_the_same(two_ups: list[str], settings: Settings) -> None:
    addresses = LaptopAddresses.read(settings.folder)

    assert two_ups[0] == two_ups[1]
    assert addresses.store_url in two_ups[0]
    assert addresses.prefect_url.removesuffix("/api") in two_ups[0]
    assert set(processes_of(settings.folder)) == {"supervisor", "store", "prefect"}


def test_second_up_starts_nothing(laptop: Settings) -> None:
    before = processes_of(laptop.folder)

    again = local.up(laptop)

    assert processes_of(laptop.folder) == before
    assert [(one.name, one.state, one.pid) for one in again] == [
        ("store", "running", before["store"].pid),
        ("prefect", "running", before["prefect"].pid),
    ]


def test_asked_port_is_used_and_a_taken_one_replaced(laptop: Settings, taken_port: int) -> None:
    addresses = LaptopAddresses.read(laptop.folder)

    assert port_of(addresses.prefect_url) == laptop.laptop.prefect_port
    assert port_of(addresses.store_url) != taken_port


def test_prefect_answers_with_its_page_and_its_api(laptop: Settings) -> None:
    url = urlsplit(LaptopAddresses.read(laptop.folder).prefect_url)
    answers = {}
    for path in ("/api/health", "/", "/ui-settings"):
        connection = http.client.HTTPConnection(url.netloc, timeout=30)
        connection.request("GET", path)
        answers[path] = connection.getresponse().read().decode()
        connection.close()

    assert answers["/api/health"] == "true"
    assert "<html" in answers["/"]
    assert json.loads(answers["/ui-settings"])["api_url"] == url.geturl()


def test_bucket_is_there_after_up(laptop: Settings) -> None:
    assert (laptop.folder / "store" / laptop.store.bucket).is_dir()
    Store(laptop.resolved_store()).ensure_bucket()


def test_nothing_listens_beyond_loopback(laptop: Settings) -> None:
    assert listening_addresses(laptop.folder) == ["127.0.0.1", "127.0.0.1"]


def test_addresses_and_data_are_the_owners_alone(laptop: Settings) -> None:
    home = laptop.folder
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [home, *home.iterdir()]}

    assert modes.pop("addresses.json") == 0o600
    assert set(modes.values()) == {0o700}


def test_keys_stand_in_no_command_line_and_no_log(laptop: Settings) -> None:
    secret = LaptopAddresses.read(laptop.folder).store_secret_key.get_secret_value()
    arguments = [" ".join(process.cmdline()) for process in processes_of(laptop.folder).values()]
    logs = [path.read_text() for path in local.log_files(laptop)]

    assert len(arguments) == len(logs) == 3
    assert not [text for text in [*arguments, *logs] if secret in text]


def test_killed_store_comes_back_by_itself(laptop: Settings) -> None:
    killed = processes_of(laptop.folder)["store"]

    killed.kill()

    store = wait_for_another(laptop, killed.pid)
    assert store.state == "running"
    Store(laptop.resolved_store()).ensure_bucket()


def test_service_elsewhere_is_not_started(store_alone: Settings) -> None:
    store, prefect = local.up(store_alone)

    assert set(processes_of(store_alone.folder)) == {"supervisor", "store"}
    assert (store.state, prefect.state) == ("running", "elsewhere")
    assert prefect.address == ELSEWHERE.api_url
    assert local.prefect_environment(store_alone)["PREFECT_API_URL"] == ELSEWHERE.api_url


def test_ports_and_keys_outlive_down_unless_the_port_was_taken(store_alone: Settings) -> None:
    local.up(store_alone)
    first = LaptopAddresses.read(store_alone.folder)
    local.down(store_alone)
    local.up(store_alone)
    second = LaptopAddresses.read(store_alone.folder)
    local.down(store_alone)
    with socket.create_server(("127.0.0.1", port_of(first.store_url))):
        local.up(store_alone)
    third = LaptopAddresses.read(store_alone.folder)

    assert second == first
    assert third.store_url != first.store_url
    assert third.store_secret_key == first.store_secret_key


def test_down_leaves_nothing_even_after_supervisord_was_killed(store_alone: Settings) -> None:
    local.up(store_alone)
    ours = processes_of(store_alone.folder)
    stranger = subprocess.Popen(["sleep", "60"], env={"LOOPLINE_HOME": str(store_alone.folder)})
    try:
        ours["supervisor"].kill()

        ended = local.down(store_alone)

        assert ended >= 1
        assert not processes_of(store_alone.folder)
        assert stranger.poll() is None
        assert local.down(store_alone) == 0
    finally:
        stranger.kill()
        stranger.wait()


def test_up_replaces_what_a_killed_supervisord_left(store_alone: Settings) -> None:
    local.up(store_alone)
    ours = processes_of(store_alone.folder)
    ours["supervisor"].kill()

    again = local.up(store_alone)

    assert again[0].state == "running"
    assert again[0].pid != ours["store"].pid
    assert not ours["store"].is_running() or ours["store"].status() == psutil.STATUS_ZOMBIE


def test_service_that_dies_at_start_says_why_and_leaves_nothing(store_alone: Settings) -> None:
    store_alone.folder.mkdir(parents=True)
    LaptopAddresses.path(store_alone.folder).write_text(
        LaptopAddresses(
            store_url="http://127.0.0.1:4300",
            store_access_key="no,commas",
            store_secret_key=SecretStr("secret"),
            prefect_url=ELSEWHERE.api_url,
        ).model_dump_json()
    )

    with pytest.raises(
        FinalError, match=r"store ended while it started; the last lines of .*:\n.*expecting a single comma"
    ):
        local.up(store_alone)

    assert not processes_of(store_alone.folder)


def test_status_and_logs_before_the_first_up(store_alone: Settings) -> None:
    assert [one.state for one in local.status(store_alone)] == ["stopped", "elsewhere"]
    with pytest.raises(ConfigError, match="nothing was ever started"):
        local.log_files(store_alone)


def test_logs_of_an_unknown_service_name_the_known_ones(laptop: Settings) -> None:
    with pytest.raises(ConfigError, match="choose one of: prefect, store, supervisor"):
        local.log_files(laptop, "stroe")


@pytest.mark.parametrize(
    ("variables", "arguments", "exit_code", "words"),
    [
        ({}, ["logs"], 2, "run `loopline up`"),
        ({"LOOPLINE_LAPTOP__STORE_PORT": "abc"}, ["status"], 2, "LOOPLINE_LAPTOP__STORE_PORT"),
    ],
)
def test_mistake_is_one_line_and_an_exit_code(
    tmp_path: Path, variables: dict[str, str], arguments: list[str], exit_code: int, words: str
) -> None:
    result = subprocess.run(
        [LOOPLINE, *arguments],
        cwd=tmp_path,
        env={**os.environ, "LOOPLINE_HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
    )

    assert result.returncode == exit_code
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
