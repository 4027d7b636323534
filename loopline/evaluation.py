"""Judge a trained model on lines that it has never seen: metrics, intervals, slices, the champion beside it, a page."""

import io
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from loopline.clients.store import Store
from loopline.contracts import Baseline, EvaluationReport, Metrics, Opponent, Slice, TrainedModel
from loopline.dataset import load_lines
from loopline.judging import Interval, Tally, interval_95, paired_interval_95, totals
from loopline.manifest import write_manifest
from loopline.problems import Answer, Problem, Sample
from loopline.report import Findings, LineResult, render
from loopline.serving import Predictor, system_run

log = logging.getLogger(__name__)

LEAST_SLICE_LINES = 5  # fewer say nothing about a slice
LENGTH_SLICES = 3  # short, middle and long thirds


@dataclass(frozen=True)
class Judgement:
    """One model's answers on a split, counted."""

    samples: Sequence[Sample]
    answers: Sequence[Answer]
    tallies: Sequence[Tally]

    @property
    def metrics(self) -> Metrics:
        """Of the whole split."""
        return totals(self.tallies)

    @property
    def groups(self) -> list[str]:
        """The writer or document of each line; a line without one stands for itself."""
        return [sample.group or sample.image_sha256 for sample in self.samples]

    @property
    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of the metrics."""
        return interval_95(self.tallies, self.groups)

    def difference(self, champion: "Judgement") -> dict[str, Interval]:
        """95 % intervals of (this - champion) on the same lines."""
        return paired_interval_95(self.tallies, champion.tallies, groups=self.groups)

    def order(self) -> list[int]:
        """Line numbers, most edits first; among equals the surest mistake first."""
        name = next(iter(self.tallies[0]))
        return sorted(
            range(len(self.samples)),
            key=lambda n: (-self.tallies[n][name][0], -self.answers[n].confidence, self.samples[n].key),
        )


def evaluate_model(
    store: Store,
    problem: Problem,
    *,
    model: TrainedModel,
    floor: Baseline,
    opponent: Opponent | None,
    folder: Path,
    cache: Path,
) -> EvaluationReport:
    """Judge a model, and the champion beside it, on the test split; keep every answer and the page in the store."""
    lines = load_lines(store, model.dataset, cache=cache)
    samples = lines.splits["test"]
    trained = fetch_system(store, problem, model=model, folder=folder)
    recipe, vocabulary = problem.make_recipe(model.recipe), model.dataset.vocabulary
    ours = judge_lines(
        problem, Predictor(problem, recipe, vocabulary=vocabulary, run=system_run(trained)), samples=samples
    )
    theirs = None
    if opponent:
        theirs = judge_lines(problem, Predictor.open(store.read_artifact(opponent.archive)), samples=samples)
    curve = [json.loads(line) for line in store.read_artifact(model.curve).decode().splitlines()]
    html = page(
        model, ours, floor=floor, opponent=opponent, champion=theirs, curve=curve, rejected=lines.rejected
    ).encode()
    log.info("evaluate: %s", ", ".join(f"{name} {value:.4f}" for name, value in ours.metrics.items()))
    return EvaluationReport(
        model=model,
        split="test",
        sample_count=len(samples),
        metrics=ours.metrics,
        interval_95=ours.intervals,
        baseline_metrics=floor.metrics,
        champion=opponent,
        champion_metrics=theirs.metrics if theirs else None,
        difference_95=ours.difference(theirs) if theirs else None,
        slices=slices(ours),
        worst=write_manifest(store, lines_table(ours)),
        page=store.put(html, f"reports/{model.digest}.html"),
    )


def fetch_system(store: Store, problem: Problem, *, model: TrainedModel, folder: Path) -> Any:
    """Fetch a trained model's weights into a folder and return the system on the CPU, ready to read."""
    from loopline.learning import load_system

    weights = store.fetch(model.checkpoint, folder / "weights.safetensors")
    recipe = problem.make_recipe(model.recipe)
    return load_system(problem, recipe, vocabulary=model.dataset.vocabulary, weights=weights)


def summary(report: EvaluationReport) -> str:
    """Return the figures as a Markdown table."""
    rows = [
        f"| {name} | {value:.4f} | {report.interval_95[name][0]:.4f} to {report.interval_95[name][1]:.4f} "
        f"| {report.baseline_metrics[name]:.4f} |"
        for name, value in report.metrics.items()
    ]
    return "\n".join(["| metric | value | 95 % interval | baseline |", "| --- | --- | --- | --- |", *rows])


def judge_lines(problem: Problem, predictor: Predictor, *, samples: Sequence[Sample]) -> Judgement:
    """Read the lines and count the errors."""
    answers = predictor.read([sample.pixels() for sample in samples])
    return count(problem, samples, answers=answers)


def count(problem: Problem, samples: Sequence[Sample], *, answers: Sequence[Answer]) -> Judgement:
    """Count the errors of given answers."""
    tallies = [problem.tally(sample.label, answer.text) for sample, answer in zip(samples, answers, strict=True)]
    return Judgement(samples, answers, tallies)


def slices(judgement: Judgement) -> tuple[Slice, ...]:
    """Judge parts of the split apart: thirds by length, sources, groups; of at least five lines."""
    lengths = [len(sample.label) for sample in judgement.samples]
    bounds = np.quantile(lengths, np.linspace(0, 1, LENGTH_SLICES + 1)[1:-1])
    parts: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, sample in enumerate(judgement.samples):
        third = int(np.searchsorted(bounds, lengths[number]))
        parts["length", f"{third + 1} of {LENGTH_SLICES}"].append(number)
        for name, value in (("source", sample.source), ("group", sample.group)):
            if value:
                parts[name, value].append(number)
    return tuple(
        Slice(
            name=name,
            value=_length_range(lengths, numbers) if name == "length" else value,
            sample_count=len(numbers),
            metrics=totals([judgement.tallies[number] for number in numbers]),
        )
        for (name, value), numbers in sorted(parts.items())
        if len(numbers) >= LEAST_SLICE_LINES
    )


def _length_range(lengths: Sequence[int], numbers: Sequence[int]) -> str:
    chosen = [lengths[number] for number in numbers]
    shortest, longest = min(chosen), max(chosen)
    return f"{shortest} to {longest} characters" if shortest < longest else f"{longest} characters"


def lines_table(judgement: Judgement) -> pa.Table:
    """Return every line with its answer and counts, worst first."""
    rows = []
    for number in judgement.order():
        sample, answer = judgement.samples[number], judgement.answers[number]
        counts = {
            f"{name}_{part}": judgement.tallies[number][name][at]
            for name in judgement.tallies[number]
            for at, part in enumerate(("errors", "of"))
        }
        facts = {"image_sha256": sample.image_sha256, "key": sample.key, "group": sample.group, "source": sample.source}
        rows.append(facts | {"truth": sample.label, "text": answer.text, "confidence": answer.confidence} | counts)
    return pa.Table.from_pylist(rows)


def page(
    model: TrainedModel,
    judgement: Judgement,
    *,
    floor: Baseline,
    opponent: Opponent | None,
    champion: Judgement | None,
    curve: Sequence[Mapping[str, float]],
    rejected: Mapping[str, int],
) -> str:
    """Return the report as one HTML file."""
    findings = Findings(
        title=f"{model.dataset.problem}, trained on {model.dataset.name.rsplit('/', 1)[-1]}",
        problem=model.dataset.problem,
        dataset_name=model.dataset.name,
        recipe=model.recipe,
        seed=model.seed,
        epochs=model.epochs,
        device=model.device,
        train_seconds=model.train_seconds,
        sample_count=len(judgement.samples),
        metrics=judgement.metrics,
        interval_95=judgement.intervals,
        baseline_metrics=floor.metrics,
        baseline_name=floor.name,
        champion_version=opponent.version if opponent else None,
        champion_metrics=champion.metrics if champion else None,
        difference_95=judgement.difference(champion) if champion else None,
        slices=slices(judgement),
        val_metrics=model.val_metrics,
    )
    return render(
        findings, curve=curve, lines=[_line(judgement, number) for number in judgement.order()], rejected=rejected
    )


def _line(judgement: Judgement, number: int) -> LineResult:
    sample, answer = judgement.samples[number], judgement.answers[number]
    png = io.BytesIO()
    Image.fromarray(sample.pixels()).save(png, "PNG")
    return LineResult(
        key=sample.key,
        truth=sample.label,
        text=answer.text,
        confidence=answer.confidence,
        edit_count=int(next(iter(judgement.tallies[number].values()))[0]),
        group=sample.group,
        source=sample.source,
        image_png=png.getvalue(),
    )
