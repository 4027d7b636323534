"""The simplest honest reader: the label of the training line whose thumbnail is nearest in pixels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from loopline.problems import Pixels, Sample
from loopline.problems.handwriting.lines import prepare
from loopline.problems.handwriting.recipe import Recipe

THUMBNAIL_PX = (64, 16)
MOST_LINES = 20_000  # of training lines kept: nearest neighbours cost grows with them, the answer hardly improves


def nearest_line(train: Sequence[Sample], unseen: Sequence[Sample]) -> list[str]:
    """Return a text for each unseen line."""
    known = train[:MOST_LINES]
    reader = KNeighborsClassifier(n_neighbors=1).fit(_thumbnails(known), range(len(known)))
    return [known[number].label for number in reader.predict(_thumbnails(unseen))]


def _thumbnails(samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
    return np.stack([_thumbnail(prepare(sample.pixels(), Recipe())) for sample in samples])


def _thumbnail(ink_HW: Pixels) -> npt.NDArray[np.float32]:
    return np.asarray(Image.fromarray(ink_HW).resize(THUMBNAIL_PX, Image.Resampling.BOX), dtype=np.float32).ravel()
