"""A store, a registry and a dataset of sample lines, on which models that never learnt are judged and packaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from registries import PROBLEM, Place, make_place
from safetensors.torch import save_file

from loopline import contracts as c
from loopline.clients.store import Store
from loopline.dataset import freeze
from loopline.evaluation import evaluate_model
from loopline.intake import take_images
from loopline.labels import take_labels
from loopline.orders import SplitPlan
from loopline.packaging import package
from loopline.problems import load_problem
from loopline.problems.handwriting.samples import write_samples
from loopline.settings import StoreSettings

HANDWRITING = load_problem(PROBLEM)
COUNTS = {"train": 12, "validation": 12, "test": 40}
TINY = HANDWRITING.make_recipe({"channels": 8, "hidden": 32, "layers": 1})
FLOOR = c.Baseline(name="none", metrics={"cer": 1.0, "wer": 1.0, "line_accuracy": 0.0})
LOUDNESS = 40  # of the last layer: random weights that are sure of themselves read long texts
SWIFT = c.Footprint(latencies=(c.Latency(width_px=1024, p50_ms=8, p95_ms=9, p99_ms=10),), peak_memory_mb=200)


@dataclass(frozen=True)
class Bench:
    """A store, a registry and a dataset of sample lines."""

    place: Place
    store: Store
    dataset: c.DatasetVersion

    def model(self, answer: str, *, vocabulary: Sequence[str] = ()) -> c.TrainedModel:
        """A model that reads the same on every line: one character, or nothing."""
        dataset = self.dataset.model_copy(update={"vocabulary": tuple(vocabulary) or self.dataset.vocabulary})
        torch.manual_seed(0)
        weights = HANDWRITING.system(TINY, dataset.vocabulary).state_dict()
        head = next(name for name in weights if name.endswith("head.weight")).removesuffix("weight")
        weights[f"{head}weight"].zero_()
        weights[f"{head}bias"].zero_()[1 + dataset.vocabulary.index(answer) if answer else 0] = 20.0
        return self._model(f"{answer or 'blank'}-{len(dataset.vocabulary)}", weights, dataset=dataset)

    def loud_model(self) -> c.TrainedModel:
        """A model that reads other nonsense on every line."""
        torch.manual_seed(3)
        weights = HANDWRITING.system(TINY, self.dataset.vocabulary).state_dict()
        weights["reader.head.weight"] *= LOUDNESS
        return self._model("loud", weights, dataset=self.dataset)

    def _model(self, name: str, weights: Mapping[str, torch.Tensor], *, dataset: c.DatasetVersion) -> c.TrainedModel:
        path = self.place.folder / f"{name}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
        return c.TrainedModel(
            dataset=dataset,
            recipe=TINY.model_dump(),
            seed=1,
            checkpoint=self.store.put(path, f"runs/{path.name}"),
            val_metrics={"val_cer": 1.0},
            epochs=1,
            curve=self.store.put(b'{"epoch": 1}', "runs/curve.jsonl"),
            run="runs/any",
            train_seconds=1,
            device="cpu",
        )

    def judge(self, model: c.TrainedModel, *, beside: c.Opponent | None = None) -> c.EvaluationReport:
        folder, cache = self.place.folder, self.place.home / "cache"
        return evaluate_model(
            self.store, HANDWRITING, model=model, floor=FLOOR, opponent=beside, folder=folder, cache=cache
        )

    def package(self, report: c.EvaluationReport) -> c.PackagedModel:
        folder, cache = self.place.folder, self.place.home / "cache"
        made = package(self.store, HANDWRITING, report=report, folder=folder, cache=cache)
        archive = self.store.put(made.archive, f"packages/{made.sha256}.zip")
        return c.PackagedModel(
            report=report,
            archive=archive,
            onnx=archive,
            bento_tag="any:1",
            size_bytes=archive.size_bytes,
            weights=made.weights,
            metrics=made.judged.metrics,
            interval_95=made.judged.intervals,
            latency_ms=8,
            footprint=SWIFT,
        )


def make_bench(server: StoreSettings, folder: Path, *, counts: Mapping[str, int] = COUNTS) -> Bench:
    place = make_place(server, folder)
    place.home.mkdir()
    store, lines = Store(place.store), place.folder / "lines"
    write_samples(lines, counts=counts)
    files = [path for path in lines.rglob("*") if path.is_file()]
    store.upload_all({f"inbox/lines/{path.relative_to(lines)}": path for path in files})
    raw = take_images(store, PROBLEM, "inbox/lines")
    labeled = take_labels(store, raw, labels="labels.json", normalise=HANDWRITING.normalise_label)
    plan = SplitPlan()
    return Bench(
        place,
        store,
        freeze(store, place.registry, problem=HANDWRITING, labeled=labeled, split=plan, folder=place.folder),
    )
