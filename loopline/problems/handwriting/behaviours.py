"""What must not change what is read on a line, and which of its characters are judged apart.

Each change keeps every stroke that a person reads by, and does the same to the same line every time.
"""

import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

from loopline.problems import Pixels
from loopline.problems.handwriting.lines import PAPER_PERCENTILE

SHIFT = 1 / 16  # of the height: what a line's crop is easily off by
TURN_DEGREES = 1.0  # what a sheet lies askew on a scanner
GREYED = 0.6  # of the light that white paper throws back
GRAIN = 4.0  # grey levels, standard deviation: recycled paper


def shifted(pixels_HW: Pixels) -> Pixels:
    """Move a line right and down, as a crop with a wider margin does."""
    margin_px = round(pixels_HW.shape[0] * SHIFT)
    return np.pad(pixels_HW, ((margin_px, 0), (margin_px, 0)), constant_values=_paper(pixels_HW))


def thickened(pixels_HW: Pixels) -> Pixels:
    """Write a line with a pen half a pixel wider on each side."""
    image = Image.fromarray(pixels_HW)
    return np.asarray(Image.blend(image, image.filter(ImageFilter.MinFilter(3)), 0.5))


def rotated(pixels_HW: Pixels) -> Pixels:
    """Turn a line by one degree; the picture grows so that no stroke is cut off."""
    image = Image.fromarray(pixels_HW)
    return np.asarray(
        image.rotate(TURN_DEGREES, Image.Resampling.BICUBIC, expand=True, fillcolor=int(_paper(pixels_HW)))
    )


def on_grey_paper(pixels_HW: Pixels) -> Pixels:
    """Darken a line's paper and give it grain."""
    grain_HW = np.random.default_rng(0).normal(0, GRAIN, pixels_HW.shape)
    grey_HW: Pixels = (pixels_HW * GREYED + grain_HW).round().clip(0, 255).astype(np.uint8)
    return grey_HW


def is_accented(character: str) -> bool:
    """Tell whether a letter carries an accent, a cedilla or the like."""
    return any(unicodedata.combining(part) for part in unicodedata.normalize("NFD", character))


def _paper(pixels_HW: Pixels) -> np.uint8:
    return np.percentile(pixels_HW, PAPER_PERCENTILE).astype(np.uint8)


BEHAVIOURS: Mapping[str, Callable[[Pixels], Pixels]] = MappingProxyType(
    {"shifted": shifted, "thickened": thickened, "rotated": rotated, "on_grey_paper": on_grey_paper}
)
MINIMUM_SETS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {"digits": str.isdecimal, "accents": is_accented, "capitals": str.isupper}
)
