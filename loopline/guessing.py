"""What the champion makes of images that nobody has labelled yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopline.clients.store import Store, in_parallel
from loopline.images import decode
from loopline.problems import Pixels, Problem
from loopline.serving import Look, Predictor

READ_CHUNK = 256  # images in memory at once


@dataclass(frozen=True)
class Guesser:
    """The champion, and the version it goes by."""

    store: Store
    problem: Problem
    version: str
    predictor: Predictor

    def look(self, images: Sequence[str], *, elsewhere: Mapping[str, str] | None = None) -> dict[str, Look]:
        """Read images of the store, named by their sha256, where `elsewhere` does not say where one lies."""
        keys = {image: f"blobs/{image}" for image in images} | dict(elsewhere or {})
        found: dict[str, Look] = {}
        for start in range(0, len(images), READ_CHUNK):
            some = images[start : start + READ_CHUNK]
            lines = list(in_parallel(self._pixels, [keys[image] for image in some], title="offer: read"))
            found.update(zip(some, self.predictor.look(lines), strict=True))
        return found

    def prediction(self, look: Look) -> dict[str, Any]:
        """Return what was read as Label Studio takes it."""
        answer = look.answer
        result = self.problem.write_label(answer.text)
        return {"model_version": self.version, "score": answer.confidence, "result": result}

    def _pixels(self, key: str) -> Pixels:
        return self.problem.preprocess(decode(self.store.read(key)))
