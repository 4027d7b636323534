"""`loopline doctor`, `fsck` and `resume`: whether all is in order, and how to go on where it was not."""

from typing import Annotated

import typer
from rich.console import Console

from loopline.terminal import FAILED, Problem, read_settings, shown


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


def resume(
    run: Annotated[str, typer.Argument(help="Id or name of a run that failed, crashed or was cancelled.")],
) -> None:
    """Take a run up where it failed: what finished is not repeated."""
    from loopline import commands

    code, said = commands.resume(read_settings(), run)
    shown.print(said)
    raise typer.Exit(code)
