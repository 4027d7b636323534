"""Batches to learn from: width-bucketed, so that little is padding, and in an order that a resumed run repeats."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from loopline.problems import Pixels, Sample
from loopline.problems.handwriting.lines import pad, prepare, scaled_size
from loopline.problems.handwriting.recipe import Recipe

# B lines, H height, W width

Numbers = npt.NDArray[np.int64]

BUCKET_BATCHES = 16  # batches sorted by width together: narrow enough to pad little, wide enough to mix
GAPS = {True: (0.3, 0.9), False: (0.0, 0.15)}  # between joined lines, of the height: with a space, and without


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


@dataclass(frozen=True)
class _Line:
    """One sample, or two that are written one after the other."""

    parts: tuple[Sample, ...]
    gap_px: int = 0
    between: str = ""

    def width_px(self, height_px: int) -> int:
        widths = [scaled_size(part.width_px, part.height_px, height_px)[0] for part in self.parts]
        return sum(widths) + self.gap_px * (len(widths) - 1)

    def pair(self, recipe: Recipe) -> tuple[Pixels, str]:
        gap_HW = np.zeros((recipe.height_px, self.gap_px), np.uint8)
        inks = [prepare(part.pixels(), recipe) for part in self.parts]
        ink_HW = np.concatenate([inks[0], *(piece for ink_HW in inks[1:] for piece in (gap_HW, ink_HW))], axis=1)
        return ink_HW, self.between.join(part.label for part in self.parts)


class _Lines(Dataset[tuple[Pixels, str]]):
    def __init__(self, lines: Sequence[_Line], recipe: Recipe) -> None:
        self.lines, self.recipe = lines, recipe

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> tuple[Pixels, str]:
        return self.lines[index].pair(self.recipe)


class WidthBuckets(Sampler[list[int]]):
    """Batches of similar width, in an order of seed and epoch alone, so that a resumed run repeats it.

    Batches are as nearly equal in size as the count of lines allows. In a process group each rank gets its share of
    every batch, so that all of them together take the steps that one process would.
    """

    def __init__(self, widths: Sequence[int], batch_size: int, *, seed: int | None) -> None:
        self.widths, self.batch_size, self.seed = np.asarray(widths), batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[list[int]]:
        rank, rank_count = 0, 1
        if distributed.is_initialized():
            rank, rank_count = distributed.get_rank(), distributed.get_world_size()
        for batch in self._batches():
            yield batch[rank::rank_count].tolist()

    def _batches(self) -> list[Numbers]:
        if self.seed is None:
            return _parts(np.argsort(self.widths, kind="stable"), self.batch_size)
        generator = np.random.default_rng((self.seed, self.epoch))
        pools = _parts(generator.permutation(len(self.widths)), self.batch_size * BUCKET_BATCHES)
        batches = [
            batch
            for pool in pools
            for batch in _parts(pool[np.argsort(self.widths[pool], kind="stable")], self.batch_size)
        ]
        return [batches[number] for number in generator.permutation(len(batches))]


def _parts(order: Numbers, largest: int) -> list[Numbers]:
    return np.array_split(order, math.ceil(len(order) / largest))


def loader(samples: Sequence[Sample], recipe: Recipe, *, seed: int | None, workers: int = 0) -> DataLoader[Batch]:
    """Return width-bucketed batches, shuffled by (seed, epoch); in order of width if seed is None.

    With a seed the recipe's share of joined lines is added, drawn from the seed alone.
    """
    lines = [_Line((sample,)) for sample in samples]
    if seed is not None:
        lines += _joined(samples, recipe, seed=seed)
    return DataLoader(
        _Lines(lines, recipe),  # type: ignore[arg-type]
        batch_sampler=WidthBuckets([line.width_px(recipe.height_px) for line in lines], recipe.batch_size, seed=seed),
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed or 0),
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def _joined(samples: Sequence[Sample], recipe: Recipe, *, seed: int) -> list[_Line]:
    """Write pairs of lines one after the other, none wider than the widest real line.

    A space comes between them if any label has one.
    """
    spaced = any(" " in sample.label for sample in samples)
    generator = np.random.default_rng((seed, len(samples)))
    widest = max(_Line((sample,)).width_px(recipe.height_px) for sample in samples)
    joined: list[_Line] = []
    wanted = round(recipe.joined * len(samples))
    for first, second in generator.integers(len(samples), size=(8 * wanted, 2)):
        gap_px = round(recipe.height_px * generator.uniform(*GAPS[spaced]))
        line = _Line((samples[first], samples[second]), gap_px, " " * spaced)
        if len(joined) < wanted and line.width_px(recipe.height_px) <= widest:
            joined.append(line)
    return joined
