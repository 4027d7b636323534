"""A package of a reader that never learnt: its answers are nonsense, and always the same."""

from functools import cache

import report_samples
import torch

from loopline.contracts import Decoding
from loopline.packaging import export_onnx, pack
from loopline.problems import load_problem

PROBLEM = load_problem("handwriting")
RECIPE = PROBLEM.make_recipe({"channels": 8, "hidden": 32, "layers": 1})
VOCABULARY = tuple("0123456789")


@cache
def network() -> bytes:
    torch.manual_seed(1)
    return export_onnx(PROBLEM, RECIPE, system=PROBLEM.system(RECIPE, VOCABULARY))


def package(decoding: Decoding | None = None, *, language: bytes | None = None, onnx: bytes = b"") -> bytes:
    report = report_samples.report(
        model=report_samples.model(recipe=RECIPE.model_dump()), decoding=decoding or Decoding()
    )
    return pack(PROBLEM, onnx or network(), report=report, details=report_samples.EMPTY, language=language)
