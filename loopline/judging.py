"""From counted errors to a verdict: metrics of a split, their intervals, and the requirements held against them."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from loopline.contracts import EvaluationReport, Finding, Metrics, PackagedModel, Verdict
from loopline.errors import ConfigError, DataError
from loopline.orders import Requirement, Requirements
from loopline.watch_contracts import AUDITED, CORRECTED, COUNTED, DRIFTS

Tally = dict[str, tuple[float, float]]  # metric: (numerator, denominator) of one line
Interval = tuple[float, float]
Sums = npt.NDArray[np.float64]

RESAMPLES = 2000  # enough for the second digit of a 95 % bound
LEAST_UNITS = 10  # lines, or groups of them: ten without an error still allow 26 % of errors (1 - 0.05 ** (1 / 10))
SEED = 95
STATED_WIDTH_PX = 1024  # of the line that latencies are bounded for, as PackagedModel.latency_ms is
RULE = "What was measured decides; where its interval reaches across the bound, other lines could decide otherwise."
FIGURES = (  # that `measure` adds to what an evaluation found
    "beats_baseline",
    "latency_ms",
    "latency_p99_ms",
    "memory_mb",
    "size_mb",
    "train_minutes",
    "cost",
)


def totals(tallies: Sequence[Tally]) -> Metrics:
    """Return each metric of a split: all numerators over all denominators."""
    return {
        name: sum(tally[name][0] for tally in tallies) / max(sum(tally[name][1] for tally in tallies), 1)
        for name in tallies[0]
    }


def interval_95(tallies: Sequence[Tally], groups: Sequence[str]) -> dict[str, Interval]:
    """Return percentile bootstrap intervals (Efron 1979) over whole groups: a writer's lines are not independent.

    With fewer groups than LEAST_UNITS, lines are drawn.
    """
    weights = _draws(units := _units(groups))
    return {name: _percentiles(_ratio(weights, _sums(tallies, name, units))) for name in tallies[0]}


def paired_interval_95(ours: Sequence[Tally], theirs: Sequence[Tally], *, groups: Sequence[str]) -> dict[str, Interval]:
    """Return the interval of (ours - theirs) on the same lines, drawing the same lines for both."""
    weights = _draws(units := _units(groups))
    return {
        name: _percentiles(_ratio(weights, _sums(ours, name, units)) - _ratio(weights, _sums(theirs, name, units)))
        for name in ours[0]
    }


def judge(packaged: PackagedModel, requirements: Requirements, *, higher_is_better: Collection[str]) -> Verdict:
    """Hold every bound against what was measured on the package, and the package against the champion.

    What was measured decides, also where its interval reaches across the bound. A challenger must measure at least as
    well as the champion on the same lines: the burden of proof is the newcomer's, and a tie goes to it. Raises
    ConfigError for a bound on what the test lines can't tell.
    """
    measured = measure(packaged, higher_is_better=higher_is_better)
    findings = [_finding(bound, measured, packaged=packaged) for bound in requirements.bounds]
    return Verdict(findings=(*findings, *_beside_champion(packaged.report, higher_is_better)))


def measure(packaged: PackagedModel, *, higher_is_better: Collection[str]) -> Metrics:
    """Return every figure that a requirement may bound, in ms, MB, minutes and your currency where they have a unit."""
    report = packaged.report
    first = next(iter(packaged.metrics))
    gain = packaged.metrics[first] - report.baseline_metrics[first]
    stated = next(found for found in packaged.footprint.latencies if found.width_px == STATED_WIDTH_PX)
    return {
        **report.figures,
        **packaged.metrics,
        "beats_baseline": float(gain > 0 if first in higher_is_better else gain < 0),
        "latency_ms": packaged.latency_ms,
        "latency_p99_ms": stated.p99_ms,
        "memory_mb": packaged.footprint.peak_memory_mb,
        "size_mb": packaged.size_bytes / 1e6,
        "train_minutes": report.model.train_seconds / 60,
        "cost": report.model.cost,
    }


def check_bounds(requirements: Requirements, *, metrics: Collection[str], figures: Collection[str]) -> None:
    """Raise ConfigError if a bound can't be met or bounds nothing known, before hours are spent on learning."""
    _check(requirements.bounds, known=(*sorted({*metrics, *FIGURES}), *sorted(figures)))
    check_watched_bounds(requirements, metrics=metrics)


def check_watched_bounds(requirements: Requirements, *, metrics: Collection[str]) -> None:
    """Raise ConfigError if a bound on a model's traffic can't be kept or bounds nothing known."""
    told = (f"{source}_{metric}" for source in (CORRECTED, AUDITED) for metric in metrics)
    _check(requirements.watch, known=(*COUNTED, *DRIFTS, *told))


def _check(bounds: Sequence[Requirement], *, known: Sequence[str]) -> None:
    for bound in bounds:
        if bound.metric not in known:
            raise ConfigError(f"requirement {bound.metric!r} names no known metric; choose from: {', '.join(known)}")
        if bound.at_most is None and bound.at_least is None:
            raise ConfigError(f"requirement {bound.metric!r} has no bound; give at_most or at_least")
        if bound.at_most is not None and bound.at_least is not None and bound.at_least > bound.at_most:
            raise ConfigError(f"requirement {bound.metric!r} wants {bound.sentence}, which nothing is; mend one")


def check_line_count(count: int) -> None:
    """Raise DataError if a test split is too small to judge with."""
    if count < LEAST_UNITS:
        raise DataError(
            f"the test split has {count} usable lines, too few for an interval; give it at least {LEAST_UNITS}, "
            "by more labelled lines, a larger test share or splits.json"
        )


def verdict_table(verdict: Verdict) -> str:
    """Return the verdict as a Markdown table, with the rule that it follows."""
    rows = [
        f"| {f.requirement} | {f.bound} | {f.measured:.4g} | {_interval_text(f)} | {'yes' if f.met else '**no**'} |"
        for f in verdict.findings
    ]
    head = ["| requirement | bound | measured | 95 % interval | met |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, "", RULE])


def _interval_text(finding: Finding) -> str:
    return "{:.4g} to {:.4g}".format(*finding.interval_95) if finding.interval_95 else ""


def _finding(bound: Requirement, measured: Metrics, *, packaged: PackagedModel) -> Finding:
    if bound.metric not in measured:
        raise ConfigError(
            f"requirement {bound.metric!r} can't be judged: fewer than {LEAST_UNITS} {packaged.report.split} lines "
            "have what it is about; add such lines there, or take it out of the requirements"
        )
    value = measured[bound.metric]
    met = (bound.at_most is None or value <= bound.at_most) and (bound.at_least is None or value >= bound.at_least)
    return Finding(
        requirement=bound.metric,
        bound=bound.sentence,
        measured=value,
        met=met,
        interval_95=(packaged.report.interval_95 | packaged.interval_95).get(bound.metric),
    )


def _beside_champion(report: EvaluationReport, higher_is_better: Collection[str]) -> list[Finding]:
    if not (report.champion and report.champion_metrics and report.difference_95):
        return []
    first = next(iter(report.metrics))
    difference = report.metrics[first] - report.champion_metrics[first]
    return [
        Finding(
            requirement=f"{first} minus that of champion {report.champion.version}, on the same lines",
            bound="at least 0" if first in higher_is_better else "at most 0",
            measured=difference,
            met=difference >= 0 if first in higher_is_better else difference <= 0,
            interval_95=report.difference_95[first],
        )
    ]


def _units(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    names, units = np.unique(np.asarray(groups), return_inverse=True)
    return units if len(names) >= LEAST_UNITS else np.arange(len(groups))


def _draws(units: npt.NDArray[np.int64]) -> Sums:
    count = int(units.max()) + 1
    return np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)


def _sums(tallies: Sequence[Tally], name: str, units: npt.NDArray[np.int64]) -> Sums:
    return np.stack([np.bincount(units, weights=[tally[name][part] for tally in tallies]) for part in (0, 1)])


def _ratio(weights: Sums, sums: Sums) -> Sums:
    return (weights @ sums[0]) / np.maximum(weights @ sums[1], 1)  # type: ignore[no-any-return]


def _percentiles(values: Sums) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
