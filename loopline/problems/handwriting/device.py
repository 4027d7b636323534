"""What a device must know to read a line as we do; device.md tells what it does with these numbers."""

from loopline.contracts import Scalar
from loopline.problems.handwriting import decoding, lines, ngrams
from loopline.problems.handwriting.alphabet import BLANK
from loopline.problems.handwriting.recipe import Recipe


def device(recipe: Recipe) -> dict[str, Scalar]:
    """Return the numbers of preprocessing and decoding by their names in device.md."""
    return {
        "height_px": recipe.height_px,
        "shard_height_px": lines.SHARD_HEIGHT_PX,
        "paper_percentile": lines.PAPER_PERCENTILE,
        "ink_percentile": lines.INK_PERCENTILE,
        "least_contrast": lines.LEAST_CONTRAST,
        "width_step_px": lines.WIDTH_STEP_PX,
        "frame_px": lines.FRAME_PX,
        "blank": BLANK,
        "order": ngrams.ORDER,
        "rivalry": decoding.RIVALRY,
    }
