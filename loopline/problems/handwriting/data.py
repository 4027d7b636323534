"""Batches to learn from: width-bucketed, so that little is padding, and in an order that a resumed run repeats."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from loopline.problems import Pixels, Sample
from loopline.problems.handwriting.lines import pad, prepare, scaled_size
from loopline.problems.handwriting.recipe import Recipe

# B lines, H height, W width

BUCKET_BATCHES = 16  # batches sorted by width together: narrow enough to pad little, wide enough to mix


@dataclass(frozen=True)
class Batch:
    """Lines of similar width, padded with paper to the widest; labels stay strings until the loss."""

    ink_BHW: Tensor  # uint8
    widths_B: Tensor
    labels: tuple[str, ...]

    def to(self, device: torch.device, **kwargs: object) -> "Batch":
        """Move the tensors; Lightning calls this."""
        return Batch(self.ink_BHW.to(device), self.widths_B.to(device), self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def collate(pairs: Sequence[tuple[Pixels, str]]) -> Batch:
    """Pad prepared lines to the widest."""
    lines, labels = zip(*pairs, strict=True)
    ink_BHW, widths_B = pad(lines)
    return Batch(torch.from_numpy(ink_BHW), torch.from_numpy(widths_B), labels)


class _Lines(Dataset[tuple[Pixels, str]]):
    def __init__(self, samples: Sequence[Sample], recipe: Recipe) -> None:
        self.samples, self.recipe = samples, recipe

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Pixels, str]:
        sample = self.samples[index]
        return prepare(sample.pixels(), self.recipe), sample.label


class WidthBuckets(Sampler[list[int]]):
    """Batches of similar width, in an order of seed and epoch alone, so that a resumed run repeats it."""

    def __init__(self, widths: Sequence[int], batch_size: int, *, seed: int | None) -> None:
        self.widths, self.batch_size, self.seed = np.asarray(widths), batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.widths) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if self.seed is None:
            order: npt.NDArray[np.int64] = np.argsort(self.widths, kind="stable")
            yield from (chunk.tolist() for chunk in self._chunks(order, self.batch_size))
            return
        generator = np.random.default_rng((self.seed, self.epoch))
        pools = self._chunks(generator.permutation(len(self.widths)), self.batch_size * BUCKET_BATCHES)
        batches = [
            batch
            for pool in pools
            for batch in self._chunks(pool[np.argsort(self.widths[pool], kind="stable")], self.batch_size)
        ]
        yield from (batches[number].tolist() for number in generator.permutation(len(batches)))

    @staticmethod
    def _chunks(order: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
        return [order[start : start + size] for start in range(0, len(order), size)]


def loader(samples: Sequence[Sample], recipe: Recipe, *, seed: int | None, workers: int = 0) -> DataLoader[Batch]:
    """Return width-bucketed batches, shuffled by (seed, epoch); in order of width if seed is None."""
    widths = [scaled_size(sample.width_px, sample.height_px, recipe.height_px)[0] for sample in samples]
    return DataLoader(
        _Lines(samples, recipe),  # type: ignore[arg-type]
        batch_sampler=WidthBuckets(widths, recipe.batch_size, seed=seed),
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed or 0),
        num_workers=workers,
        persistent_workers=workers > 0,
    )
