"""The forms that one model's network takes, each made when it is asked for, and how each reads the test lines."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from loopline.clients.store import Store
from loopline.dataset import load_lines
from loopline.evaluation import Judgement, fetch_system, judge_lines
from loopline.footprint import measure
from loopline.judging import STATED_WIDTH_PX
from loopline.ledger import Judged
from loopline.mobile import Mobile, to_mobile
from loopline.packaging import calibration, export_onnx, judged_answers, unpack, with_network
from loopline.problems import Answer, Problem, Sample
from loopline.quantization import quantize
from loopline.scratch import private_folder
from loopline.serving import LANGUAGE, NETWORK, Predictor


class Forms:
    """A version of the registry: its package holds one network, its checkpoint gives the others.

    Any property may raise UnreachableError or AccessError for the store, IntegrityError for altered bytes there.
    """

    def __init__(self, store: Store, problem: Problem, judged: Judged, *, home: Path) -> None:
        self.store, self.problem, self.judged = store, problem, judged
        self.report = judged.packaged.report
        self.recipe = problem.make_recipe(self.report.model.recipe)
        self.npm_cache = home / "cache" / "npm"
        self._cache, self._scratch = home / "cache", home / "cache" / "export"
        self._judgements: dict[bytes, Judgement] = {}

    @cached_property
    def package(self) -> bytes:
        """The archive."""
        return self.store.read_artifact(self.judged.packaged.archive)

    @cached_property
    def parts(self) -> dict[str, bytes]:
        """The package's files."""
        return unpack(self.package)

    @property
    def packaged(self) -> bytes:
        """The network that serves, in whole numbers where they lose nothing."""
        return self.parts[NETWORK]

    @cached_property
    def exact(self) -> bytes:
        """The network as it was trained."""
        if self.judged.packaged.weights == "float32":
            return self.packaged
        with private_folder(self._scratch) as folder:
            system = fetch_system(self.store, self.problem, model=self.report.model, folder=folder)
        return export_onnx(self.problem, self.recipe, system=system)

    @cached_property
    def whole(self) -> bytes:
        """The network in whole numbers."""
        if self.judged.packaged.weights == "int8":
            return self.packaged
        return quantize(self.exact, calibration(self.problem, self.recipe, val=self.lines["val"]))

    @cached_property
    def mobile(self) -> Mobile:
        """The network that serves, in ONNX Runtime's format for phones."""
        return to_mobile(self.packaged)

    @cached_property
    def lines(self) -> Mapping[str, Sequence[Sample]]:
        """The samples of each split."""
        return load_lines(self.store, self.report.model.dataset, cache=self._cache).splits

    @cached_property
    def trained_answers(self) -> list[Answer]:
        """What the trained model answered on the test lines when it was judged."""
        return judged_answers(self.store, self.report, samples=self.lines["test"])

    def judge(self, network: bytes) -> Judgement:
        """Read the test lines with one of the forms, as a package around it reads them."""
        if network not in self._judgements:
            reader = Predictor.open(with_network(self.package, network))
            self._judgements[network] = judge_lines(self.problem, reader, samples=self.lines["test"])
        return self._judgements[network]

    def latency_ms(self, network: bytes) -> float:
        """Median time of a line of the stated width, on one thread of this machine."""
        lines = (line.pixels() for line in self.lines["test"])
        with private_folder(self._scratch) as folder:
            found = measure(with_network(self.package, network), lines, folder=folder)
        return next(latency.p50_ms for latency in found.latencies if latency.width_px == STATED_WIDTH_PX)

    def about(self, network_name: str) -> bytes:
        """Return reader.json: what a device must know beside the network."""
        packaged = self.judged.packaged
        document: dict[str, Any] = {
            "problem": self.problem.name,
            "version": self.judged.version,
            "package": packaged.archive.sha256,
            "network": network_name,
            "vocabulary": list(self.report.model.dataset.vocabulary),
            "decoding": self.report.decoding.model_dump(exclude={"language"}),
            "language": LANGUAGE if LANGUAGE in self.parts else None,
            "facts": self.problem.device(self.recipe),
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
