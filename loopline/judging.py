"""From counted errors to a verdict: metrics of a split, their intervals, and the requirements held against them."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from loopline.contracts import Finding, Metrics, PackagedModel, Requirement, Requirements, Verdict
from loopline.errors import ConfigError

Tally = dict[str, tuple[float, float]]  # metric: (numerator, denominator) of one line
Interval = tuple[float, float]
Sums = npt.NDArray[np.float64]

RESAMPLES = 2000  # enough for the second digit of a 95 % bound
LEAST_GROUPS = 10  # fewer clusters than this make a bootstrap over clusters meaningless; lines are drawn instead
SEED = 95
FIGURES = ("beats_baseline", "latency_ms", "size_mb", "train_minutes", "cost")  # that `measure` adds to the metrics


def totals(tallies: Sequence[Tally]) -> Metrics:
    """Return each metric of a split: all numerators over all denominators."""
    return {
        name: sum(tally[name][0] for tally in tallies) / max(sum(tally[name][1] for tally in tallies), 1)
        for name in tallies[0]
    }


def interval_95(tallies: Sequence[Tally], groups: Sequence[str]) -> dict[str, Interval]:
    """Return percentile bootstrap intervals (Efron 1979) over whole groups: a writer's lines are not independent."""
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
    """Hold every bound against what was measured on the package, and the package against the champion."""
    measured = measure(packaged, price_per_hour=requirements.price_per_hour, higher_is_better=higher_is_better)
    findings = [_finding(bound, measured[bound.metric]) for bound in requirements.bounds]
    report = packaged.report
    if report.champion and report.difference_95:
        first = next(iter(report.metrics))
        low, high = report.difference_95[first]
        findings.append(
            Finding(
                requirement=f"{first} minus that of champion {report.champion.version}, best case",
                bound="at least 0" if first in higher_is_better else "at most 0",
                measured=high if first in higher_is_better else low,
                met=high >= 0 if first in higher_is_better else low <= 0,
            )
        )
    return Verdict(findings=tuple(findings))


def measure(packaged: PackagedModel, *, price_per_hour: float, higher_is_better: Collection[str]) -> Metrics:
    """Return every figure that a requirement may bound."""
    report, seconds = packaged.report, packaged.report.model.train_seconds
    first = next(iter(report.metrics))
    gain = report.metrics[first] - report.baseline_metrics[first]
    return report.metrics | {
        "beats_baseline": float(gain > 0 if first in higher_is_better else gain < 0),
        "latency_ms": packaged.latency_ms,
        "size_mb": packaged.size_bytes / 1e6,
        "train_minutes": seconds / 60,
        "cost": seconds / 3600 * price_per_hour,
    }


def check_bounds(requirements: Requirements, *, metrics: Collection[str]) -> None:
    """Raise ConfigError if a bound names an unknown metric or bounds nothing, before hours are spent on learning."""
    known = sorted({*metrics, *FIGURES})
    for bound in requirements.bounds:
        if bound.metric not in known:
            raise ConfigError(f"requirement {bound.metric!r} names no known metric; choose from: {', '.join(known)}")
        if bound.at_most is None and bound.at_least is None:
            raise ConfigError(f"requirement {bound.metric!r} has no bound; give at_most or at_least")


def verdict_table(verdict: Verdict) -> str:
    """Return the verdict as a Markdown table."""
    rows = [
        f"| {f.requirement} | {f.bound} | {f.measured:.4g} | {'yes' if f.met else '**no**'} |" for f in verdict.findings
    ]
    return "\n".join(["| requirement | bound | measured | met |", "| --- | --- | --- | --- |", *rows])


def _finding(bound: Requirement, value: float) -> Finding:
    texts = [f"at most {bound.at_most:g}"] if bound.at_most is not None else []
    texts += [f"at least {bound.at_least:g}"] if bound.at_least is not None else []
    met = (bound.at_most is None or value <= bound.at_most) and (bound.at_least is None or value >= bound.at_least)
    return Finding(requirement=bound.metric, bound=" and ".join(texts), measured=value, met=met)


def _units(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    names, units = np.unique(np.asarray(groups), return_inverse=True)
    return units if len(names) >= LEAST_GROUPS else np.arange(len(groups))


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
