"""The client asks the real service: typed answers, patience with what passes by itself, one sentence for the rest."""

import asyncio
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bentos
import pytest
from bentos import KEYS, Served
from faults import FaultyServer, faulty
from PIL import Image
from test_service_pictures import PNG

from loopline.answers import Reading, Refusal
from loopline.client import AsyncClient, Client
from loopline.errors import AccessError, ConfigError, DataError, LooplineError, UnreachableError

KEY = KEYS[3]
README = (Path(__file__).parents[2] / "README.md").read_text()
LOOPLINE = Path(sys.executable).parent / "loopline"


@pytest.fixture(scope="module")
def keeping(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that keeps what it answers, in a spool whose store never answers."""
    folder = tmp_path_factory.mktemp("keeping")
    settings = {
        "LOOPLINE_SERVICE__CAPTURE": "true",
        "LOOPLINE_SERVICE__SPOOL": str(folder / "spool"),
        "LOOPLINE_STORE__ENDPOINT": "http://127.0.0.1:9",
        "LOOPLINE_STORE__ACCESS_KEY": "a",
        "LOOPLINE_STORE__SECRET_KEY": "b",
    }
    with bentos.serving(bento, folder, workers=1, **bentos.KEYED, **settings) as served:
        yield served


@pytest.fixture
def client(keeping: Served) -> Iterator[Client]:
    with Client(keeping.url, KEY) as client:
        yield client


@pytest.fixture
def shaky(keeping: Served) -> Iterator[FaultyServer]:
    with faulty(keeping.url) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures at two depths, labels beside them, and two files that are no pictures."""
    for number in range(20):
        path = tmp_path / ("one" if number % 2 else "two") / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "labels.json").write_text("{}")
    (tmp_path / "one" / "broken.png").write_bytes(PNG[:200])
    (tmp_path / "one" / "notes.txt").write_text("no picture")
    return tmp_path


def test_every_call_has_a_typed_answer(client: Client) -> None:
    reading = client.read(PNG)
    assert reading.characters and reading.model == client.model().model
    first, second = client.read_batch([PNG, b"no picture"])
    assert isinstance(first, Reading) and isinstance(second, Refusal)
    assert client.correct(reading.prediction_id, "42", "a note").prediction_id == reading.prediction_id
    client.forget(reading.prediction_id)
    with pytest.raises(DataError, match="says 404: no such prediction of yours"):
        client.correct(reading.prediction_id, "42")


def test_it_can_be_awaited(keeping: Served) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(keeping.url, KEY) as client:
            readings = await asyncio.gather(*(client.read(PNG) for _ in range(4)))
            (batched,) = await client.read_batch([PNG])
            await client.correct(readings[0].prediction_id, "42")
            await client.forget(readings[0].prediction_id)
            assert (await client.model()).model == readings[0].model and isinstance(batched, Reading)
            return [one.text for one in (*readings, batched)]

    assert len(set(asyncio.run(ask()))) == 1


def test_nothing_is_kept_of_what_a_client_without_consent_asks(keeping: Served) -> None:
    with Client(keeping.url, KEY, capture=False) as client:
        reading = client.read(PNG)
        with pytest.raises(DataError, match="was not to be kept"):
            client.correct(reading.prediction_id, "42")


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "", "status": 503, "headers": {"Retry-After": "1"}}, {"kind": "", "status": 502}, {"kind": "lost"}],
    ids=["no time", "bad gateway", "lost answer"],
)
def test_what_passes_by_itself_is_asked_again(shaky: FaultyServer, wrong: dict[str, object]) -> None:
    with Client(shaky.url, KEY) as client:
        shaky.will("POST", "/read", times=2, **wrong)  # type: ignore[arg-type]
        assert client.read(PNG).text
        shaky.will("DELETE", "/predictions", **wrong)  # type: ignore[arg-type]
        client.forget(client.read(PNG).prediction_id)
    assert shaky.seen == ["POST /read"] * 4 + [shaky.seen[-1]] * 2


@pytest.mark.parametrize(("status", "kind"), [(503, UnreachableError), (429, UnreachableError), (418, DataError)])
def test_what_does_not_pass_is_told(shaky: FaultyServer, status: int, kind: type[LooplineError]) -> None:
    with Client(shaky.url, KEY, retries=1) as client:
        shaky.will("POST", "/read", "", times=9, status=status)
        with pytest.raises(kind, match=f"says {status}: it answered '{{}}'"):
            client.read(PNG)
    assert len(shaky.seen) == (1 if status == 418 else 2)


def test_a_wrong_key_or_address_is_one_sentence_without_the_key(keeping: Served, shaky: FaultyServer) -> None:
    with Client(keeping.url, "not-the-key") as client, pytest.raises(AccessError, match="says 401: send your") as wrong:
        client.model()
    assert "not-the-key" not in str(wrong.value)
    with pytest.raises(ConfigError, match="what no key holds") as odd:
        Client(keeping.url, "not the\nkey")
    assert "not the" not in str(odd.value)
    for url in ("http://127.0.0.1:9", "127.0.0.1:3000", "http://[nowhere"):
        with pytest.raises(UnreachableError, match=r"can't be reached .*; is the service up\?"):
            Client(url, retries=0).model()
    shaky.will("GET", "/model", "garbled")
    with Client(shaky.url, KEY) as client, pytest.raises(DataError, match="something else than Model"):
        client.model()


def test_a_folder_is_read_in_order_and_what_is_no_picture_is_named(client: Client, folder: Path) -> None:
    found = list(client.read_files([folder / "two" / "00.png", folder]))
    paths = [str(path.relative_to(folder)) for path, _ in found]
    assert paths == ["two/00.png", *sorted(paths[1:])] and len(paths) == 23
    errors = {path.name: one.error for path, one in found if isinstance(one, Refusal)}
    assert errors.keys() == {"broken.png", "notes.txt"}
    assert errors["notes.txt"] == "not a PNG, JPEG, WEBP or TIFF image"


def test_a_picture_that_is_too_large_spoils_no_other(keeping: Served, tmp_path: Path) -> None:
    noise = Image.effect_noise((5000, 5000), 100)
    noise.save(tmp_path / "large.png", compress_level=0)
    (tmp_path / "small.png").write_bytes(PNG)
    with Client(keeping.url, KEY) as client:
        found = {path.name: one for path, one in client.read_files([tmp_path])}
    assert isinstance(found["small.png"], Reading)
    assert (
        isinstance(found["large.png"], Refusal)
        and "says 413: a request here may have 16 MB" in found["large.png"].error
    )


def read(keeping: Served, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `loopline read` with a service's key in the environment."""
    return subprocess.run(
        [LOOPLINE, "read", "--url", keeping.url, *map(str, arguments)],
        env={"LOOPLINE_CLIENT__KEY": KEY, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_writes_tables_and_lines(keeping: Served, folder: Path, tmp_path: Path) -> None:
    table, lines = tmp_path / "lines.csv", tmp_path / ".lines.jsonl"
    done = read(keeping, folder, "--out", table)
    assert done.returncode == 1 and done.stdout == ""
    assert [line.partition("  ")[0].rpartition("/")[2] for line in done.stderr.splitlines()] == [
        "broken.png",
        "notes.txt",
    ]
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert len(rows) == 22 and list(rows[0]) == ["image", "text", "confidence", "unsure", "prediction_id", "error"]
    assert read(keeping, folder / "two", "--out", lines).returncode == 0
    assert [json.loads(line)["text"] for line in lines.read_text().splitlines()] == [rows[-1]["text"]] * 10
    wrong = read(keeping, folder, "--out", tmp_path / "lines.xls")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (
        2,
        1,
    ) and "ends neither in .csv nor in .jsonl" in wrong.stderr
    assert not (tmp_path / "lines.xls").exists()
    gone = read(keeping, folder / "nowhere")
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1) and "nowhere is not there" in gone.stderr


def test_the_lines_of_the_readme_work(keeping: Served, tmp_path: Path) -> None:
    (block,) = [part for part in README.split("```") if "from loopline.client import" in part]
    code = block.removeprefix("python\n")
    assert sum(bool(line.strip()) for line in code.splitlines()) == 8
    samples = tmp_path / ".loopline" / "samples" / "images"
    samples.mkdir(parents=True)
    (samples / "02000.png").write_bytes(PNG)
    done = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:3000", keeping.url)],
        cwd=tmp_path,
        env={"KEY": KEY},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "02000.png" in done.stdout
