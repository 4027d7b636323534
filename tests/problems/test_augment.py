"""Distortions follow from the seed, stay in bounds, and each kind leaves its mark; joined lines read as written."""

import numpy as np
import pytest
import torch
from torch import Tensor

from loopline.problems import Sample
from loopline.problems.handwriting.augment import distort
from loopline.problems.handwriting.data import Batch, loader
from loopline.problems.handwriting.recipe import Recipe

HEIGHT_PX, WIDTH_PX = 32, 240
WIDE = "9"  # label of the widest line: joined ones are no wider
WIDTHS = torch.full((16,), WIDTH_PX)


def strokes() -> Tensor:
    """Sixteen lines of upright bars."""
    ink_BHW = torch.zeros(16, HEIGHT_PX, WIDTH_PX, dtype=torch.uint8)
    ink_BHW[:, 6:26, 10::20] = 255
    ink_BHW[:, 6:26, 11::20] = 255
    return ink_BHW


def bar(width_px: int, label: str) -> Sample:
    pixels = np.full((HEIGHT_PX, width_px), 255, np.uint8)
    pixels[8:24, width_px // 2 - 2 : width_px // 2 + 2] = 0
    return Sample("", lambda: pixels, label, width_px, HEIGHT_PX)


def extra_lines(labels: list[str], **values: float) -> list[Batch]:
    samples = [*(bar(60 + 8 * number, label) for number, label in enumerate(labels)), bar(300, WIDE)]
    return list(loader(samples, Recipe(**values), seed=1))


def texts(batches: list[Batch]) -> list[str]:
    return sorted(label for batch in batches for label in batch.labels)


@pytest.mark.parametrize("strengths", [{"shape": 1.0, "wear": 0.0}, {"shape": 0.0, "wear": 1.0}])
def test_the_same_seed_distorts_the_same_way(strengths: dict[str, float]) -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(distort(strokes(), WIDTHS, **strengths))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("strengths", [{"shape": 1.0, "wear": 0.0}, {"shape": 0.0, "wear": 1.0}])
def test_most_strokes_survive_the_strongest_distortion(strengths: dict[str, float]) -> None:
    torch.manual_seed(0)
    before, after = (strokes().float() / 255).mean((1, 2)), distort(strokes(), WIDTHS, **strengths)
    assert (after.mean((1, 2)) > 0.4 * before).all()
    assert after.min() >= 0
    assert after.max() <= 1


def test_wear_dirties_paper_and_pales_ink() -> None:
    torch.manual_seed(0)
    clean_BHW = strokes().float() / 255
    worn_BHW = distort(strokes(), WIDTHS, shape=0.0, wear=1.0)
    paper, ink = worn_BHW[clean_BHW == 0], worn_BHW[clean_BHW == 1]
    assert 0.01 < paper.mean() < 0.3
    assert 0.5 < ink.mean() < 0.98
    assert (ink < 0.2).float().mean() > 0.001  # gaps


def test_ruled_paper_has_a_line_from_end_to_end() -> None:
    torch.manual_seed(0)
    blank_BHW = torch.zeros(64, HEIGHT_PX, WIDTH_PX, dtype=torch.uint8)
    worn_BHW = distort(blank_BHW, torch.full((64,), WIDTH_PX), shape=0.0, wear=1.0)
    ruled = (worn_BHW.mean(2).amax(1) > 0.15).float().mean()
    assert 0.1 < ruled < 0.6


def test_joined_lines_are_written_and_labelled_one_after_the_other() -> None:
    batches = extra_lines(["a b", "c", "d", "e", "f", "g", "h"], joined=0.5)
    joined = set(texts(batches)) - {"a b", *"cdefgh", WIDE}
    assert len(joined) == 4
    assert all(" " in label for label in joined)
    for batch in batches:
        for ink_HW, width, label in zip(batch.ink_BHW, batch.widths_B, batch.labels, strict=True):
            edge_count = int(np.diff(ink_HW[16, :width].numpy() > 128).sum())
            assert edge_count == (4 if label in joined else 2)


def test_lines_without_spaces_are_joined_without_one() -> None:
    joined = {label for label in texts(extra_lines(list("12345678"), joined=1.0)) if len(label) > 1}
    assert joined
    assert all(" " not in label for label in joined)


def test_the_same_seed_joins_the_same_lines_and_validation_joins_none() -> None:
    labels = list("12345678")
    assert texts(extra_lines(labels, joined=1.0)) == texts(extra_lines(labels, joined=1.0))
    samples = [bar(60, label) for label in labels[:-1]] + [bar(300, labels[-1])]
    assert texts(list(loader(samples, Recipe(joined=1.0), seed=None))) == labels
