"""One run on two processes learns what it learns on one, and only the flow's side of it writes and decides."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from safetensors.torch import load_file
from test_learning import PROBLEM, SAMPLES, WEIGHTS, stripes
from torch.testing import assert_close

from loopline.clients.store import Store
from loopline.contracts import Artifact, DatasetVersion, LabeledDataset, RawDataset
from loopline.dataset import SCHEMA
from loopline.errors import DataError
from loopline.learning import Epoch, Fit, fit
from loopline.manifest import write_manifest
from loopline.problems import Sample
from loopline.settings import StoreSettings, TrainSettings
from loopline.shards import SHARD_SCHEMA
from tasks.ranks import fit_in_ranks

TWO = TrainSettings(accelerator="cpu", devices=2, threads=1)
ONE = TWO.model_copy(update={"devices": 1})
VAL = [*SAMPLES[:6], stripes("2", 30)]  # seven lines: the ranks' shares differ
SIZES = {"channels": 8, "hidden": 32, "layers": 1, "batch_size": 4, "epochs": 3}
VALUES = SIZES | {"dropout": 0.0, "augment": 0.0, "wear": 0.0}  # each process draws chance of its own


class StoppedError(Exception):
    """What a flow raises in mid-run."""


@pytest.fixture(scope="module")
def store(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that other processes find through their environment."""
    assert s3_server.secret_key
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOOPLINE_HOME", str(tmp_path_factory.mktemp("home")))
        environment.setenv("LOOPLINE_STORE__ENDPOINT", s3_server.endpoint)
        environment.setenv("LOOPLINE_STORE__ACCESS_KEY", str(s3_server.access_key))
        environment.setenv("LOOPLINE_STORE__SECRET_KEY", s3_server.secret_key.get_secret_value())
        opened = Store(s3_server)
        opened.ensure_bucket()
        yield opened


@dataclass
class Together:
    """A run on two processes that the flow ended in its second epoch and began again."""

    folder: Path
    learnt: Fit
    epochs: list[int]


@pytest.fixture(scope="module")
def together(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Together:
    folder, epochs = tmp_path_factory.mktemp("two"), []
    what = common(folder) | {"dataset": put(store, SAMPLES, VAL), "machine": TWO}
    what["logger"] = CSVLogger(folder / "log", name="", version="")

    def stop(epoch: Epoch) -> None:
        epochs.append(epoch.number)
        if epoch.number == 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit_in_ranks(PROBLEM, **what, on_epoch=stop)
    learnt = fit_in_ranks(PROBLEM, **what, on_epoch=lambda epoch: epochs.append(epoch.number))
    return Together(folder, learnt, epochs)


def png(sample: Sample) -> bytes:
    target = io.BytesIO()
    Image.fromarray(sample.pixels()).save(target, "PNG")
    return target.getvalue()


def put(store: Store, train: list[Sample], val: list[Sample]) -> DatasetVersion:
    """Store lines as a version of a dataset has them."""
    lines = [(split, sample) for split, samples in {"train": train, "val": val}.items() for sample in samples]
    shard = write_manifest(
        store,
        pa.Table.from_pylist(
            [
                {"image_sha256": s.image_sha256, "width_px": s.width_px, "height_px": s.height_px, "png": png(s)}
                for _, s in lines
            ],
            schema=SHARD_SCHEMA,
        ),
    )
    rows = [
        {"image_sha256": s.image_sha256, "key": s.key, "label": s.label, "split": split}
        | {"shard": shard.sha256, "position": position}
        for position, (split, s) in enumerate(lines)
    ]
    manifest = write_manifest(store, pa.Table.from_pylist(rows, schema=SCHEMA))
    return version(manifest, shard)


def version(manifest: Artifact, shard: Artifact) -> DatasetVersion:
    raw = RawDataset(problem="handwriting", manifest=manifest, image_count=1, quarantined_count=0, source="")
    labeled = LabeledDataset(problem="handwriting", manifest=manifest, label_count=1, rejected_count=0, raw=raw)
    return DatasetVersion(
        problem="handwriting",
        manifest=manifest,
        shards=(shard,),
        split_sizes={},
        vocabulary=tuple("0123"),
        name="",
        git_revision="",
        labeled=labeled,
    )


def common(folder: Path) -> dict[str, Any]:
    return {
        "recipe": PROBLEM.make_recipe(VALUES),
        "seed": 3,
        "checkpoint": folder / "last.ckpt",
        "weights": folder / WEIGHTS,
    }


def test_two_processes_learn_what_one_learns(together: Together, tmp_path: Path) -> None:
    alone = fit(PROBLEM, **common(tmp_path), vocabulary="0123", train=SAMPLES, val=VAL, machine=ONE)
    for ours, theirs in zip(together.learnt.curve, alone.curve, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
        assert ours["val_cer"] == theirs["val_cer"]
    one, two = (load_file(folder / WEIGHTS) for folder in (tmp_path, together.folder))
    assert_close(two, one, rtol=1e-3, atol=1e-4)


def test_a_run_that_the_flow_ended_goes_on_where_it_was(together: Together) -> None:
    assert together.epochs == [0, 1, 2]
    assert together.learnt.epochs == 3
    assert together.learnt.device.startswith("2 x cpu")


def test_metrics_of_all_processes_arrive_once(together: Together) -> None:
    with (together.folder / "log" / "metrics.csv").open() as file:
        logged = [row for row in csv.DictReader(file) if row["val_cer"]]
    assert [row["epoch"] for row in logged] == ["0", "1", "2"]
    assert float(logged[-1]["val_cer"]) == pytest.approx(together.learnt.curve[-1]["val_cer"])


def test_what_a_process_foresaw_arrives_as_its_own_error(store: Store, tmp_path: Path) -> None:
    unspellable = [replace(SAMPLES[0], label="0" * 40)]
    with pytest.raises(DataError, match="0 training and 7 validation lines can be used"):
        fit_in_ranks(PROBLEM, **common(tmp_path), dataset=put(store, unspellable, VAL), machine=ONE)
