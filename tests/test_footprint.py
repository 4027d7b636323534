"""What a package asks of a machine is measured on lines as they are, in a process that holds nothing else."""

from pathlib import Path

import numpy as np
import packages
import pytest

from loopline.contracts import Footprint
from loopline.errors import LooplineError
from loopline.footprint import measure, strip_of
from loopline.problems import Pixels
from loopline.problems.handwriting.samples import draw_lines

WIDTHS_PX = [256, 1024, 2048]
HELD_BYTES = 300_000_000  # by the process that asks: more than the one that answers needs


@pytest.fixture(scope="module")
def lines() -> list[Pixels]:
    return [line.pixels for line in draw_lines(seed=1, counts={"train": 4})]


@pytest.fixture(scope="module")
def footprint(lines: list[Pixels], tmp_path_factory: pytest.TempPathFactory) -> Footprint:
    """Measured by a process that must not load torch: one that does finds a broken one."""
    folder = tmp_path_factory.mktemp("footprint")
    (folder / "torch.py").write_text("raise ImportError('torch is no part of serving')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        held = np.ones(HELD_BYTES, dtype=np.uint8)
        found = measure(packages.package(), lines, folder=folder)
    assert held.all()
    return found


def test_three_widths_are_measured_without_torch(footprint: Footprint) -> None:
    assert [found.width_px for found in footprint.latencies] == WIDTHS_PX
    assert all(0 < found.p50_ms <= found.p95_ms <= found.p99_ms for found in footprint.latencies)


def test_memory_is_that_of_the_measured_process_and_not_of_its_parent(footprint: Footprint) -> None:
    assert 50e6 < footprint.peak_memory_mb * 1e6 < HELD_BYTES


def test_lines_are_laid_side_by_side_until_the_strip_is_full(lines: list[Pixels]) -> None:
    strip_HW = strip_of(lines)
    assert strip_HW.shape == (64, 8192)
    first = round(lines[0].shape[1] * 64 / lines[0].shape[0])
    again = sum(round(line.shape[1] * 64 / line.shape[0]) for line in lines)
    np.testing.assert_array_equal(strip_HW[:, :first], strip_HW[:, again : again + first])


def test_what_is_no_package_ends_with_a_sentence(tmp_path: Path, lines: list[Pixels]) -> None:
    with pytest.raises(LooplineError, match=r"could not be measured: .*this is no model package"):
        measure(b"nothing", lines, folder=tmp_path)
