"""`loopline release`, `rollback` and `events`: which model answers, and who is told of it."""

from typing import Annotated

import typer
from rich.table import Table

from loopline.terminal import Commands, Problem, read_settings, shown

HELD_BACK = 3  # exit code, as of a model that the gate holds back

Target = Annotated[str, typer.Option("--target", help="Where it answers: laptop or nuclio.")]

events = typer.Typer(cls=Commands, help="What Loopline tells the world.", no_args_is_help=True)


def release(
    version: Annotated[str | None, typer.Argument(help="Such as v3.0.0; unset: the champion.")] = None,
    problem: Problem = "handwriting",
    target: Target = "laptop",
    share: Annotated[float, typer.Option(help="Of the live pictures that it reads while on trial.")] = 0.1,
    shadow: Annotated[bool, typer.Option("--shadow", help="Nobody sees what it says while on trial.")] = False,
    seconds: Annotated[float, typer.Option(help="Of the trial; with less traffic known lines decide.")] = 60,
) -> None:
    """Try the champion where it is to answer, then let it answer, or take it back (exit code 3)."""
    from pydantic import ValidationError

    from loopline import commands, releases
    from loopline.errors import ConfigError, wrong_values
    from loopline.orders import ReleasePlan

    asked = {"problem": problem, "version": version, "target": target, "share": share, "shadow": shadow}
    try:
        plan = ReleasePlan.model_validate({**asked, "trial_seconds": seconds})
    except ValidationError as error:
        raise ConfigError(f"the release does not hold: {wrong_values(error)}") from None
    code, told = commands.run_flow(read_settings(), "release_model", plan)
    if told:
        end = releases.read_end(told)
        table = Table("measured", "value", box=None, pad_edge=False)
        for name, value in getattr(end, "figures", {}).items():
            table.add_row(name, f"{value:.4g}")
        shown.print(
            table if table.rows else "", f"{problem} at {target}: {releases.sentence(end)}", sep="\n", soft_wrap=True
        )
        code = HELD_BACK if end.outcome == "rolled back" else code
    raise typer.Exit(code)


def rollback(problem: Problem = "handwriting", target: Target = "laptop") -> None:
    """Let the version before answer again, at once; it is the champion from then on."""
    from loopline import releases

    end = releases.roll_back(read_settings(), problem=problem, target=target)
    shown.print(f"{problem} at {target}: {releases.sentence(end)}", soft_wrap=True)


@events.command()
def replay(
    since: Annotated[str, typer.Option(help="A day or a time, such as 2026-11-26 or 2026-11-26T12:00+01:00.")],
    event: Annotated[str | None, typer.Option(help="Such as loopline.model.ready; unset: all.")] = None,
) -> None:
    """Tell again what was told since then, to subscribers that were down; whoever heard it before looks and sees."""
    from loopline import releases

    shown.print(f"{releases.replay(read_settings(), since=since, event=event)} events were told again")


@events.command("send")
def send() -> None:
    """Tell what waits in the outbox, as housekeeping does every night."""
    from loopline import releases

    shown.print(f"{releases.send(read_settings())} events were told")
