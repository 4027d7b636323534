"""What a training run went through, and how sure a model is, as drawings."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from loopline.details import AbstentionPoint, ReliabilityBin
from loopline.measures import label, shown, unit
from loopline.painting import (
    ACCENT,
    MUTED,
    Drawing,
    blank,
    count_whole,
    legend,
    plain_text,
    scale,
    style,
    write_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKER_EPOCHS = 30  # more epochs than these are drawn without a dot for each
EDGE = 0.02  # of a share, left free beside the outermost point
ANSWERED_SHARE = 0.9  # what the abstention curve's caption speaks of
Z_95 = 1.96  # standard deviations of a normal distribution to each side that hold 95 %

Points = list[tuple[int, float]]  # epoch, value
Best = Callable[..., tuple[int, float]]  # max or min


def learning_curves(
    history: Sequence[Mapping[str, float]], metric: str, *, higher_is_better: bool = False
) -> list[Drawing]:
    """Draw the losses, and the metric, over the epochs. A row may hold its `epoch`, 1 being the first."""
    names = dict.fromkeys(name for row in history for name in row)
    losses = [name for name in names if name.endswith("loss")]
    scores = [name for name in names if metric and name.endswith(metric)]
    drawings = (
        _learning_curve(history, losses, title="Loss"),
        _learning_curve(history, scores, title=label(metric), metric=metric, best=max if higher_is_better else min),
    )
    return [drawing for drawing in drawings if drawing]


def reliability(bins: Sequence[ReliabilityBin], error: float | None) -> Drawing | None:
    """Draw how many lines are right against how sure the model was of them (a reliability diagram).

    After Guo et al. 2017, "On calibration of modern neural networks". Bars are Wilson's 95 % intervals (1927).
    """
    filled = [one for one in bins if one.line_count]
    if not filled:
        return None
    sure, right = [one.confidence for one in filled], [one.accuracy for one in filled]
    lows, highs = zip(*(_wilson(one.accuracy, one.line_count) for one in filled), strict=True)
    with plain_text():
        figure, axes = blank()
        axes.axline((1, 1), slope=1, color=MUTED, linestyle=(0, (3, 3)), linewidth=1.2)
        axes.vlines(sure, lows, highs, MUTED, linewidth=1.5)
        axes.plot(sure, right, "o-", color=ACCENT, linewidth=2, markersize=5, clip_on=False)
        axes.set_xlim(max(min(sure) - EDGE, 0), 1)
        axes.set_ylim(max(min(*sure, *lows) - EDGE, 0), 1 + EDGE / 2)
        write_unit(axes.xaxis, "%")
        write_unit(axes.yaxis, "%")
        style(axes, x="how sure it was", y="lines right")
    said = "" if error is None else f" Expected calibration error: {shown(error, 'calibration_error')}."
    caption = "On the dashed line, confidence is honest; below it, too high. Bars: 95\u202f% intervals." + said
    return Drawing("Can its confidence be trusted?", caption, figure)


def abstention(points: Sequence[AbstentionPoint], metric: str) -> Drawing | None:
    """Draw the metric of the lines that are answered, against their share, the surest first."""
    ranked = sorted(points, key=lambda point: point.answered_share)
    if len(ranked) < 2:
        return None
    with plain_text():
        figure, axes = blank()
        shares, values = [point.answered_share for point in ranked], [point.metric for point in ranked]
        axes.plot(shares, values, color=ACCENT, linewidth=2, clip_on=False)
        axes.set_ylim(bottom=0)
        axes.set_xlim(min(shares), 1)
        write_unit(axes.xaxis, "%")
        write_unit(axes.yaxis, unit(metric))
        style(axes, x="share of lines answered", y=label(metric).lower())
    near = min(ranked, key=lambda point: abs(point.answered_share - ANSWERED_SHARE))
    caption = (
        f"Answering only the surest {100 * near.answered_share:.0f}\u202f% of lines, those with a confidence of "
        f"{near.confidence:.3f} or more, leaves {shown(near.metric, metric)} instead of "
        f"{shown(ranked[-1].metric, metric)}."
    )
    return Drawing("What if it may leave a line to a person?", caption, figure)


def _learning_curve(
    history: Sequence[Mapping[str, float]],
    names: Sequence[str],
    *,
    title: str,
    metric: str = "",
    best: Best | None = None,
) -> Drawing | None:
    series = {_spoken(name): points for name in names if (points := _points(history, name))}
    if not series:
        return None
    captions = [f"{name} {_journey(points, metric)}" for name, points in series.items()]
    with plain_text():
        figure, axes = blank()
        for name, points in series.items():
            _draw_series(axes, name, points=points, is_main=name == "validation" or len(series) == 1)
        if best and "validation" in series:
            epoch, value = best(series["validation"], key=lambda point: point[1])
            axes.plot([epoch], [value], "o", color=ACCENT, markersize=10, markerfacecolor="none", clip_on=False)
            captions.append(f"best in epoch {epoch} (ring): {shown(value, metric)}")
        scale(axes, [value for points in series.values() for _, value in points])
        count_whole(axes.xaxis)
        write_unit(axes.yaxis, unit(metric))
        style(axes, x="epoch")
        legend(axes)
    return Drawing(title, ", ".join(captions), figure)


def _draw_series(axes: "Axes", name: str, *, points: Points, is_main: bool) -> None:
    axes.plot(
        *zip(*points, strict=True),
        label=name,
        color=ACCENT if is_main else MUTED,
        linestyle="-" if is_main else (0, (3, 2)),
        linewidth=2,
        marker="o",
        clip_on=False,
        markersize=4 if len(points) <= MARKER_EPOCHS else 0,
    )


def _wilson(share: float, count: int) -> tuple[float, float]:
    square = Z_95**2 / count
    middle = (share + square / 2) / (1 + square)
    half = Z_95 * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return middle - half, middle + half


def _spoken(name: str) -> str:
    return {"train": "training", "val": "validation"}.get(name.split("_")[0], name)


def _points(history: Sequence[Mapping[str, float]], name: str) -> Points:
    measured = [(int(row.get("epoch", number)), row[name]) for number, row in enumerate(history, 1) if name in row]
    return [(epoch, value) for epoch, value in measured if math.isfinite(value)]


def _journey(points: Points, metric: str) -> str:
    ends = dict.fromkeys((points[0], points[-1]))
    return " → ".join(shown(value, metric) if metric else f"{value:.3g}" for _, value in ends)
