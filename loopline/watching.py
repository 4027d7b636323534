"""Whether a model in service still does what it was judged fit for: its traffic held against its test lines and bounds.

A bound on a share is crossed if the whole 95 % interval lies beyond it; one on a distance, if chance is no excuse
either (drift.py); what is crossed twice in a row is drifting.
"""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field, TypeAdapter
from scipy.stats import binomtest

from loopline.captures import PICTURE, place
from loopline.clients.store import Store
from loopline.contracts import HeldBack, ModelReady, Slice
from loopline.drift import ALPHA, adjusted, shift_of_characters, shift_of_places, shift_of_values
from loopline.errors import DataError
from loopline.event_contracts import ModelDrifting
from loopline.events import Fact, fact
from loopline.images import decode
from loopline.judging import LEAST_UNITS, interval_95, totals
from loopline.known_lines import Looks, fetched, known_looks, look_at
from loopline.orders import PROJECT, Requirement, WatchPlan
from loopline.problems import Problem
from loopline.serving import Predictor
from loopline.traffic_window import Window
from loopline.watch_contracts import AUDITED, CORRECTED, NUMBERS, Gauge, KnownLines, Quiet, Watched
from loopline.watch_truth import Truth

WIDTHS = 3  # narrow, middling and wide thirds, by the test lines
_SLICED = {"confidence": "confidence", "unsure_share": "unsure"}


def judge(
    store: Store,
    problem: Problem,
    *,
    window: Window,
    truth: Truth,
    known: KnownLines,
    model: ModelReady | HeldBack,
    plan: WatchPlan,
    before: Watched | None,
) -> Watched:
    """Look at a window of a model's traffic: at some of its pictures with the model, too."""
    names = window.answers["prediction_id"].to_pylist()[: plan.pictures]
    lines, predictor = known_looks(store, known), Predictor.open(store.read_artifact(model.packaged.archive))
    live = look_at(predictor, fetched(lambda name: _picture(store, name), names))
    found = [*_counted(window), *_told(problem, truth), *_drifts(window, lines, live)]
    bounds = {one.metric: one for one in (plan.requirements or problem.requirements()).watch}
    gauges = [_held(one, bounds.get(one.name), window=window, before=before) for one in found]
    return Watched(
        problem=problem.name,
        version=model.version,
        package_sha256=known.package_sha256,
        begin=window.begin,
        end=window.end,
        request_count=window.counts.requests,
        answer_count=window.counts.answers,
        unreadable_count=len(window.unreadable),
        missing_count=len(names) - live.table.num_rows,
        gauges=tuple(gauges),
        slices=_slices(window, lines),
        drifting=tuple(one.name for one in gauges if one.crossed and _was_crossed(one.name, before)),
    )


def drift_told(watched: Watched, model: ModelReady | HeldBack) -> Fact:
    """Return what there is to tell of a model that drifts: one fact for as long as it does without a break."""
    drifting = [one for one in watched.gauges if one.name in watched.drifting]
    since = min(one.since for one in drifting if one.since)
    labeled = model.packaged.report.model.dataset.labeled
    payload = ModelDrifting(
        problem=watched.problem,
        version=watched.version,
        package_sha256=watched.package_sha256,
        source=labeled.raw.source,
        labels=f"{PROJECT}{labeled.label_project}" if labeled.label_project else "labels.json",
        since=since,
        reasons=tuple(f"{one.name} is {one.value:.4g}, {one.bound} required" for one in drifting),
        figures={one.name: one.value for one in watched.gauges},
    )
    key, resource = f"{watched.package_sha256}/{since.isoformat()}", f"loopline.model.{watched.problem}"
    return fact("loopline.model.drifting", payload, key=key, resource=resource, name=watched.version)


def read_outcome(document: str) -> Watched | Quiet:
    """Read what a look came to."""
    adapter: TypeAdapter[Watched | Quiet] = TypeAdapter(Annotated[Watched | Quiet, Field(discriminator="outcome")])
    return adapter.validate_json(document)


def sentence(watched: Watched) -> str:
    """Say in a line what was found."""
    crossed = [f"{one.name} is {one.value:.4g}, {one.bound} required" for one in watched.gauges if one.crossed]
    drifting = f"; drifting: {', '.join(watched.drifting)}" if watched.drifting else ""
    return f"{watched.version}: {watched.answer_count} answers, {'; '.join(crossed) or 'all bounds are kept'}{drifting}"


def _counted(window: Window) -> Iterable[Gauge]:
    counts, seconds = window.counts, window.seconds
    yield Gauge(name="answers_per_hour", value=counts.answers / window.hours)
    if counts.requests:
        yield _share("failure_share", counts.failed, counts.requests)
        yield _share("refused_share", counts.refused, counts.requests)
    yield _share("unsure_share", counts.unsure, counts.answers)
    # Corrections may be of earlier windows' answers.
    yield _share("corrected_share", min(counts.corrections, counts.answers), counts.answers)
    if len(seconds):
        for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95)):
            yield Gauge(name=name, value=float(1000 * np.quantile(seconds, share)))


def _told(problem: Problem, truth: Truth) -> Iterable[Gauge]:
    for source, lines in ((CORRECTED, truth.corrected), (AUDITED, truth.audited)):
        if len(lines) < LEAST_UNITS:
            continue
        tallies = [problem.tally(problem.normalise_label(line.truth), line.text) for line in lines]
        intervals = interval_95(tallies, [str(number) for number in range(len(lines))])
        for name, value in totals(tallies).items():
            yield Gauge(name=f"{source}_{name}", value=value, interval_95=intervals[name])


def _drifts(window: Window, lines: Looks, live: Looks) -> Iterable[Gauge]:
    shifts = {
        name: shift_of_values(lines.numbers(column), window.of_answers(column)) for name, column in NUMBERS.items()
    }
    if live.table.num_rows >= LEAST_UNITS:
        shifts["characters"] = shift_of_characters(lines.texts, live.texts)
        shifts["embedding"] = shift_of_places(lines.places, live.places)
    p_values = adjusted(shifts)
    for name, shift in shifts.items():
        yield Gauge(name=f"drift_{name}", value=shift.distance, p_value=p_values[name])


def _share(name: str, count: int, total: int) -> Gauge:
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return Gauge(name=name, value=count / total, interval_95=(float(interval.low), float(interval.high)))


def _held(gauge: Gauge, bound: Requirement | None, *, window: Window, before: Watched | None) -> Gauge:
    """Hold a gauge against its bound, and against the window before."""
    if bound is None:
        return gauge
    low, high = gauge.interval_95 or (gauge.value, gauge.value)
    over = bound.at_most is not None and low > bound.at_most
    under = bound.at_least is not None and high < bound.at_least
    crossed = (over or under) and (gauge.p_value is None or gauge.p_value < ALPHA)
    earlier = before.gauge(gauge.name) if before else None
    since = (earlier and earlier.since) or window.begin
    return gauge.model_copy(update={"bound": bound.sentence, "crossed": crossed, "since": since if crossed else None})


def _was_crossed(name: str, before: Watched | None) -> bool:
    gauge = before.gauge(name) if before else None
    return gauge is not None and gauge.crossed


def _slices(window: Window, lines: Looks) -> tuple[Slice, ...]:
    """Judge narrow, middling and wide pictures apart."""
    bounds = np.quantile(lines.numbers("width_px"), np.linspace(0, 1, WIDTHS + 1)[1:-1])
    widths, third = window.of_answers("width_px"), np.searchsorted(bounds, window.of_answers("width_px"))
    parts = []
    for number in range(WIDTHS):
        chosen = third == number
        if chosen.sum() >= LEAST_UNITS:
            value = f"{widths[chosen].min():.0f} to {widths[chosen].max():.0f} px"
            metrics = {name: float(window.of_answers(column)[chosen].mean()) for name, column in _SLICED.items()}
            parts.append(Slice(name="width", value=value, sample_count=int(chosen.sum()), metrics=metrics))
    return tuple(parts)


def _picture(store: Store, name: str) -> Image.Image | None:
    try:
        return decode(store.read(place(name, PICTURE)))
    except DataError:
        return None
