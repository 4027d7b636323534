"""The page about a model in service: its newest window held against the bounds, and all windows over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from loopline.clients.store import Store
from loopline.contracts import Artifact
from loopline.measures import label, shown, shown_bound, unit
from loopline.painting import ACCENT, MUTED, RIVAL, Drawing, blank, legend, plain_text, style, write_unit
from loopline.templates import environment
from loopline.watch_contracts import AUDITED, CORRECTED, DRIFTS, Gauge, Watched
from loopline.watch_records import page_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHELVES = {  # what is drawn together, and the gauges of each drawing
    "Traffic": (("answers_per_hour",), ("failure_share", "refused_share"), ("p50_ms", "p95_ms")),
    "Answers": (("unsure_share", "corrected_share"), ("drift_confidence",), ("drift_characters",)),
    "Pictures": (("drift_width",), ("drift_height",), ("drift_ink",), ("drift_contrast",), ("drift_embedding",)),
}
MARKER_COUNT = 40  # more windows than these are drawn without a dot for each
TICK_COUNT = 5  # at most


@dataclass(frozen=True)
class Held:
    """A gauge in words."""

    name: str
    value: str
    interval: str
    bound: str
    state: str
    is_bad: bool


def write_page(store: Store, windows: Sequence[Watched]) -> Artifact:
    """Render the page of a model's windows, oldest first, and store it at watch/<package>/page.html."""
    return store.put(render(windows).encode(), page_key(windows[-1].package_sha256))


def render(windows: Sequence[Watched]) -> str:
    """Return the page of one window or more, oldest first."""
    newest = windows[-1]
    return (
        environment()
        .get_template("watch_page.html.j2")
        .render(
            newest=newest,
            window_count=len(windows),
            since=windows[0].begin,
            held=[_held(one, newest) for one in newest.gauges],
            shelves={name: _drawings(windows, groups) for name, groups in _shelves(windows).items()},
        )
    )


def summary(found: Watched) -> str:
    """Return the newest window as a Markdown table."""
    rows = [_held(one, found) for one in found.gauges]
    head = f"{found.version}: {found.answer_count:,} answers, {found.begin:%Y-%m-%d %H:%M} to {found.end:%H:%M} UTC"
    table = [f"| {one.name} | {one.value} | {one.interval} | {one.bound} | {one.state} |" for one in rows]
    return "\n".join(
        [head, "", "| figure | value | 95 % interval | bound | |", "| --- | --- | --- | --- | --- |", *table]
    )


def _held(gauge: Gauge, found: Watched) -> Held:
    name = gauge.name
    state = "kept" if gauge.bound else ""
    if gauge.crossed and gauge.since:
        state = f"drifting since {gauge.since:%d %b, %H:%M}" if name in found.drifting else "crossed for the first time"
    interval = " to ".join(_shown(value, name) for value in gauge.interval_95) if gauge.interval_95 else ""
    bound = shown_bound(gauge.bound, name)
    return Held(_label(name), _shown(gauge.value, name), interval, bound, state, is_bad=gauge.crossed)


def _shown(value: float, name: str) -> str:
    return f"{value:.2f}" if name in DRIFTS else shown(value, name)


def _label(name: str) -> str:
    return f"Drift: {label(name).lower()}" if name in DRIFTS else label(name)


def _shelves(windows: Sequence[Watched]) -> dict[str, tuple[tuple[str, ...], ...]]:
    there = {one.name for window in windows for one in window.gauges}
    told = sorted(name for name in there if name.startswith((f"{CORRECTED}_", f"{AUDITED}_")))
    truths = tuple((name,) for name in told if name != "corrected_share")
    return SHELVES | ({"What turned out to be true": truths} if truths else {})


def _drawings(windows: Sequence[Watched], groups: Sequence[Sequence[str]]) -> list[Drawing]:
    found = [_drawing(windows, [name for name in group if any(w.gauge(name) for w in windows)]) for group in groups]
    return [one for one in found if one]


def _drawing(windows: Sequence[Watched], names: Sequence[str]) -> Drawing | None:
    if not names:
        return None
    with plain_text():
        figure, axes = blank()
        for name, colour in zip(names, (ACCENT, RIVAL), strict=False):
            points = [(window.end, gauge) for window in windows if (gauge := window.gauge(name))]
            _line(axes, points, name=label(name) if names[1:] else "measured", colour=colour)
        _date(axes)
        axes.set_ylim(bottom=0)
        write_unit(axes.yaxis, unit(names[0]))
        style(axes, x="end of the window, in UTC")
        legend(axes)
    newest = [gauge for name in names if (gauge := windows[-1].gauge(name))]
    told = [f"{label(one.name) if names[1:] else ''} {_shown(one.value, one.name)}{_beside(one)}" for one in newest]
    title = " and ".join([label(names[0]), *(label(name).lower() for name in names[1:])])
    return Drawing(title, f"Newest: {'; '.join(one.strip() for one in told)}.", figure)


def _beside(gauge: Gauge) -> str:
    return f", {shown_bound(gauge.bound, gauge.name)} asked for" if gauge.bound else ""


def _line(axes: "Axes", points: Sequence[tuple[datetime, Gauge]], *, name: str, colour: str) -> None:
    from matplotlib.dates import date2num

    times = [date2num(time) for time, _ in points]  # type: ignore[no-untyped-call]
    gauges = [gauge for _, gauge in points]
    size = 4 if len(points) <= MARKER_COUNT else 0
    values = [gauge.value for gauge in gauges]
    axes.plot(times, values, "o-", color=colour, linewidth=2, markersize=size, label=name, zorder=3)
    if all(gauge.interval_95 for gauge in gauges):
        low, high = zip(*(gauge.interval_95 for gauge in gauges if gauge.interval_95), strict=True)
        axes.fill_between(times, low, high, color=colour, alpha=0.18, linewidth=0)
    crossed = [(time, gauge.value) for time, gauge in zip(times, gauges, strict=True) if gauge.crossed]
    if crossed:
        axes.plot(*zip(*crossed, strict=True), "o", color=RIVAL, markersize=8, label="bound not kept", zorder=4)
    bounds = [float(part) for part in gauges[-1].bound.split() if part[0].isdigit()]
    for bound in bounds:
        if bound <= 3 * max(*values, 1e-9):  # a bound far off would press what happens against the axis
            axes.axhline(bound, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="bound")


def _date(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=TICK_COUNT)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
