"""A run's record is whole, is read back as it was written, and goes on where a killed run stopped."""

import hashlib
import math
import uuid
from pathlib import Path

import pytest
from lightning.pytorch.utilities import rank_zero_only
from tracked_runs import PARAMS, learn, note_epoch, points, tracked

from loopline.clients.store import Store
from loopline.errors import DataError
from loopline.learning import Epoch
from loopline.records import Record, Recorder, read_record
from loopline.runs import RunFolder
from loopline.settings import CometSettings, StoreSettings
from loopline.tracking import record_path

OFF = CometSettings()
RUN = "4e" * 32


@pytest.fixture
def store(s3_server: StoreSettings) -> Store:
    store = Store(s3_server.model_copy(update={"bucket": f"runs-{uuid.uuid4().hex[:8]}"}))
    store.ensure_bucket()
    return store


class KilledError(BaseException):
    """Ends a run as a signal would: nothing of the run's own code sees it."""


def train(run: RunFolder, *, kill_after: int | None = None) -> None:
    run.resume()
    with tracked(OFF, run.path, run=RUN, folder=run.path) as tracking:

        def on_epoch(epoch: Epoch) -> None:
            note_epoch(tracking, epoch)
            run.keep(epoch.number, improved=epoch.improved)
            if epoch.number == kill_after:
                raise KilledError

        learn(run.path, tracking, on_epoch=on_epoch)
    run.finish("")


def stored(store: Store, digest: str, tmp_path: Path) -> Record:
    return read_record(store.download(f"runs/{digest}/record-train.jsonl", tmp_path / f"{digest}.jsonl"))


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "record-train.jsonl")
    recorder.params({"lr": 0.1, "layers": 2, "head": "ctc", "flip": False})
    recorder.metrics({"loss": 0.5, "cer": math.nan}, step=3, epoch=1)
    recorder.file("image", "worst/001.png", data=b"png")
    recorder.file("asset", "../../report.html", data=b"page")
    recorder.fact("dataset", "dataset/handwriting/v3")
    record = read_record(recorder.path)
    assert record.params == {"lr": 0.1, "layers": 2, "head": "ctc", "flip": False}
    assert record.series("loss") == {3: 0.5}
    assert math.isnan(record.series("cer")[3])
    assert record.facts == {"dataset": "dataset/handwriting/v3"}
    assert {name: (tmp_path / file.path).read_bytes() for name, file in record.files.items()} == {
        "worst/001.png": b"png",
        "../../report.html": b"page",
    }
    assert {path.stem for path in (tmp_path / "files").iterdir()} == {
        hashlib.sha256(data).hexdigest() for data in (b"png", b"page")
    }


def test_a_step_is_recorded_once(tmp_path: Path) -> None:
    for _ in range(2):
        recorder = Recorder(tmp_path / "record-train.jsonl")
        recorder.params({"lr": 0.1})
        recorder.metrics({"loss": 0.5}, step=0)
        recorder.metrics({"loss": 0.4}, step=10)
        recorder.metrics({"loss": 0.3, "cer": 1.0})
    assert points(read_record(recorder.path)) == [
        ("cer", 10, None, 1.0),
        ("loss", 0, None, 0.5),
        ("loss", 10, None, 0.4),
    ]
    assert len(recorder.path.read_text().splitlines()) == 4


def test_a_line_cut_by_a_kill_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "record-train.jsonl"
    Recorder(path).fact("one", 1)
    with path.open("a") as record:
        record.write('{"what":"fact","name":"tw')
    assert read_record(path).facts == {"one": 1}
    Recorder(path).fact("three", 3)
    assert read_record(path).facts == {"one": 1, "three": 3}


def test_a_line_of_another_release_is_named(tmp_path: Path) -> None:
    path = tmp_path / "record-train.jsonl"
    Recorder(path).fact("one", 1)
    with path.open("a") as record:
        record.write('{"what":"thought","at":1}\n')
    with pytest.raises(DataError, match=r"line 2 of record-train\.jsonl is not as this release"):
        read_record(path)


def test_of_several_processes_only_the_first_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with tracked(OFF, tmp_path, run=RUN) as tracking:
        tracking.loggers[0].log_metrics({"loss": 1.0}, step=0)
        tracking.metrics({"loss": 1.0}, step=1)
        tracking.image("a.png", b"")
        tracking.fact("b", 2)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_runs_record_is_that_of_an_uninterrupted_one(store: Store, tmp_path: Path) -> None:
    train(RunFolder(store, "whole", runs=tmp_path / "here"))
    with pytest.raises(KilledError):
        train(RunFolder(store, "killed", runs=tmp_path / "here"), kill_after=2)
    later = b'{"what":"metrics","at":1,"values":{"val_cer":0.5},"step":7,"epoch":3}\n'  # of an epoch that was not kept
    store.write("runs/killed/record-train.jsonl", store.read("runs/killed/record-train.jsonl") + later)
    train(RunFolder(store, "killed", runs=tmp_path / "elsewhere"))
    whole, killed = (stored(store, digest, tmp_path) for digest in ("whole", "killed"))
    assert killed.params == whole.params == PARAMS
    assert points(killed) == points(whole)
    assert len(whole.series("train_loss")) == len(whole.series("val_cer")) == 6
    assert any(entry.key.startswith("runs/killed/tensorboard/events") for entry in store.list("runs/killed/"))


def test_an_epoch_keeps_only_what_is_new(store: Store, tmp_path: Path) -> None:
    run = RunFolder(store, "run", runs=tmp_path)
    run.resume()
    run.checkpoint.write_bytes(b"checkpoint")
    run.weights.write_bytes(b"weights")
    recorder = Recorder(record_path(run.path, "train"))
    recorder.file("image", "a.png", data=b"png")
    run.keep(0, improved=True)
    image = next(entry.key for entry in store.list("runs/run/files/"))
    store.delete(image)
    recorder.fact("more", 1)
    run.keep(1, improved=False)
    assert not store.exists(image)
    assert store.read("runs/run/record-train.jsonl") == recorder.path.read_bytes()
