"""Sample lines, so that everything can be tried before there is data: digits by real hands, on drawn paper.

The pen strokes are the 1,797 digit images of 8 × 8 cells that scikit-learn ships (UCI optical digits, CC BY 4.0).
They are cut into one pool per split before anything is drawn, so that no stroke image stands on two sides. A line
takes its digits from neighbours in a pool, which are mostly by one writer, and has one pen and one sheet of paper.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from rich.console import Console
from rich.progress import track

from loopline.problems import Pixels

LINE_COUNTS: Mapping[str, int] = MappingProxyType({"train": 1500, "validation": 300, "test": 300})
POOL_SHARES: Mapping[str, float] = MappingProxyType({"train": 0.7, "validation": 0.15, "test": 0.15})
DIGIT_COUNTS = (4, 8)  # of a line, as the other ranges: both ends belong to it
HEIGHTS_PX = (36, 48)
WIDTHS_PX = (80, 320)

NEIGHBOUR_COUNT = 40  # the images come in order of writing: some forty in a row are by one hand or two
CELL_MAX = 16  # darkest value of a cell
GRID_CELLS = 8  # side of a stroke image
FRAME_CELLS = 2  # blank around it, so that smoothing has room
CELL_UNITS = 6  # side of a cell in the smoothed stroke image: finer than any line we draw

Plane = npt.NDArray[np.float64]  # HW


@dataclass(frozen=True)
class Line:
    """One drawn line, and which of scikit-learn's images its digits are."""

    split: str
    text: str
    stroke_ids: tuple[int, ...]
    pixels: Pixels


@dataclass(frozen=True)
class _Stroke:
    """One digit as one person wrote it: 255 along the stroke, falling to 0 beside it."""

    id: int
    digit: int
    shape: Image.Image
    left_cells: float
    width_cells: float


@dataclass(frozen=True)
class _Pen:
    """How a line is written: what its digits share. Slopes are tangents; 0 is upright, or level."""

    height_px: float
    stretch: float  # width over height, against the original's
    slant: float
    gap_px: float
    rise: float
    ridge: float  # of the stroke's 0 to 255, where ink begins: lower draws thicker
    darkness: float

    @classmethod
    def pick(cls, random: np.random.Generator, line_height_px: int) -> "_Pen":
        height_px = line_height_px * random.uniform(0.52, 0.76)
        return cls(
            height_px=height_px,
            stretch=random.uniform(0.78, 1.02),
            slant=random.uniform(-0.1, 0.35),
            gap_px=height_px * random.uniform(0.02, 0.25),
            rise=random.uniform(-0.012, 0.012),
            ridge=random.uniform(75, 130),
            darkness=random.uniform(0.5, 0.9),
        )


def write_samples(folder: Path, *, seed: int = 1, counts: Mapping[str, int] = LINE_COUNTS) -> None:
    """Write images/*.png, labels.json and splits.json into the folder: the same seed, the same bytes, anywhere."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    labels: dict[str, str] = {}
    splits: dict[str, list[str]] = {split: [] for split in counts}
    console = Console(stderr=True)
    lines = track(
        draw_lines(seed=seed, counts=counts),
        "Drawing sample lines",
        total=sum(counts.values()),
        console=console,
        disable=not console.is_terminal,
    )
    for number, line in enumerate(lines, start=1):
        name = f"images/{number:05}.png"
        (folder / name).write_bytes(_png(line.pixels))
        labels[name] = line.text
        splits[line.split].append(name)
    (folder / "labels.json").write_text(json.dumps(labels, indent=1))
    (folder / "splits.json").write_text(json.dumps(splits, indent=1))


def draw_lines(*, seed: int, counts: Mapping[str, int] = LINE_COUNTS) -> Iterator[Line]:
    """Yield the lines of every split in order; each depends on the seed, its split and its number alone."""
    pools = _pools(seed)
    for split, count in counts.items():
        side = list(POOL_SHARES).index(split)
        for number in range(count):
            yield _draw_line(np.random.default_rng([seed, side, number]), pools[split], split=split)


def _pools(seed: int) -> dict[str, list[_Stroke]]:
    """Cut the stroke images into one pool per split, every digit in the same shares, in their order of writing."""
    from sklearn.datasets import load_digits

    cells, digits = load_digits(return_X_y=True)
    random = np.random.default_rng(seed)
    cuts = np.cumsum(list(POOL_SHARES.values()))[:-1]
    split_of = np.empty(len(digits), int)
    for digit in range(10):
        members = random.permutation(np.flatnonzero(digits == digit))
        for side, part in enumerate(np.split(members, np.round(cuts * len(members)).astype(int))):
            split_of[part] = side
    strokes = [_stroke(i, int(digits[i]), cells=cells[i].reshape(GRID_CELLS, GRID_CELLS)) for i in range(len(digits))]
    return {
        split: [stroke for stroke in strokes if split_of[stroke.id] == side] for side, split in enumerate(POOL_SHARES)
    }


def _stroke(number: int, digit: int, *, cells: Plane) -> _Stroke:
    """Smooth the cells away and thin the stroke, as a difference of two blurs does."""
    inked = np.flatnonzero(cells.max(axis=0) > CELL_MAX / 4)
    grey = np.pad(np.round(cells * (255 / CELL_MAX)), FRAME_CELLS).astype(np.uint8)
    side_units = len(grey) * CELL_UNITS
    smooth = Image.fromarray(grey).resize((side_units, side_units), Image.Resampling.BICUBIC)
    fine, coarse = (
        np.asarray(smooth.filter(ImageFilter.GaussianBlur(blur_cells * CELL_UNITS)), float) for blur_cells in (0.25, 1)
    )
    ridge = np.clip(2.5 * fine - 2 * coarse, 0, None)
    ridge *= 255 / np.percentile(ridge, 99)
    return _Stroke(
        id=number,
        digit=digit,
        shape=Image.fromarray(_quantised(ridge)),
        left_cells=float(inked[0]),
        width_cells=float(inked[-1] + 1 - inked[0]),
    )


def _draw_line(random: np.random.Generator, pool: list[_Stroke], *, split: str) -> Line:
    start = random.integers(len(pool))
    digit_count = random.integers(*DIGIT_COUNTS, endpoint=True)
    offsets = random.choice(NEIGHBOUR_COUNT, size=digit_count, replace=False)
    strokes = [pool[(start + offset) % len(pool)] for offset in offsets]
    line_height_px = int(random.integers(*HEIGHTS_PX, endpoint=True))
    pen = _Pen.pick(random, line_height_px)
    ink = _write(random, strokes, pen=pen, line_height_px=line_height_px)
    return Line(
        split=split,
        text="".join(str(stroke.digit) for stroke in strokes),
        stroke_ids=tuple(stroke.id for stroke in strokes),
        pixels=_scan(random, _paper(random, ink.shape) * (1 - pen.darkness * ink)),
    )


def _write(random: np.random.Generator, strokes: list[_Stroke], *, pen: _Pen, line_height_px: int) -> Plane:
    """Return how much ink lies on each pixel, from 0 to 1."""
    left_margin_px, right_margin_px = random.uniform(3, 24, size=2)
    widths_px = np.array([stroke.width_cells for stroke in strokes]) * pen.height_px * pen.stretch / GRID_CELLS
    ends_px = left_margin_px + np.cumsum(widths_px + pen.gap_px * random.uniform(0.4, 1.6, size=len(strokes)))
    width_px = max(WIDTHS_PX[0], round(ends_px[-1] + abs(pen.slant) * pen.height_px + right_margin_px))
    bottom_px = (line_height_px + pen.height_px) / 2 + line_height_px * random.uniform(-0.05, 0.05)
    places_px = [(x, bottom_px + pen.rise * (x - width_px / 2)) for x in (left_margin_px, *ends_px[:-1])]
    size_px = (width_px, line_height_px)
    marks = [
        _mark(random, stroke, pen=pen, at_px=at_px, size_px=size_px)
        for stroke, at_px in zip(strokes, places_px, strict=True)
    ]
    ink = Image.fromarray(_quantised(255 * reduce(np.maximum, marks)))
    return np.asarray(ink.resize((min(width_px, WIDTHS_PX[1]), line_height_px), Image.Resampling.BICUBIC), float) / 255


def _mark(
    random: np.random.Generator,
    stroke: _Stroke,
    *,
    pen: _Pen,
    at_px: tuple[float, float],
    size_px: tuple[int, int],
) -> Plane:
    """Put one digit, its lower left corner at the given place, on an empty line."""
    height_px = pen.height_px * random.uniform(0.9, 1.06)
    slant = pen.slant + random.uniform(-0.05, 0.05)
    turn = random.uniform(-0.06, 0.06)
    x_px, y_px = at_px[0], at_px[1] + height_px * random.uniform(-0.04, 0.04)
    down = GRID_CELLS * CELL_UNITS / height_px
    across = down / pen.stretch
    left = (FRAME_CELLS + stroke.left_cells) * CELL_UNITS
    bottom = (FRAME_CELLS + GRID_CELLS) * CELL_UNITS
    to_stroke = (
        across,
        across * slant,
        left - across * (x_px + slant * y_px),
        down * turn,
        down,
        bottom - down * (turn * x_px + y_px),
    )
    shape = stroke.shape.transform(size_px, Image.Transform.AFFINE, to_stroke, Image.Resampling.BICUBIC)
    ridge = np.asarray(shape, float)
    edge = np.clip((ridge - pen.ridge) / 70 + 0.5, 0, 1)
    pressure = 0.72 + 0.28 * ridge / 255
    return edge * edge * (3 - 2 * edge) * pressure


def _paper(random: np.random.Generator, shape: tuple[int, ...]) -> Plane:
    """Return the light that an empty sheet throws back, 0 to 255: unevenly lit, stained, now and then ruled."""
    height_px, width_px = shape
    x, y = np.linspace(-1, 1, width_px), np.linspace(-1, 1, height_px)[:, None]
    light = random.uniform(178, 246) + random.uniform(-10, 10) * x + random.uniform(-6, 6) * y
    stains = Image.fromarray(random.integers(256, size=(4, 12), dtype=np.uint8))
    light += random.uniform(2, 14) * (np.asarray(stains.resize((width_px, height_px)), float) / 255 - 0.5)
    if random.random() < 0.35:
        rule_px = height_px * random.uniform(0.72, 0.97) + width_px * random.uniform(-0.008, 0.008) * x
        distance_px = np.abs(np.arange(height_px)[:, None] - rule_px)
        light -= random.uniform(15, 55) * np.clip(random.uniform(0.8, 1.5) - distance_px, 0, 1)
    return light


def _scan(random: np.random.Generator, light: Plane) -> Pixels:
    """Look at the sheet through a lens that is not quite sharp and a sensor that is not quite still."""
    blurred = Image.fromarray(_quantised(light)).filter(ImageFilter.GaussianBlur(random.uniform(0.3, 0.7)))
    return _quantised(np.asarray(blurred) + random.normal(0, random.uniform(1, 5), light.shape))


def _quantised(plane: Plane) -> Pixels:
    return np.round(np.clip(plane, 0, 255)).astype(np.uint8)


def _png(pixels: Pixels) -> bytes:
    """Encode without looking for repetitions, which zlib does differently from one processor to another."""
    png = BytesIO()
    Image.fromarray(pixels).save(png, "PNG", compress_type=zlib.Z_HUFFMAN_ONLY)
    return png.getvalue()
