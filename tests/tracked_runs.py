"""A small real training run, tracked and kept as the train step does it."""

from pathlib import Path
from typing import Any

import numpy as np

from loopline.learning import Epoch, fit
from loopline.problems import Sample, load_problem
from loopline.records import Record
from loopline.settings import CometSettings, TrainSettings
from loopline.tracking import Tracking, track

PARAMS = {"epochs": 6, "learning_rate": 0.01, "head": "ctc", "flip": False}


def line(label: str, seed: int) -> Sample:
    """A line on which each digit is a bar at a height of its own."""
    pixels = np.full((32, 24 * len(label)), 230, dtype=np.uint8)
    for place, digit in enumerate(label):
        pixels[2 + 7 * int(digit) :, 24 * place + 5 : 24 * place + 18][:6] = 20 + seed
    return Sample(f"{seed:064d}", lambda: pixels, label, pixels.shape[1], 32, key=str(seed))


LINES = [line(label, seed) for seed, label in enumerate(["0123", "321", "2130", "113", "0022", "31", "203", "12"])]


def learn(folder: Path, tracking: Tracking, **kwargs: Any) -> None:
    """Train six epochs of two batches."""
    problem = load_problem("handwriting")
    recipe = problem.make_recipe({"channels": 8, "hidden": 32, "layers": 1, "epochs": 6, "batch_size": 4})
    fit(
        problem,
        recipe,
        vocabulary="0123",
        train=LINES,
        val=LINES,
        seed=3,
        checkpoint=folder / "last.ckpt",
        weights=folder / "best.safetensors",
        machine=TrainSettings(accelerator="cpu", threads=1),
        logger=tracking.loggers,
        **kwargs,
    )


def note_epoch(tracking: Tracking, epoch: Epoch) -> None:
    """Record the epoch's own metrics before its files are kept: Lightning logs them only afterwards."""
    tracking.metrics({"train_loss": epoch.metrics["train_loss"]}, epoch=epoch.number)


def points(record: Record) -> list[tuple[str, int, int | None, float]]:
    """Return every metric as (name, step, epoch, value), sorted."""
    return sorted(
        (name, line.step, line.epoch, value) for line in record.metrics for name, value in line.values.items()
    )


def tracked(settings: CometSettings, home: Path, *, run: str, kind: Any = "train", folder: Path | None = None) -> Any:
    """Track a run with the usual values."""
    return track(
        settings,
        home=home,
        run=run,
        kind=kind,
        name="handwriting v3",
        folder=folder or home / "run",
        params=PARAMS,
        tags=["handwriting"],
    )
