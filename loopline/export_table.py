"""What was measured on each form of a network, as a table: on the terminal, and beside the files that were written."""

from dataclasses import dataclass

from rich.table import Table

from loopline.judging import STATED_WIDTH_PX, Interval

HEAD = ("target", "MB", f"ms, {STATED_WIDTH_PX} px", "{metric}", "95 % interval")
BESIDE = "beside what it was made from"


@dataclass(frozen=True)
class Figures:
    """One target. Its latency is that of this machine's CPU; None for one that runs elsewhere."""

    target: str
    size_bytes: int
    latency_ms: float | None
    metric: str
    value: float
    interval_95: Interval
    beside: str


def cells(figures: Figures) -> tuple[str, ...]:
    """Return a row of the table, without what stands beside."""
    low, high = figures.interval_95
    return (
        figures.target,
        f"{figures.size_bytes / 1e6:.2f}",
        "" if figures.latency_ms is None else f"{figures.latency_ms:.1f}",
        f"{figures.value:.4f}",
        f"{low:.4f} to {high:.4f}",
    )


def table(measured: list[Figures]) -> Table:
    """Return the table for a terminal, narrow enough for any."""
    made = Table(*_head(measured), box=None, pad_edge=False)
    for figures in measured:
        made.add_row(*cells(figures))
    return made


def markdown(measured: list[Figures]) -> str:
    """Return the table as Markdown."""
    head = [(*_head(measured), BESIDE), ("---", *["---:"] * 4, "---")]
    rows = [*head, *((*cells(figures), figures.beside) for figures in measured)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _head(measured: list[Figures]) -> tuple[str, ...]:
    return tuple(name.format(metric=measured[0].metric) for name in HEAD)
