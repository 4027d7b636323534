"""The one path from image to answer: evaluation, the service and guesses for annotators all go through it.

Needs no torch: what runs the network is handed in.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from loopline.errors import IntegrityError
from loopline.images import decode
from loopline.problems import Answer, Pixels, Problem, load_problem

Run = Callable[[Mapping[str, npt.NDArray[Any]]], npt.NDArray[np.float32]]

BATCH_LINES = 16  # lines of similar width read together


class Predictor:
    """A trained model that reads."""

    def __init__(self, problem: Problem, recipe: Any, *, vocabulary: Sequence[str], run: Run) -> None:
        self.problem, self.recipe, self.vocabulary, self.run = problem, recipe, tuple(vocabulary), run

    @classmethod
    def open(cls, package: Path | bytes, *, threads: int = 1) -> Self:
        """Open a package, whose digest the caller has checked; IntegrityError if parts are missing."""
        try:
            with zipfile.ZipFile(package if isinstance(package, Path) else io.BytesIO(package)) as archive:
                facts, network = json.loads(archive.read("model.json")), archive.read("model.onnx")
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise IntegrityError(f"this is no model package: {error}; fetch it from the registry again") from None
        problem = load_problem(facts["problem"])
        recipe = problem.make_recipe(facts["recipe"])
        return cls(problem, recipe, vocabulary=facts["vocabulary"], run=onnx_run(network, threads=threads))

    def read_images(self, images: Sequence[bytes]) -> list[Answer]:
        """Read encoded pictures; DataError for one that can't be decoded."""
        return self.read([self.problem.preprocess(decode(image)) for image in images])

    def read(self, lines: Sequence[Pixels]) -> list[Answer]:
        """Read lines as shards hold them, in any number; answers come in the same order."""
        order = sorted(range(len(lines)), key=lambda number: lines[number].shape[1] / lines[number].shape[0])
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), BATCH_LINES):
            chosen = order[start : start + BATCH_LINES]
            fed = self.problem.inputs([lines[number] for number in chosen], self.recipe)
            answers.update(
                zip(chosen, self.problem.answers(self.run(fed), fed, vocabulary=self.vocabulary), strict=True)
            )
        return [answers[number] for number in range(len(lines))]


def onnx_run(network: bytes, *, threads: int = 1) -> Run:
    """Return a function that runs an ONNX network on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    return lambda fed: session.run(None, dict(fed))[0]


def system_run(system: Any) -> Run:
    """Return a function that runs a trained LightningModule on the device where it lies."""
    import torch

    def run(fed: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            tensors = [torch.from_numpy(array).to(system.device) for array in fed.values()]
            return system(*tensors).float().cpu().numpy()  # type: ignore[no-any-return]

    return run
