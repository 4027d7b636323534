"""Read real handwriting against the reference model, at equal wall time, on the same lines.

python -m benchmarks.reference FOLDER MINUTES [--precision bf16-mixed] [--set height_px=48] [--set ...]

FOLDER holds images/, labels.json and splits.json (train, validation). The reference is the model of a tutorial on
Vietnamese addresses, built from its description: a VGG-like stack of convolutions over lines of 64 px, a two-way GRU of
128 units, CTC, Adam at 0.001, no augmentation. Ours is the default recipe, changed by --set, with as many epochs as fit
into the time. Both learn in Lightning's loop, from lines decoded and scaled beforehand, and are judged by the same CER
of the same greedy reading. They run side by side, on one thread each.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from loopline.images import decode
from loopline.learning import Epoch, Fit, fit
from loopline.problems import Pixels, Problem, Sample, load_problem
from loopline.problems.handwriting.alphabet import encode
from loopline.problems.handwriting.data import Batch
from loopline.problems.handwriting.model import ctc_loss
from loopline.problems.handwriting.recipe import Recipe
from loopline.problems.handwriting.system import ReaderSystem
from loopline.settings import TrainSettings

# B lines, H height, W width, T frames, D features, C classes

OURS = load_problem("handwriting")
INNER_DIM = 128
REFERENCE = Recipe(
    height_px=64,
    batch_size=16,  # the tutorial's 64 want 10 GB for lines of 1000 px; smaller ones give it more steps
    learning_rate=1e-3,
    epochs=2000,
    patience=1000,
)
READABLE = 0.1  # CER below which 90 % of characters are right
SEED = 1
TIMED_LINES = 300  # tell how many epochs fit into the time; they count as part of it
RESERVE = 0.95  # of the time is planned for epochs, since batches differ

Curve = list[tuple[float, float]]  # seconds since the start, CER


class VggReader(nn.Module):
    """The reference: one frame out of four columns, as ours; 1.2 million parameters."""

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_block(1, 64, (2, 2)),
            *_block(64, 128, (2, 2)),
            *_block(128, 256, (2, 1), count=1),
            nn.MaxPool2d((2, 1)),
        )
        self.narrow = nn.Linear(256 * (REFERENCE.height_px // 16), INNER_DIM)
        self.gru = nn.GRU(INNER_DIM, INNER_DIM, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * INNER_DIM, class_count)

    def forward(self, ink_BHW: Tensor, _: Tensor) -> Tensor:
        """Return log-probabilities, (B, T, C)."""
        x_BDHW = self.convolutions(ink_BHW.unsqueeze(1).float() / 255)
        x_BTD = F.relu(self.narrow(x_BDHW.flatten(1, 2).transpose(1, 2)))
        logits_BTC: Tensor = self.head(self.gru(x_BTD)[0])
        return logits_BTC.float().log_softmax(dim=2)


def _block(inputs: int, outputs: int, pool: tuple[int, int], *, count: int = 2) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [
            nn.Conv2d(outputs if number else inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return [*layers, nn.MaxPool2d(pool)]


class ReferenceSystem(ReaderSystem):
    """Learns as the tutorial does; validated as ours."""

    def __init__(self, recipe: Recipe, vocabulary: Sequence[str]) -> None:
        super().__init__(recipe, vocabulary)
        self.reader = VggReader(len(vocabulary) + 1)  # type: ignore[assignment]

    def training_step(self, batch: Batch, _: int) -> Tensor:
        targets = [encode(label, self.vocabulary) for label in batch.labels]
        loss = ctc_loss(self(batch.ink_BHW, batch.widths_B), batch.widths_B, targets) / sum(map(len, targets))
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), self.recipe.learning_rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    values = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in asked.set)}
    run = partial(learn, folder=asked.folder, minutes=asked.minutes, precision=asked.precision, values=values)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        curves = dict(zip(("reference", "ours"), pool.map(run, ("reference", "ours")), strict=True))
    for name, curve in curves.items():
        passed = next((f"after {seconds / 60:.1f} min" for seconds, cer in curve if cer < READABLE), "not reached")
        print(f"{name:9}  best CER {best(curve):.2%}  90 % of characters right: {passed}")
    print(f"reference / ours: {best(curves['reference']) / best(curves['ours']):.2f}; goal 1.5")


def best(curve: Curve) -> float:
    return min(cer for _, cer in curve)


def learn(name: str, *, folder: Path, minutes: float, precision: str, values: dict[str, Any]) -> Curve:
    """Learn for some minutes; print and return the validation CER after each epoch."""
    given = _Given(load(folder, "train"), load(folder, "validation"), precision)
    start, curve = time.monotonic(), Curve()

    def on_epoch(epoch: Epoch) -> None:
        curve.append((time.monotonic() - start, epoch.metrics["val_cer"]))
        print(f"{name:9}  epoch {epoch.number + 1:3}  {curve[-1][0] / 60:6.1f} min  CER {curve[-1][1]:.2%}", flush=True)

    if name == "reference":
        given.fit(replace(OURS, system=ReferenceSystem), REFERENCE, minutes=minutes, on_epoch=on_epoch)
    else:
        recipe = given.paced(OURS.make_recipe(values), minutes)
        left = minutes - (time.monotonic() - start) / 60
        given.fit(OURS, recipe, minutes=left, on_epoch=on_epoch)
    return curve


@dataclass
class _Given:
    """What both models get."""

    train: list[Sample]
    val: list[Sample]
    precision: str

    def fit(self, problem: Problem, recipe: Recipe, **kwargs: Any) -> Fit:
        with TemporaryDirectory() as folder:
            return fit(
                problem,
                recipe,
                vocabulary=OURS.vocabulary(sample.label for sample in self.train),
                train=self.train,
                val=self.val,
                seed=SEED,
                checkpoint=Path(folder) / "last.ckpt",
                weights=Path(folder) / "best.safetensors",
                machine=TrainSettings(accelerator="cpu", threads=1, precision=self.precision),
                **kwargs,
            )

    def paced(self, recipe: Recipe, minutes: float) -> Recipe:
        """Give the recipe as many epochs as fit into the minutes, by the time that some lines take."""
        start = time.monotonic()
        some = replace(
            self, train=self.train[:: len(self.train) // TIMED_LINES], val=self.val[:: len(self.train) // TIMED_LINES]
        )
        seconds = some.fit(OURS, recipe.model_copy(update={"epochs": 1})).train_seconds
        left_seconds = RESERVE * (60 * minutes - (time.monotonic() - start))
        epochs = int(left_seconds / (seconds * len(self.train) / len(some.train)))
        return recipe.model_copy(update={"epochs": max(1, epochs)})


def load(folder: Path, split: str) -> list[Sample]:
    """Read the lines of a split into memory, as a shard holds them."""
    labels = json.loads((folder / "labels.json").read_text())
    samples = []
    for name in json.loads((folder / "splits.json").read_text())[split]:
        pixels = OURS.preprocess(decode((folder / "images" / name).read_bytes()))
        label, (height_px, width_px) = OURS.normalise_label(labels[name]), pixels.shape
        if OURS.reject(label, width_px, height_px) is None:
            samples.append(Sample(name, partial(_same, pixels), label, width_px, height_px))
    return samples


def _same(pixels: Pixels) -> Pixels:
    return pixels


if __name__ == "__main__":
    main()
