"""A trained model as one archive that answers anywhere: network, alphabet, preprocessing, lineage and card.

The archive's bytes follow from the model alone: no dates, no paths, no addresses. Its digest is the package's name.
"""

import hashlib
import io
import json
import time
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loopline.clients.store import Store
from loopline.contracts import Contract, EvaluationReport, Scalar
from loopline.dataset import load_lines
from loopline.errors import IntegrityError
from loopline.evaluation import fetch_system, summary
from loopline.manifest import read_manifest
from loopline.problems import Answer, Pixels, Problem
from loopline.serving import Predictor

OPSET = 17  # the newest that the exporter writes without decomposing an LSTM
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold
LATENCY_LINE_PX = (64, 1024)  # height, width of the line that latency is stated for
LATENCY_WARM_UPS, LATENCY_RUNS = 3, 20
LARGEST_DRIFT = 1e-3  # of a confidence between torch and ONNX Runtime; their texts must be equal


@dataclass(frozen=True)
class Package:
    """A package's bytes, and what was measured on it."""

    archive: bytes
    network: bytes
    latency_ms: float

    @property
    def sha256(self) -> str:
        """Digest of the archive: the package's name."""
        return hashlib.sha256(self.archive).hexdigest()


def package(store: Store, problem: Problem, *, report: EvaluationReport, folder: Path, cache: Path) -> Package:
    """Pack a judged model, and check that the package answers on the test lines what the model answered."""
    model = report.model
    recipe = problem.make_recipe(model.recipe)
    trained = fetch_system(store, problem, model=model, folder=folder)
    archive, network = pack(problem, recipe, vocabulary=model.dataset.vocabulary, system=trained, report=report)
    predictor = Predictor.open(archive)
    samples = {sample.key: sample for sample in load_lines(store, model.dataset, cache=cache).splits["test"]}
    judged = read_manifest(store, report.worst).select(["key", "text", "confidence"]).to_pylist()
    check_parity(
        [Answer(line["text"], line["confidence"]) for line in judged],
        predictor.read([samples[line["key"]].pixels() for line in judged]),
    )
    return Package(archive, network, latency_ms(predictor))


def pack(
    problem: Problem, recipe: Any, *, vocabulary: Sequence[str], system: Any, report: EvaluationReport
) -> tuple[bytes, bytes]:
    """Return the archive with everything that an answer needs, and the network in it."""
    network = export_onnx(problem, recipe, system=system)
    facts = {"problem": problem.name, "recipe": recipe.model_dump(), "vocabulary": list(vocabulary)}
    files = {
        "model.json": _json(facts),
        "model.onnx": network,
        "lineage.json": _json(lineage(report)),
        "CARD.md": card(report).encode(),
    }
    return _zip(files), network


def export_onnx(problem: Problem, recipe: Any, *, system: Any) -> bytes:
    """Return the network as one ONNX file with free batch size and width, without a trace of where it was made."""
    import onnx
    import torch

    height, width = LATENCY_LINE_PX
    blank = np.full((height, width), 255, dtype=np.uint8)
    fed = problem.inputs([blank, blank[:, : width // 2]], recipe)
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        # It warns that an LSTM may not hold for other batch sizes; check_parity reads batches of other sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            system.eval().cpu(),
            tuple(torch.from_numpy(array) for array in fed.values()),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(fed),
            output_names=["log_probs"],
            dynamic_axes={name: _free_axes(array) for name, array in fed.items()} | {"log_probs": {0: "B", 1: "T"}},
        )
    model = onnx.load_from_string(buffer.getvalue())
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _free_axes(array: npt.NDArray[Any]) -> dict[int, str]:
    return {0: "B"} | ({array.ndim - 1: "W"} if array.ndim > 1 else {})


def check_parity(ours: Sequence[Answer], packaged: Sequence[Answer]) -> None:
    """Raise IntegrityError unless the package answers what the trained model answered on the same lines."""
    for number, (left, right) in enumerate(zip(ours, packaged, strict=True)):
        if left.text != right.text or abs(left.confidence - right.confidence) > LARGEST_DRIFT:
            raise IntegrityError(
                f"line {number}: the model reads {left.text!r} ({left.confidence:.4f}), its package {right.text!r} "
                f"({right.confidence:.4f}); the export changed the model, so it is not published"
            )


def latency_ms(predictor: Predictor) -> float:
    """Return the median time of one 64x1024 line, preprocessing and decoding included, on one CPU thread."""
    line: Pixels = np.random.default_rng(0).integers(0, 255, LATENCY_LINE_PX, dtype=np.uint8)
    seconds = []
    for _ in range(LATENCY_WARM_UPS + LATENCY_RUNS):
        start = time.perf_counter()
        predictor.read([line])
        seconds.append(time.perf_counter() - start)
    return round(float(np.median(seconds[LATENCY_WARM_UPS:])) * 1000, 3)


def lineage(contract: Contract) -> dict[str, Any]:
    """Return a contract and its ancestors as one document of the fields that count."""

    def document(value: Any) -> Any:
        if isinstance(value, Contract):
            fields = {name: document(getattr(value, name)) for name in value.identity()}
            return {"type": type(value).__name__, "digest": value.digest, **fields}
        if isinstance(value, tuple):
            return [document(item) for item in value]
        return value

    found: dict[str, Any] = document(contract)
    return found


def card(report: EvaluationReport) -> str:
    """Return the model card, as Markdown."""
    model, dataset = report.model, report.model.dataset
    return "\n".join(
        [
            f"# {dataset.problem}",
            "",
            f"Trained on {dataset.split_sizes['train']} lines, best of {model.epochs} epochs by validation; "
            f"judged on {report.sample_count} {report.split} lines it had never seen.",
            "",
            summary(report),
            "",
            f"It spells {len(dataset.vocabulary)} characters and no others: `{''.join(dataset.vocabulary)}`",
            "",
            f"Seed {model.seed}; recipe: {_recipe(model.recipe)}.",
            "",
            "Not for text that its training lines do not resemble: several lines in one image, print, other scripts.",
            "",
        ]
    )


def _recipe(recipe: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(recipe.items()))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1).encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return buffer.getvalue()
