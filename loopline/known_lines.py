"""How a model looks at lines: those that it was judged on, and those that its users send, in the same words."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
from PIL import Image

from loopline.clients.store import Store, in_parallel
from loopline.contracts import HeldBack, ModelReady
from loopline.drift import Values
from loopline.errors import IntegrityError
from loopline.images import decode
from loopline.manifest import read_manifest, write_manifest
from loopline.serving import Predictor
from loopline.traffic import ink_and_contrast
from loopline.watch_contracts import NUMBERS, KnownLines

MOST_LINES = 1000  # of the test split: enough that what is compared with them is the rarer of the two
AT_ONCE = 16  # pictures in memory: the largest has 40 MB

_SCHEMA = pa.schema({name: pa.float64() for name in NUMBERS.values()}).append(pa.field("text", pa.string()))
_SCHEMA = _SCHEMA.append(pa.field("place", pa.list_(pa.float32())))


@dataclass(frozen=True)
class Looks:
    """Lines as a model sees them, one row each: numbers, what it reads, and where they lie among others."""

    table: pa.Table

    def numbers(self, name: str) -> Values:
        """Return a column of numbers, (N,)."""
        return np.asarray(self.table[name].to_numpy(), dtype=np.float64)

    @property
    def texts(self) -> list[str]:
        """What is read on each."""
        texts: list[str] = self.table["text"].to_pylist()
        return texts

    @property
    def places(self) -> Values:
        """Where each lies among others, (N, D)."""
        return np.array(self.table["place"].to_pylist(), dtype=np.float64)


def read_known_lines(store: Store, model: ModelReady | HeldBack) -> KnownLines:
    """Have a model read its test lines as its users' are read, from the pictures as they came in.

    IntegrityError for a picture that is not the one it was judged on.
    """
    packaged = model.packaged
    names = sorted(row["image_sha256"] for row in read_manifest(store, packaged.report.worst).to_pylist())[:MOST_LINES]

    def picture(name: str) -> Image.Image:
        data = store.read(f"blobs/{name}")
        if hashlib.sha256(data).hexdigest() != name:
            raise IntegrityError(f"{store.url(f'blobs/{name}')} was altered; bring it back from a copy of the bucket")
        return decode(data)

    found = look_at(Predictor.open(store.read_artifact(packaged.archive)), fetched(picture, names))
    return KnownLines(
        problem=model.problem,
        version=model.version,
        package_sha256=packaged.archive.sha256,
        lines=write_manifest(store, found.table),
        line_count=len(names),
    )


def known_looks(store: Store, known: KnownLines) -> Looks:
    """Return how a model reads its test lines."""
    return Looks(read_manifest(store, known.lines))


def fetched(read: Callable[[str], Image.Image | None], names: Sequence[str]) -> Iterator[Image.Image]:
    """Yield the pictures of these names, a few at a time; those of which there is none are left out."""
    for start in range(0, len(names), AT_ONCE):
        found = in_parallel(read, names[start : start + AT_ONCE], title="pictures")
        yield from (picture for picture in found if picture)


def look_at(predictor: Predictor, pictures: Iterable[Image.Image]) -> Looks:
    """Have a model look at pictures, as `decode` returns them."""
    waiting = iter(pictures)
    rows = [row for some in iter(lambda: list(islice(waiting, AT_ONCE)), []) for row in _rows(predictor, some)]
    return Looks(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _rows(predictor: Predictor, pictures: Sequence[Image.Image]) -> Iterator[dict[str, object]]:
    looks = predictor.look([predictor.problem.preprocess(image) for image in pictures])
    for image, look in zip(pictures, looks, strict=True):
        ink, contrast = ink_and_contrast(image)
        yield {
            "confidence": look.answer.confidence,
            "width_px": image.width,
            "height_px": image.height,
            "ink": ink,
            "contrast": contrast,
            "text": look.answer.text,
            "place": look.embedding,
        }
