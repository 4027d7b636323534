"""Learning is repeatable and resumable, bit for bit, on a CPU."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from loopline.errors import ConfigError, DataError
from loopline.learning import Epoch, Fit, fit, load_system
from loopline.problems import Pixels, Sample, load_problem
from loopline.serving import Predictor, system_run
from loopline.settings import TrainSettings

PROBLEM = load_problem("handwriting")
WEIGHTS = "best.safetensors"
MACHINE = TrainSettings(accelerator="cpu", threads=1)


class KilledError(BaseException):
    """Ends a run as a signal would: nothing of the run's own code sees it."""


def stripes(label: str, seed: int) -> Sample:
    """A line on which each digit is a column of bars at a height of its own."""
    pixels = np.full((32, 24 * len(label)), 230, dtype=np.uint8)
    for place, digit in enumerate(label):
        top = 2 + 7 * int(digit)
        pixels[top : top + 6, 24 * place + 5 : 24 * place + 18] = 20 + seed
    return Sample(f"{seed:064d}", lambda: pixels, label, pixels.shape[1], 32, key=str(seed))


SAMPLES = [stripes(label, seed) for seed, label in enumerate(["0123", "321", "2130", "113", "0022", "31", "203", "12"])]


SIZES = {"channels": 8, "hidden": 32, "layers": 1, "batch_size": 4}
CALM = {"augment": 0.0, "wear": 0.0, "dropout": 0.0}


def learn(folder: Path, epochs: int = 4, **kwargs: object) -> Fit:
    folder.mkdir(exist_ok=True)
    common = {"recipe": PROBLEM.make_recipe(SIZES | {"epochs": epochs} | kwargs.pop("values", {}))}
    common |= {"vocabulary": "0123", "train": SAMPLES, "val": SAMPLES, "seed": 3, "machine": MACHINE}
    common |= {"checkpoint": folder / "last.ckpt", "weights": folder / WEIGHTS}
    return fit(PROBLEM, **common | kwargs)  # type: ignore[arg-type]


def read(folder: Path) -> list[str]:
    """Read all lines with the kept weights."""
    recipe = PROBLEM.make_recipe(SIZES)
    system = load_system(PROBLEM, recipe, vocabulary="0123", weights=folder / WEIGHTS)
    predictor = Predictor(PROBLEM, recipe, vocabulary="0123", run=system_run(system))
    return [answer.text for answer in predictor.read([sample.pixels() for sample in SAMPLES])]


def stop(epoch: Epoch) -> None:
    if epoch.number == 1:
        raise KilledError


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path, ema: float) -> None:
    whole = learn(tmp_path / "whole", values={"ema": ema})
    with pytest.raises(KilledError):
        learn(tmp_path / "killed", values={"ema": ema}, on_epoch=stop)
    shutil.move(tmp_path / "killed", tmp_path / "elsewhere")
    resumed = learn(tmp_path / "elsewhere", values={"ema": ema})
    assert resumed.epochs == whole.epochs == 4
    assert (tmp_path / "elsewhere" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_processes_that_prepare_batches_change_nothing(tmp_path: Path) -> None:
    learn(tmp_path / "alone", epochs=2)
    learn(tmp_path / "served", epochs=2, machine=MACHINE.model_copy(update={"loader_workers": 1}))
    assert (tmp_path / "served" / WEIGHTS).read_bytes() == (tmp_path / "alone" / WEIGHTS).read_bytes()


@pytest.mark.parametrize("ema", [0.0, 0.95])
def test_the_kept_weights_are_those_that_were_validated(tmp_path: Path, ema: float) -> None:
    seen: list[float] = []

    def stop_part_way(epoch: Epoch) -> None:
        seen.append(epoch.metrics["val_cer"])
        if seen[-1] < 0.8:
            raise KilledError

    with pytest.raises(KilledError):
        learn(tmp_path, epochs=150, values=CALM | {"patience": 150, "ema": ema}, on_epoch=stop_part_way)
    counts = [PROBLEM.tally(s.label, text)["cer"] for s, text in zip(SAMPLES, read(tmp_path), strict=True)]
    assert seen[-1] == pytest.approx(sum(edits for edits, _ in counts) / sum(length for _, length in counts))


def test_eight_lines_are_learnt_by_heart(tmp_path: Path) -> None:
    learnt = learn(tmp_path / "run", epochs=150, values=CALM | {"patience": 150})
    assert learnt.val_metrics["val_cer"] == 0
    assert read(tmp_path / "run") == [sample.label for sample in SAMPLES]


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    learnt = learn(tmp_path / "run", epochs=30, values={"learning_rate": 1e-5, "patience": 2})
    assert learnt.epochs == 3


def test_metrics_reach_the_logger_with_step_and_epoch(tmp_path: Path) -> None:
    learnt = learn(tmp_path / "run", epochs=2, logger=CSVLogger(tmp_path / "log", name="", version=""))
    with (tmp_path / "log" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val_cer"]]
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "1"), ("1", "3")]
    assert float(rows[-1]["val_cer"]) == pytest.approx(learnt.curve[-1]["val_cer"])


def test_training_that_diverges_says_what_to_lower(tmp_path: Path) -> None:
    reckless = PROBLEM.make_recipe(SIZES).model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ConfigError, match="diverged in epoch 0; lower the recipe's learning_rate"):
        learn(tmp_path, recipe=reckless)


def test_a_batch_that_the_device_cannot_hold_says_what_to_lower(tmp_path: Path) -> None:
    def exhaust() -> Pixels:
        raise torch.OutOfMemoryError

    with pytest.raises(ConfigError, match="a batch of 4 lines does not fit into cpu, 1 threads; lower batch_size"):
        learn(tmp_path, train=[replace(sample, pixels=exhaust) for sample in SAMPLES])


def test_lines_that_no_frame_can_spell_leave_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 training and 8 validation lines can be used"):
        learn(tmp_path, train=[replace(sample, label="0" * 40) for sample in SAMPLES])


def test_a_recipe_out_of_bounds_is_named() -> None:
    with pytest.raises(ConfigError, match=r"learning_rate.*height_px|height_px.*learning_rate"):
        PROBLEM.make_recipe({"learning_rate": 5.0, "height_px": 3})
