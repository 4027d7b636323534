"""Drawings that stand inside a page and take on its colours, or alone as a picture with colours of its own."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SIZE_IN = (5, 2.8)  # width, height; a page scales it to the column
FONT_PT = 10.5  # as large as small print in a column, still read on a phone
LOG_SPAN = 20  # largest over smallest value from which a linear scale hides the small ones
WIDE_SPAN = 1000  # likewise, from which a logarithmic scale has room for powers of ten only

# What matplotlib paints with, and what is put there: a page's colours differ between light, dark and paper.
ACCENT, MUTED, RULE, RIVAL = "#000001", "#000002", "#000003", "#000004"
PAGE_COLOURS = {ACCENT: "var(--accent)", MUTED: "var(--muted)", RULE: "var(--rule)", RIVAL: "var(--champion)"}
PICTURE_COLOURS = {ACCENT: "#2a4fb8", MUTED: "#666a70", RULE: "#e2ddd1", RIVAL: "#a8650a"}
PICTURE_PAPER = "#fffefb"

# What has no place in a page: the head of an XML file, style for all elements, fonts, ids that nothing refers to.
_FOREIGN = re.compile(
    r"^.*?(?=<svg)"
    r"|<style.*?</style>"
    r"|font-family: [^;]*; "
    r'| xmlns(:xlink)?="[^"]*"'
    r'| id="(?!(?:[mp]|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}")[^"]*"',
    re.DOTALL,
)


@dataclass(frozen=True)
class Drawing:
    """A figure painted with the colours above, and the same in words."""

    title: str
    caption: str
    figure: "Figure"

    @property
    def svg(self) -> Markup:
        """The element for a page: text as text, in the page's font and colours."""
        svg = _FOREIGN.sub("", _written(self.figure, salt=self.title, paper="none"))
        return Markup(_coloured(svg, PAGE_COLOURS))  # noqa: S704  # matplotlib escapes every text it writes

    @property
    def picture(self) -> str:
        """The whole SVG file, on light paper, for a place that has no colours for it."""
        return _coloured(_written(self.figure, salt=self.title, paper=PICTURE_PAPER), PICTURE_COLOURS)


def blank(size_in: tuple[float, float] = SIZE_IN) -> "tuple[Figure, Axes]":
    """Return an empty figure and its axes."""
    from matplotlib.figure import Figure  # here because it takes a second

    figure = Figure(figsize=size_in, layout="constrained")
    return figure, figure.subplots()


@contextmanager
def plain_text() -> Iterator[None]:
    """Let a figure be made whose texts mean themselves: a $ in a name is no formula."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False, "svg.fonttype": "none"}):
        yield


def style(axes: "Axes", *, x: str, y: str = "") -> None:
    """Give axes the page's plain look, and name them."""
    for place in ("left", "center"):
        axes.set_title("", loc=place)
    axes.set_facecolor("none")
    axes.set_xlabel(x, color=MUTED, fontsize=FONT_PT)
    axes.set_ylabel(y, color=MUTED, fontsize=FONT_PT)
    axes.tick_params(which="both", colors=MUTED, length=0, labelsize=FONT_PT, pad=5)
    axes.grid(visible=False)
    axes.grid(axis="y", color=RULE, linewidth=0.8, linestyle="-")
    axes.set_axisbelow(True)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(RULE)


def write_unit(axis: "Axis", unit: str) -> None:
    """Let an axis write its values with a unit; "%" turns fractions into percent."""
    from matplotlib.ticker import FuncFormatter

    factor, ending = 100 if unit == "%" else 1, unit and f"\u202f{unit}"
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{factor * value:g}{ending}"))


def count_whole(axis: "Axis") -> None:
    """Let an axis have ticks at whole numbers only, such as epochs."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def scale(axes: "Axes", values: Sequence[float]) -> None:
    """Let the upright axis hold the values: from nothing, or logarithmic where that would hide the small ones."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if min(values) > 0 and max(values) > LOG_SPAN * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < WIDE_SPAN * min(values) else (1,)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=min(0, *values))


def legend(axes: "Axes") -> None:
    """Name each kind of mark once, above the axes, if there are two kinds or more."""
    if found := axes.get_legend():
        found.remove()
    handles, names = axes.get_legend_handles_labels()
    kinds = dict(zip(names, handles, strict=True))
    if len(kinds) > 1:
        axes.legend(
            kinds.values(),
            kinds.keys(),
            frameon=False,
            labelcolor=MUTED,
            fontsize=FONT_PT,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=len(kinds),
            borderaxespad=0,
        )


def _written(figure: "Figure", *, salt: str, paper: str) -> str:
    from matplotlib import rc_context

    text = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        unnamed = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(text, format="svg", metadata=unnamed, facecolor=paper)
    return text.getvalue()


def _coloured(svg: str, colours: dict[str, str]) -> str:
    for painted, colour in colours.items():
        svg = svg.replace(painted, colour)
    return svg
