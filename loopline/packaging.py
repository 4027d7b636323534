"""A trained model as one archive that answers anywhere: network, alphabet, preprocessing, lineage and card.

Its bytes hold no dates, paths or addresses: the same kind of machine packs the same model into the same bytes. Their
digest is the package's name.
"""

import hashlib
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from loopline.card import card
from loopline.clients.store import Store
from loopline.contracts import Contract, EvaluationReport, Footprint
from loopline.dataset import load_lines
from loopline.details import Details
from loopline.errors import IntegrityError
from loopline.evaluation import Judgement, fetch_system, judge_lines
from loopline.footprint import measure
from loopline.judging import STATED_WIDTH_PX, paired_interval_95
from loopline.manifest import read_manifest
from loopline.problems import Answer, Problem, Sample
from loopline.quantization import quantize
from loopline.serving import LANGUAGE, NETWORK, Predictor

log = logging.getLogger(__name__)

OPSET = 17  # the newest that the exporter writes without decomposing an LSTM
CARD = "CARD.md"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold
EXAMPLE_LINE_PX = (64, 1024)  # height, width of the line that the exporter follows through the network
LARGEST_DRIFT = 1e-3  # of a confidence between torch and ONNX Runtime; their texts must be equal
CALIBRATION_LINES = 64  # 8 to 256 gave the same CER within 0.2 points; 64 take a second


@dataclass(frozen=True)
class Package:
    """A package's bytes, and what was measured on it."""

    archive: bytes
    network: bytes
    weights: Literal["float32", "int8"]
    judged: Judgement
    footprint: Footprint

    @property
    def sha256(self) -> str:
        """Digest of the archive: the package's name."""
        return hashlib.sha256(self.archive).hexdigest()

    @property
    def latency_ms(self) -> float:
        """Median time of a line of 64x1024 px."""
        return next(found.p50_ms for found in self.footprint.latencies if found.width_px == STATED_WIDTH_PX)


def package(store: Store, problem: Problem, *, report: EvaluationReport, folder: Path, cache: Path) -> Package:
    """Pack a judged model, and check that the package answers on the test lines what the model answered.

    The network goes in in whole numbers if that loses nothing (see `loses_nothing`).
    """
    recipe = problem.make_recipe(report.model.recipe)
    splits = load_lines(store, report.model.dataset, cache=cache).splits
    network = export_onnx(problem, recipe, system=fetch_system(store, problem, model=report.model, folder=folder))
    archived = partial(
        pack,
        problem,
        report=report,
        details=Details.model_validate_json(store.read_artifact(report.details)),
        language=store.read_artifact(report.decoding.language) if report.decoding.language else None,
    )
    exact = judge_lines(problem, Predictor.open(archived(network)), samples=splits["test"])
    check_parity(judged_answers(store, report, samples=splits["test"]), exact.answers)
    small = quantize(network, calibration(problem, recipe, val=splits["val"]))
    judged = judge_lines(problem, Predictor.open(archived(small)), samples=splits["test"])
    whole = loses_nothing(problem, exact, judged)
    archive = archived(small if whole else network)
    return Package(
        archive=archive,
        network=small if whole else network,
        weights="int8" if whole else "float32",
        judged=judged if whole else exact,
        footprint=measure(archive, (line.pixels() for line in splits["test"]), folder=folder),
    )


def pack(
    problem: Problem, network: bytes, *, report: EvaluationReport, details: Details, language: bytes | None
) -> bytes:
    """Return the archive with everything that an answer needs."""
    facts = {
        "problem": problem.name,
        "recipe": problem.make_recipe(report.model.recipe).model_dump(),
        "vocabulary": list(report.model.dataset.vocabulary),
        "decoding": report.decoding.model_dump(exclude={"language"}),
    }
    files = {
        "model.json": _json(facts),
        NETWORK: network,
        "lineage.json": _json(lineage(report)),
        CARD: card(report, details).encode(),
    }
    return _zip(files | ({LANGUAGE: language} if language else {}))


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return a package's files by their names."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        return {name: files.read(name) for name in files.namelist()}


def with_network(archive: bytes, network: bytes) -> bytes:
    """Return the same package around another network."""
    return _zip(unpack(archive) | {NETWORK: network})


def judged_answers(store: Store, report: EvaluationReport, *, samples: Sequence[Sample]) -> list[Answer]:
    """Return what the model answered on these lines when it was judged."""
    judged = read_manifest(store, report.worst).select(["key", "text", "confidence"]).to_pylist()
    answers = {line["key"]: Answer(line["text"], line["confidence"]) for line in judged}
    return [answers[sample.key] for sample in samples]


def calibration(problem: Problem, recipe: Any, *, val: Sequence[Sample]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield what the network is given for lines from all over the validation split, one at a time."""
    for number in np.linspace(0, len(val) - 1, min(CALIBRATION_LINES, len(val)), dtype=int):
        yield problem.inputs([val[number].pixels()], recipe)


def loses_nothing(problem: Problem, exact: Judgement, small: Judgement) -> bool:
    """Tell whether a network in whole numbers reads as well as the exact one, and say so in the log.

    It does if its loss, at the worse end of the paired 95 % interval of the first metric, stays within the exact
    one's own interval: nobody who reads the report could tell one from the other.
    """
    name = next(iter(exact.metrics))
    value, (lower, upper) = exact.metrics[name], exact.intervals[name]
    low, high = paired_interval_95(small.tallies, exact.tallies, groups=exact.groups)[name]
    kept = value + low >= lower if name in problem.higher_is_better else value + high <= upper
    log.info(
        "package: in whole numbers %s is %.4f instead of %.4f (difference %+.4f to %+.4f), so they are %s",
        *(name, small.metrics[name], value, low, high, "used" if kept else "not used"),
    )
    return kept


def export_onnx(problem: Problem, recipe: Any, *, system: Any) -> bytes:
    """Return the network as one ONNX file with free batch size and width, without a trace of where it was made."""
    import onnx
    import torch

    height, width = EXAMPLE_LINE_PX
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


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1).encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return buffer.getvalue()
