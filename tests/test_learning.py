"""Learning is repeatable and resumable, bit for bit, on a CPU."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loopline.errors import ConfigError, DataError
from loopline.learning import Epoch, Fit, fit, load_system
from loopline.problems import Sample, load_problem
from loopline.serving import Predictor, system_run
from loopline.settings import TrainSettings

PROBLEM = load_problem("handwriting")
WEIGHTS = "best.safetensors"
MACHINE = TrainSettings(accelerator="cpu", threads=1)


class Killed(BaseException):
    """Ends a run as a signal would: nothing of the run's own code sees it."""


def stripes(label: str, seed: int) -> Sample:
    """A line on which each digit is a column of bars at a height of its own."""
    pixels = np.full((32, 24 * len(label)), 230, dtype=np.uint8)
    for place, digit in enumerate(label):
        top = 2 + 7 * int(digit)
        pixels[top : top + 6, 24 * place + 5 : 24 * place + 18] = 20 + seed
    return Sample(f"{seed:064d}", lambda: pixels, label, pixels.shape[1], 32, key=str(seed))


SAMPLES = [stripes(label, seed) for seed, label in enumerate(["0123", "321", "2130", "113", "0022", "31", "203", "12"])]


def learn(folder: Path, epochs: int = 4, **kwargs: object) -> Fit:
    recipe = PROBLEM.make_recipe(
        {"channels": 8, "hidden": 32, "layers": 1, "epochs": epochs, "batch_size": 4, **kwargs.pop("values", {})}
    )
    folder.mkdir(exist_ok=True)
    common = {"vocabulary": "0123", "train": SAMPLES, "val": SAMPLES, "seed": 3, "machine": MACHINE}
    common |= {"checkpoint": folder / "last.ckpt", "weights": folder / WEIGHTS}
    return fit(PROBLEM, recipe, **common | kwargs)  # type: ignore[arg-type]


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = learn(tmp_path / "whole")

    def kill(epoch: Epoch) -> None:
        if epoch.number == 1:
            raise Killed

    with pytest.raises(Killed):
        learn(tmp_path / "killed", on_epoch=kill)
    shutil.move(tmp_path / "killed", tmp_path / "elsewhere")
    resumed = learn(tmp_path / "elsewhere")
    assert resumed.epochs == whole.epochs == 4
    assert (tmp_path / "elsewhere" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_eight_lines_are_learnt_by_heart(tmp_path: Path) -> None:
    learnt = learn(tmp_path / "run", epochs=150, values={"augment": 0.0, "dropout": 0.0, "patience": 150})
    assert learnt.val_metrics["val_cer"] == 0
    recipe = PROBLEM.make_recipe({"channels": 8, "hidden": 32, "layers": 1})
    system = load_system(PROBLEM, recipe, vocabulary="0123", weights=tmp_path / "run" / WEIGHTS)
    predictor = Predictor(PROBLEM, recipe, vocabulary="0123", run=system_run(system))
    assert [answer.text for answer in predictor.read([s.pixels() for s in SAMPLES])] == [s.label for s in SAMPLES]


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    learnt = learn(tmp_path / "run", epochs=30, values={"learning_rate": 1e-5, "patience": 2})
    assert learnt.epochs == 3


def test_lines_that_no_frame_can_spell_leave_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 training and 8 validation lines can be used"):
        learn(tmp_path, train=[replace(sample, label="0" * 40) for sample in SAMPLES])


def test_a_recipe_out_of_bounds_is_named() -> None:
    with pytest.raises(ConfigError, match=r"learning_rate.*height_px|height_px.*learning_rate"):
        PROBLEM.make_recipe({"learning_rate": 5.0, "height_px": 3})
