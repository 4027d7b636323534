"""The one path from image to answer: evaluation, the service and guesses for annotators all go through it.

Needs no torch: what runs the network is handed in.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from loopline.contracts import Decoding
from loopline.errors import IntegrityError
from loopline.images import decode
from loopline.problems import Answer, Decode, Part, Pixels, Problem, load_problem

Fed = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Fed], npt.NDArray[np.float32]]
T = TypeVar("T")

BATCH_LINES = 16  # lines of similar width read together
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # the first that there is
NETWORK = "model.onnx"  # in a package, as the next one
LANGUAGE = "language.json"  # in a package whose decoder knows language


class Look(NamedTuple):
    """What a model reads on a line, and where the line lies among others, (D,): alike is near."""

    answer: Answer
    embedding: npt.NDArray[np.float32]


class Located(NamedTuple):
    """What a model reads on a line, and where on it."""

    answer: Answer
    parts: list[Part]


class Predictor:
    """A trained model that reads."""

    def __init__(
        self,
        problem: Problem,
        recipe: Any,
        *,
        vocabulary: Sequence[str],
        run: Run,
        decode: Decode | None = None,
        batch_lines: int = BATCH_LINES,
    ) -> None:
        self.problem, self.recipe, self.vocabulary, self.run = problem, recipe, tuple(vocabulary), run
        self.decode = decode or problem.decoder(problem.decodings()[0], vocabulary=self.vocabulary, language=None)
        self.batch_lines = batch_lines

    @classmethod
    def open(cls, package: Path | bytes, *, threads: int = 1) -> Self:
        """Open a package, whose digest the caller has checked; IntegrityError if parts are missing.

        It reads line by line: a network of whole numbers scales what an LSTM is given by the whole batch, and a line's
        answer must not depend on its neighbours.
        """
        try:
            with zipfile.ZipFile(package if isinstance(package, Path) else io.BytesIO(package)) as archive:
                facts, network = json.loads(archive.read("model.json")), archive.read(NETWORK)
                language = archive.read(LANGUAGE) if LANGUAGE in archive.namelist() else None
            problem, vocabulary = load_problem(facts["problem"]), facts["vocabulary"]
            decoding = Decoding.model_validate(facts["decoding"])
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise IntegrityError(f"this is no model package: {error}; fetch it from the registry again") from None
        return cls(
            problem,
            problem.make_recipe(facts["recipe"]),
            vocabulary=vocabulary,
            run=onnx_run(network, threads=threads),
            decode=problem.decoder(decoding, vocabulary=vocabulary, language=language),
            batch_lines=1,
        )

    def read_images(self, images: Sequence[bytes]) -> list[Answer]:
        """Read encoded pictures; DataError for one that can't be decoded."""
        return self.read([self.problem.preprocess(decode(image)) for image in images])

    def read(self, lines: Sequence[Pixels]) -> list[Answer]:
        """Read lines as shards hold them, in any number; answers come in the same order."""
        return self._each(lines, self._answers)

    def locate(self, lines: Sequence[Pixels]) -> list[Located]:
        """Read lines, and tell beside each answer where each of its parts was read."""
        return self._each(lines, self._located)

    def look(self, lines: Sequence[Pixels]) -> list[Look]:
        """Read lines, and tell beside each answer where the line lies among others."""
        return self._each(
            lines,
            lambda said, fed: list(map(Look, self._answers(said, fed), self.problem.embed(said, fed))),
        )

    def _answers(self, said: npt.NDArray[np.float32], fed: Fed) -> list[Answer]:
        return self.problem.answers(said, fed, decode=self.decode)

    def _located(self, said: npt.NDArray[np.float32], fed: Fed) -> list[Located]:
        return [
            Located(answer, self.problem.parts(line_TC, answer.text, vocabulary=self.vocabulary))
            for answer, line_TC in zip(self._answers(said, fed), self.problem.spans(said, fed), strict=True)
        ]

    def _each(self, lines: Sequence[Pixels], tell: Callable[[npt.NDArray[np.float32], Fed], list[T]]) -> list[T]:
        found: dict[int, T] = {}
        for chosen in batches(lines, self.batch_lines):
            fed = self.problem.inputs([lines[number] for number in chosen], self.recipe)
            found.update(zip(chosen, tell(self.run(fed), fed), strict=True))
        return [found[number] for number in range(len(lines))]


def batches(lines: Sequence[Pixels], batch_lines: int = BATCH_LINES) -> Iterator[list[int]]:
    """Yield the numbers of lines of similar width, to be read together."""
    order = sorted(range(len(lines)), key=lambda number: lines[number].shape[1] / lines[number].shape[0])
    for start in range(0, len(order), batch_lines):
        yield order[start : start + batch_lines]


def onnx_run(network: bytes, *, threads: int = 1) -> Run:
    """Return a function that runs an ONNX network, on a GPU where this ONNX Runtime was built for one.

    IntegrityError for bytes that are no network.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        there = set(ort.get_available_providers())
        session = ort.InferenceSession(network, options, providers=[one for one in PROVIDERS if one in there])
    except Exception as error:  # its own share no base
        raise IntegrityError(f"this is no network that ONNX Runtime can run: {str(error).splitlines()[0]}") from None
    return lambda fed: session.run(None, dict(fed))[0]


def system_run(system: Any) -> Run:
    """Return a function that runs a trained LightningModule on the device where it lies."""
    import torch

    def run(fed: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            tensors = [torch.from_numpy(array).to(system.device) for array in fed.values()]
            return system(*tensors).float().cpu().numpy()  # type: ignore[no-any-return]

    return run
