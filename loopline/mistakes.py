"""What a model got right and wrong, line by line and character by character."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

from PIL import Image
from rapidfuzz.distance import Levenshtein

from loopline.problems import Pixels
from loopline.thumbnails import data_uri, thumbnail

RIGHT_COUNT = 6
HEAT_COUNT = 10  # characters along each side of the heat map

Confusions = Counter[tuple[str, str]]  # (character of the truth, character read instead); "" stands for none


@dataclass(frozen=True)
class LineResult:
    """One judged line: what stands there, what the model read, and how sure it was, from 0 to 1."""

    key: str
    truth: str
    text: str
    confidence: float
    edit_count: int
    group: str
    source: str
    pixels: Callable[[], Pixels]
    champion_text: str | None = None

    @cached_property
    def image(self) -> Image.Image:
        """The line as a page shows it."""
        return thumbnail(Image.fromarray(self.pixels()))

    @property
    def image_uri(self) -> str:
        """The image, within the page."""
        return data_uri(self.image)

    @property
    def image_png(self) -> bytes:
        """The image, for whoever shows it elsewhere."""
        body = BytesIO()
        self.image.save(body, "PNG")
        return body.getvalue()

    @property
    def alignment(self) -> list[tuple[str, str, str]]:
        """Truth and answer side by side."""
        return align(self.truth, self.text)


def align(truth: str, text: str) -> list[tuple[str, str, str]]:
    """Return two texts side by side, in pieces of (equal, replace, delete or insert; truth; text)."""
    return [
        (step.tag, truth[step.src_start : step.src_end], text[step.dest_start : step.dest_end])
        for step in Levenshtein.opcodes(truth, text)
    ]


def spread(lines: Sequence[LineResult]) -> list[LineResult]:
    """Choose a few lines that were read right, from the least to the most confident answer."""
    ranked = sorted((line for line in lines if not line.edit_count), key=lambda line: (line.confidence, line.key))
    count = min(RIGHT_COUNT, len(ranked))
    return [ranked[i * (len(ranked) - 1) // max(1, count - 1)] for i in range(count)]


def confusions(lines: Sequence[LineResult]) -> Confusions:
    """Count how often each character was read as another, lost or invented."""
    counts: Confusions = Counter()
    for line in lines:
        for tag, truth, text in line.alignment:
            if tag == "replace":
                counts.update(zip(truth, text, strict=True))
            elif tag != "equal":
                counts.update([(character, "") for character in truth] + [("", character) for character in text])
    return counts


def involved(confused: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the characters most often confused, in their own order, nothing last."""
    weights: Counter[str] = Counter()
    for pair, count in confused.items():
        weights.update({character: count for character in pair if character})
    top = sorted(weights, key=lambda character: (-weights[character], character))[:HEAT_COUNT]
    return [*sorted(top), ""] if top else []
