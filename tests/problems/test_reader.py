"""The reader's promises: padding is no signal, distortions stay in bounds, order follows from the seed."""

import numpy as np
import pytest
import torch

from loopline.problems import Pixels, Sample, load_problem
from loopline.problems.handwriting.augment import distort
from loopline.problems.handwriting.data import WidthBuckets
from loopline.problems.handwriting.lines import prepare, unspellable
from loopline.problems.handwriting.recipe import Recipe
from loopline.serving import Predictor, system_run

PROBLEM = load_problem("handwriting")
SMALL = Recipe(channels=8, hidden=32, layers=2, epochs=1)


def line(width_px: int, height_px: int = 40, *, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px), dtype=np.uint8)


def sample(width_px: int, label: str) -> Sample:
    return Sample("0" * 64, lambda: line(width_px), label, width_px, 40)


def test_a_line_is_read_the_same_alone_and_beside_wider_ones() -> None:
    torch.manual_seed(0)
    run = system_run(PROBLEM.system(SMALL, "0123456789").eval())
    lines = [line(width) for width in (37, 61, 200, 333)]
    together = run(PROBLEM.inputs(lines, SMALL))
    for number, alone in enumerate(lines):
        frames_TC = run(PROBLEM.inputs([alone], SMALL))[0]
        np.testing.assert_allclose(together[number, : len(frames_TC)], frames_TC, atol=1e-5)


def test_answers_come_in_the_order_of_the_lines_and_reach_each_lines_end() -> None:
    torch.manual_seed(0)
    predictor = Predictor(PROBLEM, SMALL, vocabulary="ab", run=system_run(PROBLEM.system(SMALL, "ab").eval()))
    lines = [line(width, seed=width) for width in (300, 40, 120)]
    assert [answer.text for answer in predictor.read(lines)] == [predictor.read([alone])[0].text for alone in lines]


def test_dark_paper_and_pale_ink_are_prepared_like_white_paper_and_black_ink() -> None:
    crisp = np.full((32, 100), 255, dtype=np.uint8)
    crisp[10:20, 40:45] = 0
    grey = (crisp.astype(float) * 0.4 + 90).astype(np.uint8)
    np.testing.assert_allclose(prepare(grey, Recipe()), prepare(crisp, Recipe()), atol=2)


def test_an_empty_page_stays_empty() -> None:
    noise = np.random.default_rng(0).integers(248, 256, (32, 200), dtype=np.uint8)
    assert prepare(noise, Recipe()).max() < 64


def test_distortion_keeps_padding_paper_and_ink_in_range() -> None:
    torch.manual_seed(0)
    ink_BHW = torch.randint(0, 256, (4, 32, 120), dtype=torch.uint8)
    widths_B = torch.tensor([120, 90, 60, 30])
    out_BHW = distort(ink_BHW, widths_B, shape=1.0, wear=1.0)
    assert out_BHW.min() >= 0
    assert out_BHW.max() <= 1
    for line_HW, width in zip(out_BHW, widths_B.tolist(), strict=True):
        assert line_HW[:, width:].abs().max() == 0 if width < 120 else True


def test_no_strength_distorts_nothing() -> None:
    ink_BHW = torch.randint(0, 256, (2, 32, 40), dtype=torch.uint8)
    assert torch.equal(distort(ink_BHW, torch.tensor([40, 40]), shape=0.0, wear=0.0), ink_BHW.float() / 255)


def test_every_line_comes_once_an_epoch_in_an_order_of_seed_and_epoch() -> None:
    widths = list(range(50, 250))
    first, again, other = (WidthBuckets(widths, 16, seed=seed) for seed in (1, 1, 2))
    assert list(first) == list(again)
    assert list(first) != list(other)
    assert sorted(number for batch in first for number in batch) == list(range(200))
    before = list(first)
    first.set_epoch(1)
    assert list(first) != before


def test_batches_pad_less_than_a_tenth() -> None:
    widths = np.random.default_rng(0).integers(80, 320, 1500)
    batches = list(WidthBuckets(widths.tolist(), 32, seed=1))
    padded = sum(len(batch) * widths[batch].max() for batch in batches)
    assert 1 - widths.sum() / padded < 0.1


@pytest.mark.parametrize(("label", "fits"), [("12345678", True), ("11111111", False), ("1" * 20, False)])
def test_a_label_too_long_for_its_line_is_named(label: str, fits: bool) -> None:
    reason = unspellable(label, 40, 32, recipe=Recipe())
    assert (reason is None) is fits
    assert fits or "10 frames can't spell" in str(reason)


def test_a_line_too_narrow_for_a_recipe_is_not_usable() -> None:
    assert PROBLEM.usable(sample(200, "1234"), Recipe())
    assert not PROBLEM.usable(sample(20, "123456"), Recipe())
