"""`loopline cost`: what learning costs on AWS, before it does."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from loopline.terminal import shown

if TYPE_CHECKING:
    from loopline.costs import Cost


def cost(
    machine: Annotated[
        list[str] | None, typer.Option(help="A machine with GPUs, such as g5.xlarge; repeatable; unset: all known.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0, help="Of learning in a month, on each machine, at spot prices.")] = 0,
    reached: Annotated[
        list[str] | None, typer.Option("--with", help="service, server or label_studio of your own; repeatable.")
    ] = None,
    stored_gb: Annotated[float, typer.Option(min=0, help="What the store holds.")] = 100,
) -> None:
    """Estimate what infra/ costs: an hour of learning and a month, with the arithmetic."""
    from loopline.costs import month, read_prices, training_hour

    prices = read_prices()
    machines = machine or list(prices.machines)
    shown.print(_table("an hour of learning", [line for one in machines for line in training_hour(prices, one)]))
    shown.print()
    lines = month(prices, machines=machine or [], hours=hours, stored_gb=stored_gb, reached=reached or [])
    table = _table("a month", lines)
    table.add_row("in all", f"{sum(line.usd for line in lines):.2f}")
    shown.print(table)
    shown.print(
        f"\nUS dollars without tax, {prices.region}, as listed on {prices.dated}; spot reckoned at "
        f"{prices.spot_share:.0%}. Not in it: traffic, logs, backups, runs on Fargate, and what others' servers cost.",
        soft_wrap=True,
    )


def _table(title: str, lines: "list[Cost]") -> Table:
    table = Table(title, "USD", "how", box=None, pad_edge=False)
    for line in lines:
        table.add_row(line.what, f"{line.usd:.3f}" if line.usd < 1 else f"{line.usd:.2f}", line.how)
    return table
