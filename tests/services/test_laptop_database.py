"""The laptop's Label Studio on a real PostgreSQL server: started once, and its password kept to itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from laptop_processes import ELSEWHERE, free_port, processes_of
from projects import Bench, text_result
from pydantic import SecretStr

from loopline import local
from loopline.clients.store import Store
from loopline.errors import AccessError, ConfigError, LooplineError, UnreachableError
from loopline.label_studio_database import database_fingerprint
from loopline.settings import LaptopSettings, Settings, StoreSettings

WRONG = SecretStr("postgres.example.com/labels")
PASSWORD = "p@ss%20/wörd:1"


@pytest.fixture(scope="module")
def address(postgres: str) -> str:
    """A database and a user of its own; its address, with a password full of odd characters."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE USER annotators PASSWORD '{PASSWORD}'")
        connection.execute("CREATE DATABASE labels OWNER annotators")
    place = postgres.partition("@")[2].partition("/")[0]
    return f"postgresql://annotators:{quote(PASSWORD, safe='')}@{place}/labels"


def settings_of(home: Path, database: str, **laptop: Any) -> Settings:
    """Label Studio with this database, and everything else elsewhere."""
    chosen = LaptopSettings(label_studio_database=SecretStr(database), **laptop)
    return Settings(home=home, laptop=chosen, prefect=ELSEWHERE, store=StoreSettings(endpoint="https://s3.example.com"))


@pytest.fixture(scope="module")
def laptop(
    address: str, label_studio_venv: Path, s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    home, store = tmp_path_factory.mktemp("database"), s3_server.model_copy(update={"bucket": "database"})
    settings = settings_of(home, address, label_studio_venv=label_studio_venv, label_studio_port=free_port())
    settings = settings.model_copy(update={"store": store})
    Store(store).ensure_bucket()
    try:
        local.up(settings, labels=True)
        yield settings
    finally:
        local.down(settings)


def test_projects_are_kept_in_the_database_and_the_password_in_no_file_or_command(
    laptop: Settings, address: str
) -> None:
    bench = Bench(laptop)
    bench.offer("a", "b")
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT title FROM project").fetchall() == [(bench.title,)]
        assert connection.execute("SELECT count(*) FROM task").fetchall() == [(2,)]

    files = [path for path in laptop.folder.rglob("*") if path.is_file()]
    words = [path.read_bytes() for path in files]
    words += [" ".join(process.cmdline()).encode() for process in processes_of(laptop.folder).values()]
    secrets = [PASSWORD.encode(), quote(PASSWORD, safe="").encode()]
    assert len(files) > 3 and not [path for path in files if path.suffix == ".sqlite3"]
    assert not [secret for secret in secrets for word in words if secret in word]


def test_labels_go_round_by_way_of_the_database(laptop: Settings) -> None:
    bench = Bench(laptop)
    assert bench.offer("a", "b", "c").offered_count == 3
    number = bench.say("a", "one")
    bench.say("b", "two \u202e🙂")
    assert bench.told() == {"a": "one", "b": "two \u202e🙂"}
    bench.sdk.annotations.update(id=number, result=text_result("won"))
    assert bench.offer("c", "d").offered_count == 1
    assert bench.told()["a"] == "won"


def test_an_address_that_is_mistyped_later_ends_nothing(laptop: Settings) -> None:
    before = processes_of(laptop.folder)
    mistyped = laptop.model_copy(update={"laptop": laptop.laptop.model_copy(update={"label_studio_database": WRONG})})
    with pytest.raises(ConfigError):
        local.up(mistyped)
    assert processes_of(laptop.folder) == before


@pytest.mark.parametrize(
    "database",
    [
        "mysql://annotators:s3cret@127.0.0.1/labels",
        "postgresql://annotators:s3cret@127.0.0.1",
        "postgresql://annotators:s3cret@127.0.0.1/labels?sslmode=require",
        "postgresql://annotators:s3cr%t@127.0.0.1/labels",
        "s3cret",
    ],
)
def test_an_address_that_label_studio_can_not_use_is_refused(tmp_path: Path, database: str) -> None:
    refused = refusal(settings_of(tmp_path, database))
    assert isinstance(refused, ConfigError)
    assert "write postgresql://user:password@host:port/database and nothing more" in str(refused)
    assert "s3cr" not in str(refused)


def test_a_database_that_does_not_answer_or_refuses_us_is_told_and_starts_nothing(tmp_path: Path, address: str) -> None:
    silent = refusal(settings_of(tmp_path, "postgresql://annotators:s3cret@127.0.0.1:1/labels"))
    assert isinstance(silent, UnreachableError)
    assert "database 'labels' of 'annotators' at 127.0.0.1:1 can't be used: it does not answer; check" in str(silent)
    refused = refusal(settings_of(tmp_path, address.replace(quote(PASSWORD, safe=""), "s3cret")))
    assert isinstance(refused, AccessError)
    assert ': password authentication failed for user "annotators"; check LOOPLINE_LAPTOP__LABEL' in str(refused)
    missing = refusal(settings_of(tmp_path, address.replace("/labels", "/nowhere")))
    assert ': database "nowhere" does not exist; check LOOPLINE_LAPTOP__LABEL' in str(missing)
    assert not [secret for secret in ("s3cret", PASSWORD) if secret in f"{silent}{refused}{missing}"]


def refusal(settings: Settings) -> LooplineError:
    with pytest.raises(LooplineError) as caught:
        local.up(settings, labels=True)
    assert not processes_of(settings.folder)
    assert "\n" not in str(caught.value)
    return caught.value


def test_another_database_or_password_is_another_service_so_that_up_starts_it_anew() -> None:
    key = SecretStr("key")
    addresses = [None, *(SecretStr(f"postgresql://u:{word}@h/{name}") for word in "pq" for name in ("one", "two"))]
    assert len({database_fingerprint(address, key=key) for address in addresses}) == 5
