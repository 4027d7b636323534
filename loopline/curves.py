"""What a training run went through, as drawings that stand inside a page and take on its colours."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_SPAN = 20  # largest over smallest value from which a linear scale hides how a run ends
MARKER_EPOCHS = 30  # more epochs than these are drawn without a dot for each

# What matplotlib paints with, and what the page puts there: its own colours differ between light and dark.
ACCENT, MUTED, RULE = "#000001", "#000002", "#000003"
PAGE_COLOURS = {ACCENT: "var(--accent)", MUTED: "var(--muted)", RULE: "var(--rule)"}

# What has no place in a page: the head of an XML file, style for all elements, fonts, ids that nothing refers to.
_FOREIGN = re.compile(
    r"^.*?(?=<svg)"
    r"|<style.*?</style>"
    r"|font-family: [^;]*; "
    r'| xmlns(:xlink)?="[^"]*"'
    r'| id="(?![mp][0-9a-f]{10}")[^"]*"',
    re.DOTALL,
)

Points = list[tuple[int, float]]  # epoch, value


@dataclass(frozen=True)
class Curve:
    """One drawing, and the same in words."""

    title: str
    caption: str
    svg: Markup


def draw_curve(history: Sequence[Mapping[str, float]], names: Sequence[str], *, title: str, unit: str) -> Curve | None:
    """Draw the named metrics over the epochs that measured them, epoch 1 being the first; None if none did.

    The unit "%" turns fractions into percent.
    """
    factor = 100 if unit == "%" else 1
    unit = unit and f"\u202f{unit}"
    series = {_spoken(name): _points(history, name, factor=factor) for name in names}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return None
    caption = ", ".join(f"{name} {_journey(points, unit=unit)}" for name, points in series.items())
    return Curve(title=title, caption=caption, svg=_svg(_figure(series, unit=unit), salt=title))


def _spoken(name: str) -> str:
    return {"train": "training", "val": "validation"}.get(name.split("_")[0], name)


def _points(history: Sequence[Mapping[str, float]], name: str, *, factor: float) -> Points:
    measured = [(int(row.get("epoch", number)), row[name]) for number, row in enumerate(history, 1) if name in row]
    return [(epoch, factor * value) for epoch, value in measured if math.isfinite(value)]


def _journey(points: Points, *, unit: str) -> str:
    ends = dict.fromkeys((points[0], points[-1]))
    return " → ".join(f"{value:.3g}{unit}" for _, value in ends)


def _figure(series: Mapping[str, Points], *, unit: str) -> "Figure":
    from matplotlib.figure import Figure  # here because it takes a second
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    figure = Figure(figsize=(5, 2.8), facecolor="none", layout="constrained")
    axes = figure.subplots()
    for name, points in series.items():
        is_validation = name == "validation"
        axes.plot(
            *zip(*points, strict=True),
            label=name,
            color=ACCENT if is_validation or len(series) == 1 else MUTED,
            linestyle="-" if is_validation or len(series) == 1 else (0, (3, 2)),
            linewidth=2,
            marker="o",
            clip_on=False,
            markersize=4 if len(points) <= MARKER_EPOCHS else 0,
        )
    values = [value for points in series.values() for _, value in points]
    if min(values) > 0 and max(values) > LOG_SPAN * min(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0, *values))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{unit}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _style(axes)
    return figure


def _style(axes: "Axes") -> None:
    axes.set_facecolor("none")
    axes.set_xlabel("epoch", color=MUTED)
    axes.tick_params(which="both", colors=MUTED, length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    if len(axes.lines) > 1:
        axes.legend(frameon=False, labelcolor=MUTED, loc="upper right")


def _svg(figure: "Figure", *, salt: str) -> Markup:
    """Return the drawing as an element for the page: text as text, in the page's font and colours."""
    from matplotlib import rc_context

    drawing = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = _FOREIGN.sub("", drawing.getvalue())
    for painted, colour in PAGE_COLOURS.items():
        svg = svg.replace(painted, colour)
    return Markup(svg)  # noqa: S704  # matplotlib escapes every text it writes
