"""Where the time of one 64x1024 line goes on one CPU thread, and what whole numbers bring: ratios in one run.

python -m benchmarks.serving_latency            two sizes of reader, untrained: times do not depend on weights
python -m benchmarks.serving_latency PACKAGE    a package as it is, its search included, on drawn lines
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loopline.footprint import STRIP_WIDTH_PX, measure, strip_of
from loopline.packaging import export_onnx
from loopline.problems import Pixels, load_problem
from loopline.problems.handwriting.samples import draw_lines
from loopline.quantization import quantize
from loopline.serving import onnx_run

PROBLEM = load_problem("handwriting")
RECIPES: dict[str, dict[str, Any]] = {"default": {}, "height 48, hidden 160": {"height_px": 48, "hidden": 160}}
VOCABULARY = tuple(chr(0x21 + number) for number in range(100))
WIDTH_PX = 1024
RUNS = 60


def main(arguments: Sequence[str]) -> None:
    """Print one line a figure."""
    drawn = [line.pixels for line in draw_lines(seed=1, counts={"test": 60})]
    if arguments:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(Path(arguments[0]).read_bytes(), drawn, folder=Path(folder)).model_dump_json(indent=1))
        return
    strip_HW = strip_of(drawn)
    places_px = np.linspace(0, STRIP_WIDTH_PX - WIDTH_PX, RUNS, dtype=int)
    lines = [np.ascontiguousarray(strip_HW[:, place : place + WIDTH_PX]) for place in places_px]
    for name, values in RECIPES.items():
        _print_parts(name, PROBLEM.make_recipe(values), lines=lines)


def _print_parts(name: str, recipe: Any, *, lines: Sequence[Pixels]) -> None:
    torch.manual_seed(1)
    network = export_onnx(PROBLEM, recipe, system=PROBLEM.system(recipe, VOCABULARY))
    fed = [PROBLEM.inputs([line], recipe) for line in lines]
    small = quantize(network, fed)
    exact, rounded = onnx_run(network), onnx_run(small)
    decode = PROBLEM.decoder(PROBLEM.decodings()[0], vocabulary=VOCABULARY, language=None)
    said = [exact(one) for one in fed]
    steps: dict[str, Callable[[int], object]] = {
        "prepare": lambda number: PROBLEM.inputs([lines[number]], recipe),
        "network": lambda number: exact(fed[number]),
        "network in whole numbers": lambda number: rounded(fed[number]),
        "best path": lambda number: PROBLEM.answers(said[number], fed[number], decode=decode),
    }
    times_ms = _times_ms(list(steps.values()))
    print(f"{name}: network {len(network) / 1e6:.2f} MB, in whole numbers {len(small) / 1e6:.2f} MB")
    for step, (median_ms, p95_ms) in zip(steps, times_ms, strict=True):
        print(f"  {step}: {median_ms:.2f} ms, 95 % under {p95_ms:.2f} ms")
    print(f"  whole numbers take {times_ms[2][0] / times_ms[1][0]:.2f} of the exact network's time")


def _times_ms(steps: Sequence[Callable[[int], object]]) -> list[tuple[float, float]]:
    """Return median and 95th percentile of each step; they take turns, so that other work on the machine hits all."""
    seconds = np.zeros((len(steps), RUNS))
    for number in range(RUNS):
        for at, step in enumerate(steps):
            start = time.perf_counter()
            step(number)
            seconds[at, number] = time.perf_counter() - start
    return [(float(median), float(p95)) for median, p95 in (np.percentile(seconds, (50, 95), axis=1) * 1000).T]


if __name__ == "__main__":
    main(sys.argv[1:])
