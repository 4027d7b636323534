"""`loopline doctor`, `fsck`, `gc`, `resume` and `watch`: whether all is in order, and how to go on where it was not."""

from typing import Annotated

import typer
from rich.console import Console

from loopline.terminal import FAILED, Problem, read_settings, shown

DRIFTING = 3  # exit code, as of a model that the gate holds back


def doctor() -> None:
    """Try everything that a run needs, and say what is wrong and what to do about it."""
    from loopline import commands

    findings = []
    with Console(stderr=True).status("looking"):
        for finding in commands.examine(read_settings()):
            findings.append(finding)
            shown.print(f"{'well ' if finding.well else 'WRONG'}  {finding.name:<14}{finding.said}", soft_wrap=True)
    if not all(finding.well for finding in findings):
        raise typer.Exit(FAILED)


def fsck(
    problem: Problem = "handwriting",
    full: Annotated[bool, typer.Option("--full", help="Hash every object again, not only look for it.")] = False,
) -> None:
    """Look whether all that the registry names is in the store, and as it was."""
    from loopline import commands
    from loopline import fsck as looking

    settings = read_settings()
    versions = commands.registry(settings)
    found = looking.check(
        commands.store(settings),
        problem,
        datasets=versions.datasets(problem),
        models=versions.models(problem),
        mode="full" if full else "quick",
    )
    shown.print(found.sentence)
    for fault in found.faults:
        shown.print(f"{fault.key}  {fault.what}; {fault.needed_by} needs it", soft_wrap=True)
    looking.raise_faults(found)


def gc(
    days: Annotated[int, typer.Option(min=1, help="What is younger stays: a run that goes on may name it.")] = 30,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; else it is only told.")] = False,
) -> None:
    """Find what no version of the registry needs, and delete it if asked to."""
    from datetime import UTC, datetime, timedelta

    from loopline import commands
    from loopline.gc import delete_garbage, find_garbage

    settings = read_settings()
    store, versions = commands.store(settings), commands.registry(settings).versions()
    found = find_garbage(store, versions, before=datetime.now(UTC) - timedelta(days=days))
    for one in found.objects:
        shown.print(f"{one.size_bytes:>12,}  {one.key}", soft_wrap=True)
    count = f"{len(found.objects)} objects, {found.size_bytes / 1e6:.1f} MB, and {len(found.results)} cached results"
    if delete:
        delete_garbage(store, found)
    shown.print(f"{count} were deleted" if delete else f"{count} could go; `loopline gc --delete` deletes them")


def resume(
    run: Annotated[str, typer.Argument(help="Id or name of a run that failed, crashed or was cancelled.")],
    step: Annotated[
        str | None, typer.Option("--from", help="Step to repeat, with all after it; also of a run that is complete.")
    ] = None,
) -> None:
    """Take a run up where it failed: what finished is not repeated."""
    from loopline import commands

    code, said = commands.resume(read_settings(), run, step=step)
    shown.print(said)
    raise typer.Exit(code)


def watch(
    problem: Problem = "handwriting",
    least: Annotated[int, typer.Option("--least", help="Answers; fewer wait for more.")] = 200,
) -> None:
    """Hold what users sent and got since the last look against what the model was judged on (drifting: exit code 3)."""
    from pydantic import ValidationError

    from loopline import commands, watching
    from loopline.errors import ConfigError, wrong_values
    from loopline.orders import WatchPlan
    from loopline.watch_contracts import Quiet
    from loopline.watch_records import page_key

    try:
        plan = WatchPlan(problem=problem, least_answers=least)
    except ValidationError as error:
        raise ConfigError(f"this can't be watched: {wrong_values(error)}") from None
    settings = read_settings()
    code, told = commands.run_flow(settings, "watch_model", plan)
    if told:
        found = watching.read_outcome(told)
        shown.print(found.reason if isinstance(found, Quiet) else watching.sentence(found), soft_wrap=True)
        if not isinstance(found, Quiet):
            shown.print(f"page: {commands.page_address(settings, page_key(found.package_sha256))}", soft_wrap=True)
            code = DRIFTING if found.drifting else code
    raise typer.Exit(code)
