"""What is handed to a spool comes to a real store: later, once, whole, whatever dies on the way."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asked import KEY, NOW, PACKAGE, ask, captured, correct, line, prediction_id
from faults import faulty

from loopline import captures, spool_folder, spool_traffic
from loopline.captures import Capture, Corrected, bare_png, place, tombstone
from loopline.clients.store import Store
from loopline.errors import ConfigError
from loopline.settings import StoreSettings
from loopline.spool import Spool
from loopline.traffic import TRAFFIC, Row, told_at, traffic_place

MOST_BYTES = 2**26
WORKER = Path(__file__).with_name("spool_worker.py")


@pytest.fixture
def settings(s3_server: StoreSettings) -> StoreSettings:
    settings = s3_server.model_copy(update={"bucket": f"spool-{uuid.uuid4().hex[:8]}"})
    Store(settings).ensure_bucket()
    return settings


@pytest.fixture
def store(settings: StoreSettings) -> Store:
    return Store(settings)


@contextmanager
def running(folder: Path, store: Store, most_bytes: int = MOST_BYTES) -> Iterator[Spool]:
    spool = Spool(folder, store, most_bytes, package_sha256=PACKAGE)
    spool.start()
    try:
        yield spool
    finally:
        spool.stop(30)


def nowhere(settings: StoreSettings) -> Store:
    return Store(settings.model_copy(update={"endpoint": "http://127.0.0.1:1"}))


def waiting(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / "captured").rglob("*") if path.is_file())


def until(holds: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to that within {seconds} s"
        time.sleep(0.02)


def start_worker(settings: StoreSettings, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that reads where the store is, with the key that JSON hides."""
    assert settings.secret_key
    document = settings.model_dump(mode="json") | {"secret_key": settings.secret_key.get_secret_value()}
    read, written = os.pipe()
    with os.fdopen(written, "w") as body:
        json.dump(document, body)
    pipes: dict[str, Any] = {"stdin": read, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, WORKER, *map(str, arguments)], **pipes)
    os.close(read)
    return process


def whole(store: Store) -> dict[str, Capture]:
    """The records in the store, after a look at whether each has the picture that it names."""
    found = captured(store)
    for name, record in found.items():
        png = store.read(place(name, captures.PICTURE))
        assert hashlib.sha256(png).hexdigest() == record.image_sha256
    return found


def correction(store: Store, name: str) -> Corrected:
    return Corrected.model_validate_json(store.read(place(name, captures.CORRECTION)))


def test_an_answer_and_its_corrections_come_to_the_store_and_leave_the_folder(tmp_path: Path, store: Store) -> None:
    with running(tmp_path, store) as spool:
        name = ask(spool, line("a"), text="47", confidence=0.25)
        assert name and correct(spool, name, "41") and correct(spool, name, "42")
    record = whole(store)[name]
    assert (record.text, record.confidence, record.package_sha256, record.at) == ("47", 0.25, PACKAGE, NOW)
    assert (record.key, record.width_px, record.height_px) == (KEY[:12], 160, 32)
    assert store.read(place(name, captures.PICTURE)) == bare_png(line("a"))
    assert correction(store, name) == Corrected(prediction_id=name, text="42", at=NOW)
    assert waiting(tmp_path) == []
    assert spool.figures._replace(waiting_count=0, waiting_bytes=0) == (0, 0, 3, 0, 5), "what was counted, too"


def test_a_store_that_is_down_costs_no_answer_and_gets_them_all_when_it_is_back(
    tmp_path: Path, store: Store, settings: StoreSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with faulty(str(settings.endpoint), keeps_host=True) as server:
        server.will("PUT", "", "down", status=503, times=10**6)
        with running(tmp_path, Store(settings.model_copy(update={"endpoint": server.url}))) as spool:
            names = [ask(spool, line(str(number))) for number in range(5)]
            until(lambda: len(waiting(tmp_path)) == 10 and any("wait for the store" in one for one in caplog.messages))
            server.faults.clear()
            until(lambda: waiting(tmp_path) == [])
    assert whole(store).keys() == set(names)
    told = [one for one in caplog.records if one.name == "loopline.spool"]
    assert [one.levelno for one in told] == [logging.WARNING], "one line a minute, however often it was tried"
    assert "answered 503" in told[0].message


def test_what_waited_at_the_end_is_delivered_by_the_next_start(
    tmp_path: Path, store: Store, settings: StoreSettings
) -> None:
    spool = Spool(tmp_path, nowhere(settings), MOST_BYTES, package_sha256=PACKAGE)
    spool.start()
    name = ask(spool, line("a"))
    until(lambda: len(waiting(tmp_path)) == 2)
    before = time.monotonic()
    spool.stop(0.5)
    assert time.monotonic() - before < 5, "a store that is down does not hold the end"
    with running(tmp_path, store):
        until(lambda: waiting(tmp_path) == [])
    assert whole(store).keys() == {name}


def test_killed_at_any_line_what_was_written_down_comes_to_the_store_and_is_whole(
    tmp_path: Path, store: Store, settings: StoreSettings
) -> None:
    family = start_worker(settings, tmp_path, 1, 11)
    said, told = family.communicate(timeout=300)
    assert int(told.splitlines()[-1]) > 10, told
    left = {Path(name).name.partition(".")[0] for name in waiting(tmp_path) if name.endswith(captures.RECORD)}
    with running(tmp_path, store):
        until(lambda: waiting(tmp_path) == [])
    taken = dict(line.split() for line in said.splitlines())
    assert whole(store).keys() >= left
    assert {name: correction(store, name).text for name in taken} == dict.fromkeys(taken, "correction 0")


def test_processes_that_share_a_folder_deliver_each_file_once(
    tmp_path: Path, store: Store, settings: StoreSettings
) -> None:
    with faulty(str(settings.endpoint), keeps_host=True) as server:
        through = settings.model_copy(update={"endpoint": server.url})
        workers = [start_worker(through, tmp_path, 20) for _ in range(2)]
        said = [worker.communicate(timeout=120)[0].splitlines() for worker in workers]
    names = {line.split()[0] for lines in said for line in lines}
    assert len(names) == 40 and whole(store).keys() == names
    of_answers = [one for one in server.seen if TRAFFIC not in str(one)]
    assert len(of_answers) == len(set(of_answers)) == 3 * 40


def test_a_full_folder_takes_no_more_and_counts_what_it_refused(
    tmp_path: Path, settings: StoreSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, nowhere(settings), 40_000) as spool:
        names = []
        for number in range(8):
            names.append(ask(spool, line(str(number))))
            until(lambda: spool.figures.kept_count + spool.figures.lost_count == len(names))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 40_000
        assert 0 < spool.figures.kept_count < 8
        assert spool.figures.lost_count == 8 - spool.figures.kept_count
        assert not correct(spool, prediction_id(), "no room")
        assert spool.forget(prediction_id()), "a wish to be forgotten always has room"
        spool.stop(0.1)


def test_pictures_that_wait_to_be_encoded_are_bounded_too(
    tmp_path: Path, settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(
        tmp_path, nowhere(settings), MOST_BYTES, package_sha256=PACKAGE
    )  # not started, so that nothing is encoded
    wide = line("wide", width_px=100_000)
    kept = [ask(spool, wide) is not None for _ in range(25)]
    assert kept == [True] * 20 + [False] * 5
    assert spool.figures.lost_count == 5


def test_what_is_forgotten_before_it_was_delivered_never_comes(
    tmp_path: Path, store: Store, settings: StoreSettings
) -> None:
    early = Spool(tmp_path, nowhere(settings), MOST_BYTES, package_sha256=PACKAGE)
    name = ask(early, line("handed over, not encoded"))
    assert name and early.forget(name)
    early.start()
    other = ask(early, line("written down"))
    until(lambda: len(waiting(tmp_path)) == 3)
    assert other and correct(early, other, "said") and early.forget(other)
    assert waiting(tmp_path) == sorted([tombstone(name), tombstone(other)])
    early.stop(0.1)
    with running(tmp_path, store):
        until(lambda: waiting(tmp_path) == [])
    assert sorted(entry.key for entry in store.list("captured/")) == sorted([tombstone(name), tombstone(other)])


def test_what_comes_late_to_a_tombstone_is_not_delivered(tmp_path: Path, store: Store) -> None:
    folder, name = spool_folder.SpoolFolder(tmp_path, MOST_BYTES), prediction_id()
    folder.bury(name)
    folder.add({place(name, captures.PICTURE): b"late", place(name, captures.RECORD): b"late"})
    with running(tmp_path, store):
        until(lambda: waiting(tmp_path) == [])
    assert [entry.key for entry in store.list("captured/")] == [tombstone(name)]


def test_a_correction_that_arrives_while_an_earlier_one_travels_stands(
    tmp_path: Path, store: Store, settings: StoreSettings
) -> None:
    name = prediction_id()
    with faulty(str(settings.endpoint), keeps_host=True) as server:
        through = Store(settings.model_copy(update={"endpoint": server.url}))
        with running(tmp_path, through) as spool:
            server.will("PUT", "correction", "slow", before=lambda: correct(spool, name, "second"))
            correct(spool, name, "first")
            until(lambda: spool.figures.delivered_count == 2)
    assert correction(store, name).text == "second"


def rows(store: Store) -> list[Row]:
    keys = [entry.key for entry in store.list(traffic_place(PACKAGE))]
    return [Row.model_validate_json(line) for key in keys for line in store.read(key).splitlines()]


def test_what_was_asked_answered_and_corrected_is_counted_without_words_or_pictures(
    tmp_path: Path, store: Store
) -> None:
    with running(tmp_path, store) as spool:
        name = ask(spool, line("a"), unsure=True, text="a name")
        assert name and correct(spool, name, "another name")
        spool.note_request(200, 0.25, at=NOW)
        spool.note_request(503, 1.5, at=NOW)
    found = {one.kind: one for one in rows(store)}
    assert sorted(one.status or 0 for one in rows(store) if one.kind == "request") == [200, 503]
    answer = found["answer"]
    assert (answer.prediction_id, answer.confidence, answer.unsure) == (name, 0.75, True)
    assert (answer.width_px, answer.height_px) == (160, 32)
    assert answer.ink is not None and 0.2 < answer.ink < 0.4, "noise between 128 and 255, and a stroke"
    assert found["correction"].prediction_id == name
    (key,) = [entry.key for entry in store.list(f"{TRAFFIC}/")]
    assert b"name" not in store.read(key)
    assert abs(time.time() - told_at(key).timestamp()) < 60


def test_what_a_dead_process_had_counted_is_delivered_by_another(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / spool_traffic.OPEN / f"{PACKAGE}.0123456789abcdef"
    left.parent.mkdir()
    left.write_text(Row(kind="request", at=NOW, status=200, seconds=0.1).model_dump_json() + "\n")
    os.utime(left, (0, 0))
    with running(tmp_path, store):
        until(lambda: rows(store) != [])
    assert [one.seconds for one in rows(store)] == [0.1]


def test_half_written_files_of_dead_processes_are_taken_away(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / spool_folder.PARTS / "left"
    part.parent.mkdir()
    part.write_bytes(b"half")
    monkeypatch.setattr(spool_folder, "PART_SECONDS", 0)
    with running(tmp_path, store):
        until(lambda: not part.exists())


def test_a_folder_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, store: Store) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="LOOPLINE_SERVICE__SPOOL"):
        Spool(tmp_path / "file" / "spool", store, MOST_BYTES, package_sha256=PACKAGE).start()
