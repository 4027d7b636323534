"""Judge a trained model on lines that it has never seen, and the champion beside it: metrics, intervals, probes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from loopline.behaving import Probe, figure_names, probe_behaviours, probe_minimum_sets
from loopline.calibration import abstention, calibration_error, reliability
from loopline.clients.store import Store
from loopline.contracts import (
    Baseline,
    Decoding,
    EvaluationReport,
    HeldBack,
    Metrics,
    ModelReady,
    Opponent,
    TrainedModel,
)
from loopline.dataset import load_lines
from loopline.decoding import Chosen, choose
from loopline.details import DecodingResult, Details
from loopline.errors import ConfigError, DataError, IntegrityError
from loopline.judging import (
    Interval,
    Tally,
    check_line_count,
    interval_95,
    paired_interval_95,
    totals,
)
from loopline.manifest import write_manifest
from loopline.problems import Answer, Problem, Sample
from loopline.serving import Predictor, system_run
from loopline.slicing import slices

log = logging.getLogger(__name__)

CALIBRATION_ERROR = "calibration_error"


@dataclass(frozen=True)
class Judgement:
    """One model's answers on a split, counted: all lines together, and some apart for each probe."""

    samples: Sequence[Sample]
    answers: Sequence[Answer]
    tallies: Sequence[Tally]
    probes: Sequence[Probe]

    @property
    def metrics(self) -> Metrics:
        """Of the whole split."""
        return totals(self.tallies)

    @property
    def figures(self) -> Metrics:
        """What the probes measured."""
        return {name: value for probe in self.probes for name, value in totals(probe.tallies).items()}

    @property
    def groups(self) -> list[str]:
        """The writer or document of each line; a line without one stands for itself."""
        return [sample.group or sample.image_sha256 for sample in self.samples]

    @property
    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of the metrics and of what the probes measured."""
        found = interval_95(self.tallies, self.groups)
        for probe in self.probes:
            found |= interval_95(probe.tallies, self._groups_of(probe))
        return found

    def difference(self, champion: "Judgement") -> dict[str, Interval]:
        """95 % intervals of (this - champion) on the same lines, of the metrics and of the probes that both have."""
        found = paired_interval_95(self.tallies, champion.tallies, groups=self.groups)
        theirs = {probe.name: probe.tallies for probe in champion.probes}
        for probe in self.probes:
            if probe.name in theirs:
                groups = self._groups_of(probe)
                found |= paired_interval_95(probe.tallies, theirs[probe.name], groups=groups)
        return found

    def order(self) -> list[int]:
        """Line numbers, most edits first; among equals the surest mistake first."""
        name = next(iter(self.tallies[0]))
        return sorted(
            range(len(self.samples)),
            key=lambda n: (-self.tallies[n][name][0], -self.answers[n].confidence, self.samples[n].key),
        )

    def _groups_of(self, probe: Probe) -> list[str]:
        groups = self.groups
        return [groups[number] for number in probe.numbers]


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
    """Judge a model, and the champion beside it, on the test split; keep every answer and all details in the store.

    How answers are decoded is chosen on the validation lines. Raises DataError for too few test lines, IntegrityError
    for a champion that can't be opened.
    """
    champion = open_champion(store, opponent, problem=problem) if opponent else None
    lines = load_lines(store, model.dataset, cache=cache).splits
    system = fetch_system(store, problem, model=model, folder=folder)
    ours, chosen = judge_model(problem, model, system=system, lines=lines)
    theirs = judge_lines(problem, champion, samples=lines["test"]) if champion else None
    details = detail(problem, ours, decodings=chosen.results)
    log.info("evaluate: %s", ", ".join(f"{name} {value:.4f}" for name, value in ours.metrics.items()))
    return EvaluationReport(
        model=model,
        split="test",
        sample_count=len(ours.samples),
        metrics=ours.metrics,
        interval_95=ours.intervals,
        baseline_metrics=floor.metrics,
        baseline_name=floor.name,
        champion=opponent,
        champion_metrics=theirs.metrics | theirs.figures if theirs else None,
        difference_95=ours.difference(theirs) if theirs else None,
        slices=slices(ours.samples, ours.tallies),
        decoding=_kept(store, chosen),
        figures={CALIBRATION_ERROR: calibration_error(details.reliability), **ours.figures},
        worst=write_manifest(store, lines_table(ours, champion=theirs)),
        details=store.publish(details.model_dump_json().encode(), "details", suffix=".json"),
    )


def judge_model(
    problem: Problem, model: TrainedModel, *, system: Any, lines: Mapping[str, Sequence[Sample]]
) -> tuple[Judgement, Chosen]:
    """Choose how to decode on the validation lines, then read the test lines, as they are and changed."""
    recipe, vocabulary, run = problem.make_recipe(model.recipe), model.dataset.vocabulary, system_run(system)
    chosen = choose(problem, recipe, vocabulary=vocabulary, run=run, train=lines["train"], val=lines["val"])
    reader = Predictor(problem, recipe, vocabulary=vocabulary, run=run, decode=chosen.decode)
    found = judge_lines(problem, reader, samples=lines["test"])
    behaviours = probe_behaviours(problem, reader.read, samples=found.samples, answers=found.answers)
    return replace(found, probes=(*behaviours, *found.probes)), chosen


def measurable(problem: Problem) -> list[str]:
    """Name the figures that an evaluation adds to the problem's metrics."""
    return [CALIBRATION_ERROR, *figure_names(problem)]


def opponent_of(champion: ModelReady | HeldBack) -> Opponent:
    """Return a model of the registry as others are judged against it."""
    return Opponent(version=champion.version, archive=champion.packaged.archive)


def open_champion(store: Store, opponent: Opponent, *, problem: Problem) -> Predictor:
    """Return the champion, ready to read; IntegrityError if its package is gone, altered or too old."""
    try:
        return Predictor.open(store.read_artifact(opponent.archive))
    except (ConfigError, DataError, IntegrityError) as error:
        name, version = problem.name, opponent.version
        raise IntegrityError(
            f"champion {version} can't be opened, so no model can be judged beside it "
            f"({str(error).partition(';')[0]}); bring its package back, which is models/{name}/package.zip of tag "
            f"{name}@{version} in the registry, or let it go: gto deprecate {name} {version} champion"
        ) from error


def fetch_system(store: Store, problem: Problem, *, model: TrainedModel, folder: Path) -> Any:
    """Fetch a trained model's weights into a folder and return the system on the CPU, ready to read."""
    from loopline.learning import load_system

    weights = store.fetch(model.checkpoint, folder / "weights.safetensors")
    recipe = problem.make_recipe(model.recipe)
    return load_system(problem, recipe, vocabulary=model.dataset.vocabulary, weights=weights)


def summary(report: EvaluationReport) -> str:
    """Return the figures as a Markdown table."""
    measured, beside = report.metrics | report.figures, report.champion_metrics or {}
    rows = [
        f"| {name} | {value:.4f} | {_range(report.interval_95.get(name))} | {_cell(report.baseline_metrics.get(name))} "
        f"| {_cell(beside.get(name))} | {_range((report.difference_95 or {}).get(name))} |"
        for name, value in measured.items()
    ]
    champion = f"champion {report.champion.version}" if report.champion else "champion"
    head = f"| figure | value | 95 % interval | baseline | {champion} | difference from it, 95 % interval |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])


def judge_lines(problem: Problem, predictor: Predictor, *, samples: Sequence[Sample]) -> Judgement:
    """Read the lines and count the errors."""
    return count(problem, samples, answers=predictor.read([sample.pixels() for sample in samples]))


def count(problem: Problem, samples: Sequence[Sample], *, answers: Sequence[Answer]) -> Judgement:
    """Count the errors of given answers; DataError for fewer lines than an interval needs."""
    check_line_count(len(samples))
    tallies = [problem.tally(sample.label, answer.text) for sample, answer in zip(samples, answers, strict=True)]
    return Judgement(samples, answers, tallies, probe_minimum_sets(problem, samples=samples, answers=answers))


def detail(problem: Problem, judgement: Judgement, *, decodings: tuple[DecodingResult, ...]) -> Details:
    """Gather what the page shows beyond the figures."""
    first = next(iter(judgement.tallies[0]))
    confidences = [answer.confidence for answer in judgement.answers]
    right = [answer.text == sample.label for sample, answer in zip(judgement.samples, judgement.answers, strict=True)]
    counts = [tally[first] for tally in judgement.tallies]
    intervals = judgement.intervals
    return Details(
        reliability=reliability(confidences, right),
        abstention=abstention(confidences, counts),
        behaviours=tuple(probe.behaviour for probe in judgement.probes if probe.name in problem.behaviours),
        minimum_sets=tuple(
            probe.minimum_set(intervals) for probe in judgement.probes if probe.name in problem.minimum_sets
        ),
        decodings=decodings,
    )


def lines_table(judgement: Judgement, *, champion: Judgement | None) -> pa.Table:
    """Return every line with its answer and counts, and with the champion's answer if there is one, worst first."""
    rows = []
    for number in judgement.order():
        sample, answer = judgement.samples[number], judgement.answers[number]
        row: dict[str, str | float] = {
            "image_sha256": sample.image_sha256,
            "key": sample.key,
            "group": sample.group,
            "source": sample.source,
        }
        row |= {"truth": sample.label, "text": answer.text, "confidence": answer.confidence}
        for name, (errors, out_of) in judgement.tallies[number].items():
            row |= {f"{name}_errors": errors, f"{name}_of": out_of}
        if champion:
            row["champion_text"] = champion.answers[number].text
        rows.append(row)
    return pa.Table.from_pylist(rows)


def _kept(store: Store, chosen: Chosen) -> Decoding:
    language = store.publish(chosen.language, "languages", suffix=".json") if chosen.language else None
    decoding: Decoding = chosen.decoding.model_copy(update={"language": language})
    return decoding


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
