"""From the picture of a line to the ink that the model sees: the same path for learning, judging and serving."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from loopline.problems import Pixels
from loopline.problems.handwriting.alphabet import frames_needed
from loopline.problems.handwriting.characters import unlearnable
from loopline.problems.handwriting.recipe import Recipe

# B lines, H height, W width

SHARD_HEIGHT_PX = 64  # tall enough for pen strokes of a 300 dpi scan; more only costs
FRAME_PX = 4  # the model reads one CTC frame out of this many columns
WIDTH_STEP_PX = 16  # padded widths are multiples: oneDNN compiles and keeps a kernel for every shape it meets
LONGEST_RATIO = 100  # width to height; beyond it a picture is no line of text
PAPER_PERCENTILE, INK_PERCENTILE = 70, 1  # of a line's grey values: most of a line is paper
LEAST_CONTRAST = 32  # grey levels; keeps the noise of an empty line from being blown up to ink


def preprocess(image: Image.Image) -> Pixels:
    """Reduce an upright grey picture to the shards' height, keeping its proportions; small ones stay as they are."""
    if image.height > SHARD_HEIGHT_PX:
        image = image.resize(
            scaled_size(image.width, image.height, SHARD_HEIGHT_PX), Image.Resampling.BOX, reducing_gap=3
        )
    return np.asarray(image, dtype=np.uint8)


def prepare(pixels_HW: Pixels, recipe: Recipe) -> Pixels:
    """Scale a line to the recipe's height and stretch its contrast: 0 is paper, 255 full ink."""
    height, width = pixels_HW.shape
    if height != recipe.height_px:
        size = scaled_size(width, height, recipe.height_px)
        pixels_HW = np.asarray(Image.fromarray(pixels_HW).resize(size, Image.Resampling.BILINEAR))
    ink, paper = np.percentile(pixels_HW, (INK_PERCENTILE, PAPER_PERCENTILE))
    stretched = (paper - pixels_HW.astype(np.float32)) * (255 / max(paper - ink, LEAST_CONTRAST))
    ink_HW: Pixels = stretched.clip(0, 255).astype(np.uint8)
    return ink_HW


def reject(label: str, width_px: int, height_px: int) -> str | None:
    """Say why a labelled line can't be learnt from with the default recipe, or None if it can."""
    if not label:
        return "empty label"
    if width_px > LONGEST_RATIO * height_px:
        return f"{width_px}x{height_px} px is no line of text"
    return unlearnable(label) or unspellable(label, width_px, height_px, recipe=Recipe())


def unspellable(label: str, width_px: int, height_px: int, *, recipe: Recipe) -> str | None:
    """Say why CTC can't spell a label in the frames that a recipe leaves of its line, or None if it can."""
    frames = frame_count(scaled_size(width_px, height_px, recipe.height_px)[0])
    if frames >= frames_needed(label):
        return None
    return f"{frames} frames can't spell {len(label)} characters"


def frame_count(width_px: int) -> int:
    """Return how many CTC frames the model makes of a prepared line."""
    return math.ceil(width_px / FRAME_PX)


def scaled_size(width_px: int, height_px: int, target_px: int) -> tuple[int, int]:
    """Return (width, height) of a picture brought to a height."""
    return max(1, round(width_px * target_px / height_px)), target_px


def pad(lines: Sequence[Pixels]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return prepared lines as one array, ink_BHW, padded with paper to a common width, and their true widths."""
    widths = np.array([line.shape[1] for line in lines])
    widest = math.ceil(int(widths.max()) / WIDTH_STEP_PX) * WIDTH_STEP_PX
    ink_BHW = np.zeros((len(lines), lines[0].shape[0], widest), dtype=np.uint8)
    for row_HW, line_HW in zip(ink_BHW, lines, strict=True):
        row_HW[:, : line_HW.shape[1]] = line_HW
    return ink_BHW, widths
