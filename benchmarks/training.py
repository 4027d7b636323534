"""Time training on the sample lines: Lightning's loop against a bare one, padding, and the wait for batches.

python -m benchmarks.training

One thread; the loops take turns, an epoch each, over the same lines with the same model, optimiser and validation.
They are compared by the seconds of the CPU, which other programs on the machine change little.
Goals: Lightning takes at most 1.05 times as long, and at most a tenth of all pixels is padding.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from loopline.learning import Epoch, fit
from loopline.problems import Pixels, Sample, load_problem
from loopline.problems.handwriting.alphabet import encode
from loopline.problems.handwriting.augment import distort
from loopline.problems.handwriting.data import Batch, loader
from loopline.problems.handwriting.metrics import tally
from loopline.problems.handwriting.model import ctc_loss
from loopline.problems.handwriting.recipe import Recipe
from loopline.problems.handwriting.samples import draw_lines
from loopline.problems.handwriting.system import LARGEST_GRADIENT, ReaderSystem
from loopline.settings import TrainSettings

PROBLEM = load_problem("handwriting")
ROUNDS = 7  # epochs of each loop; the first warms up and does not count
SEED = 1
MACHINE = TrainSettings(accelerator="cpu", threads=1)


def main() -> None:
    lines = sample_lines()
    vocabulary = PROBLEM.vocabulary(sample.label for sample in lines["train"])
    recipe = Recipe(epochs=ROUNDS)
    bare = BareLoop(recipe, vocabulary, lines["train"], lines["validation"])
    lightning = take_turns(bare, recipe, vocabulary)
    for ours, theirs in zip(lightning, bare.cpu_seconds, strict=True):
        print(f"Lightning {ours:6.2f} s   bare {theirs:6.2f} s   {ours / theirs:.3f}")
    ratios = [ours / theirs for ours, theirs in zip(lightning[1:], bare.cpu_seconds[1:], strict=True)]
    print(f"median of {ROUNDS - 1}: {statistics.median(ratios):.3f} times the bare loop; goal 1.05")
    print(f"padding {padding(bare.train, recipe):.1%} of all pixels; goal 10 %")
    print(f"waiting for batches: {waiting(bare):.1%} of training, without processes of their own")
    ahead = BareLoop(recipe, vocabulary, lines["train"], lines["validation"], workers=1)
    ahead.epoch()
    ahead.epoch()
    print(f"                     {ahead.waits[-1] / ahead.seconds[-1]:.1%} with one process that prepares them")


def sample_lines() -> dict[str, list[Sample]]:
    """Draw the sample lines; like those of a shard, each is decoded whenever it is read."""
    splits: dict[str, list[Sample]] = {}
    for line in draw_lines(seed=SEED):
        height_px, width_px = line.pixels.shape
        sample = Sample("", _decoder(line.pixels), line.text, width_px, height_px)
        splits.setdefault(line.split, []).append(sample)
    return splits


def _decoder(pixels: Pixels) -> Callable[[], Pixels]:
    png = BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return lambda: np.asarray(Image.open(BytesIO(png.getvalue())))


@dataclass
class BareLoop:
    """What Lightning does for us, written out."""

    recipe: Recipe
    vocabulary: Sequence[str]
    train: Sequence[Sample]
    val: Sequence[Sample]
    workers: int = 0
    cpu_seconds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(SEED)
        self.system = ReaderSystem(self.recipe, self.vocabulary)
        self.loader = loader(self.train, self.recipe, seed=SEED, workers=self.workers)
        self.val_loader = loader(self.val, self.recipe, seed=None)
        self.optimizer = torch.optim.AdamW(
            self.system.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=self.recipe.learning_rate,
            total_steps=self.recipe.epochs * len(self.loader),
            pct_start=self.recipe.warm_up,
        )

    def epoch(self) -> None:
        """Train, validate and save once."""
        start, cpu_start = time.perf_counter(), time.process_time()
        self.waits.append(0.0)
        self.system.train()
        for batch in self._batches():
            self._step(batch)
        self.system.eval()
        edits = characters = 0.0
        with torch.no_grad():
            for batch in self.val_loader:
                for truth, answer in zip(batch.labels, self.system.read(batch), strict=True):
                    counts = tally(truth, answer.text)["cer"]
                    edits, characters = edits + counts[0], characters + counts[1]
        torch.save([self.system.state_dict(), self.optimizer.state_dict()], BytesIO())
        self.seconds.append(time.perf_counter() - start)
        self.cpu_seconds.append(time.process_time() - cpu_start)

    def _batches(self) -> Iterator[Batch]:
        batches = iter(self.loader)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waits[-1] += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _step(self, batch: Batch) -> None:
        reader, recipe = self.system.reader, self.recipe
        ink_BHW = distort(batch.ink_BHW, batch.widths_B, shape=recipe.augment, wear=recipe.wear) * 255
        features_BTD = reader.features(ink_BHW, batch.widths_B)
        targets = [encode(label, self.vocabulary) for label in batch.labels]
        loss = ctc_loss(reader.head_log_probs(features_BTD, batch.widths_B), batch.widths_B, targets)
        shortcut = ctc_loss(reader.shortcut_log_probs(features_BTD), batch.widths_B, targets)
        self.optimizer.zero_grad()
        ((loss + recipe.shortcut * shortcut) / sum(map(len, targets))).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.system.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.schedule.step()


def take_turns(bare: BareLoop, recipe: Recipe, vocabulary: Sequence[str]) -> list[float]:
    """Let both loops run, an epoch each in turn; return the CPU seconds of Lightning's."""
    seconds: list[float] = []
    start = time.process_time()

    def other(epoch: Epoch) -> None:
        nonlocal start
        seconds.append(time.process_time() - start)
        bare.epoch()
        start = time.process_time()

    with TemporaryDirectory() as folder:
        fit(
            PROBLEM,
            recipe,
            vocabulary=vocabulary,
            train=bare.train,
            val=bare.val,
            seed=SEED,
            checkpoint=Path(folder) / "last.ckpt",
            weights=Path(folder) / "best.safetensors",
            machine=MACHINE,
            on_epoch=other,
        )
    return seconds


def padding(samples: Sequence[Sample], recipe: Recipe) -> float:
    """Return the share of an epoch's pixels that are paper beyond a line's end."""
    batches: list[Batch] = list(loader(samples, recipe, seed=SEED))
    written = sum(int(batch.widths_B.sum()) for batch in batches)
    padded = sum(len(batch) * batch.ink_BHW.shape[2] for batch in batches)
    return 1 - written / padded


def waiting(loop: BareLoop) -> float:
    """Return the share of an epoch's time, the first left out, in which no batch was ready."""
    return sum(loop.waits[1:]) / sum(loop.seconds[1:])


if __name__ == "__main__":
    main()
