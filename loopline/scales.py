"""Figures on scales, each beside what it is held against."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from loopline.contracts import EvaluationReport, Finding, Latency, Slice
from loopline.details import Behaviour, MinimumSet
from loopline.measures import ADDED, bounds, find, label, shown, shown_bound, shown_difference

Interval = tuple[float, float]

MARGIN = 0.08  # of a scale, left free at its ends
NEAR_MARGIN = 0.4  # of an interval, so that a dot and its band are seen well
SLICE_COUNT = 12  # rows of a table of slices
ENDS = (1.5, 98.5)  # percent; a mark at the very edge would be cut


@dataclass(frozen=True)
class Track:
    """A figure's place on a scale, beside marks of (kind, value)."""

    key: str
    value: float
    interval: Interval | None
    scale: Interval
    marks: tuple[tuple[str, float], ...] = ()

    def place(self, value: float) -> float:
        """Return where on the scale a value lies, in percent; beyond it: at its end."""
        low, high = self.scale
        return min(max(100 * (value - low) / (high - low), ENDS[0]), ENDS[1])

    def is_on_scale(self, value: float) -> bool:
        """Tell whether a value lies within the scale."""
        return self.scale[0] <= value <= self.scale[1]


@dataclass(frozen=True)
class Check:
    """One requirement in words, and its figure on a scale that holds the bound."""

    name: str
    bound: str
    measured: str
    interval: str
    met: bool
    is_close: bool
    track: Track | None


@dataclass(frozen=True)
class SetTrack:
    """One minimum set on the scale of all of them."""

    found: MinimumSet
    track: Track


@dataclass(frozen=True)
class BehaviourTrack:
    """One behaviour with its share of unchanged answers, and by how much the metric rose, where it was measured."""

    found: Behaviour
    unchanged: Track
    added: str


def headline(report: EvaluationReport, key: str) -> Track:
    """Place a metric on a scale that shows its interval well, the champion on it too."""
    value, interval = report.metrics[key], report.interval_95.get(key)
    rivals = {"champion": report.champion_metrics or {}, "baseline": report.baseline_metrics}
    marks = tuple((kind, found[key]) for kind, found in rivals.items() if key in found)
    near = [value, *(interval or ()), *(mark for kind, mark in marks if kind == "champion")]
    margin = NEAR_MARGIN * (max(near) - min(near)) or 0.1 * abs(value) or 0.01
    return Track(key, value, interval, (min(near) - margin, max(near) + margin), marks)


def check(finding: Finding) -> Check:
    """Put a requirement in words. One that begins with a metric and goes on is a difference of that metric."""
    key, _, rest = finding.requirement.partition(" ")
    write = shown_difference if rest else shown
    interval = finding.interval_95
    return Check(
        name=f"{label(key)} {rest}".strip(),
        bound=finding.bound if rest else shown_bound(finding.bound, key),
        measured=write(finding.measured, key),
        interval=f"{write(interval[0], key)} to {write(interval[1], key)}" if interval else "",
        met=finding.met,
        is_close=interval is not None and any(interval[0] < bound < interval[1] for bound in bounds(finding.bound)),
        track=_held(finding, key),
    )


def set_tracks(sets: Sequence[MinimumSet], metric: str) -> list[SetTrack]:
    """Place every minimum set's metric on one common scale, so that they can be compared."""
    measured = [found for found in sets if metric in found.metrics]
    ends = [end for found in measured for end in (found.metrics[metric], *(found.interval_95 or ()))]
    scale = (0.0, max(ends, default=0.0) * (1 + MARGIN) or 1.0)
    return [SetTrack(found, Track(metric, found.metrics[metric], found.interval_95, scale)) for found in measured]


def behaviour_tracks(report: EvaluationReport, behaviours: Sequence[Behaviour]) -> list[BehaviourTrack]:
    """Place the behaviours' shares of unchanged answers on one common scale that ends at all of them."""
    metric = next(iter(report.metrics))
    tracks = [_unchanged(report, found) for found in behaviours if found.line_count]
    low = min([1.0, *(end for track in tracks for end in (track.value, *(track.interval or ())))])
    scale = (low - MARGIN * (1 - low), 1.0) if low < 1 else (0.0, 1.0)
    return [
        BehaviourTrack(found, replace(track, scale=scale), _added(report, f"{found.name}_{metric}{ADDED}"))
        for found, track in zip((found for found in behaviours if found.line_count), tracks, strict=True)
    ]


def _unchanged(report: EvaluationReport, found: Behaviour) -> Track:
    key = f"{found.name}_unchanged"
    return Track(key, found.unchanged_count / found.line_count, report.interval_95.get(key), (0.0, 1.0))


def _added(report: EvaluationReport, key: str) -> str:
    return shown(report.figures[key], key) if key in report.figures else ""


def latency_tracks(latencies: Sequence[Latency]) -> list[tuple[Latency, Track]]:
    """Place the latencies on one common scale from nothing, from the median to the slowest of 100 lines."""
    scale = (0.0, max((found.p99_ms for found in latencies), default=0.0) * (1 + MARGIN) or 1.0)
    return [(found, Track("latency_ms", found.p50_ms, (found.p50_ms, found.p99_ms), scale)) for found in latencies]


def slice_tables(slices: Sequence[Slice], metric: str) -> dict[str, list[Slice]]:
    """Sort the slices into one table per name, the worst first where there are more than SLICE_COUNT."""
    tables: defaultdict[str, list[Slice]] = defaultdict(list)
    for part in slices:
        tables[part.name].append(part)
    measure = find(metric)
    sign = -1 if measure and measure.lower_is_better else 1
    for parts in tables.values():
        if len(parts) > SLICE_COUNT:
            parts.sort(key=lambda part: sign * part.metrics.get(metric, 0.0))
    return dict(tables)


def _held(finding: Finding, key: str) -> Track | None:
    """Place a figure beside its bounds, on a scale from nothing; None where there is nothing to compare."""
    measure, marks = find(key), bounds(finding.bound)
    if not marks or (measure and measure.unit == "yes"):
        return None
    near = [0.0, finding.measured, *marks, *(finding.interval_95 or ())]
    margin = MARGIN * (max(near) - min(near)) or 1.0
    scale = (min(near) - (margin if min(near) < 0 else 0), max(near) + margin)
    return Track(key, finding.measured, finding.interval_95, scale, tuple(("bound", bound) for bound in marks))
