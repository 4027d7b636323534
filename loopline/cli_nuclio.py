"""`loopline nuclio`: a model as a Nuclio function."""

from pathlib import Path
from typing import Annotated

import typer

from loopline.terminal import Commands, Problem, read_settings, shown

Version = Annotated[str | None, typer.Option(help="Such as v3.0.0; unset: the champion.")]

nuclio = typer.Typer(cls=Commands, help="A model as a Nuclio function.", no_args_is_help=True)


@nuclio.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write: an empty or new folder.")],
    version: Version = None,
    problem: Problem = "handwriting",
) -> None:
    """Write function.yaml, handler and model: what `nuctl deploy --path FOLDER` takes."""
    from loopline import commands
    from loopline.functions import FUNCTION, function_files, function_name, write_function

    settings = read_settings()
    judged = commands.find_model(settings, problem=problem, version=version)
    packaged = judged.packaged
    archive = commands.store(settings).read_artifact(packaged.archive)
    write_function(function_files(archive, packaged, settings=settings), folder)
    name = function_name(packaged)
    shown.print(f"{problem} {judged.version} is in {folder}: nuctl deploy {name} --path {folder}", soft_wrap=True)
    shown.print(f"look at {folder / FUNCTION}: limits, workers and who may ask are there", soft_wrap=True)


@nuclio.command()
def deploy(version: Version = None, problem: Problem = "handwriting") -> None:
    """Have the dashboard build a function of a model and start it; nobody is led to it, as `release` does."""
    from rich.console import Console

    from loopline import commands
    from loopline.functions import function_name
    from loopline.nuclio_target import NuclioTarget

    settings = read_settings()
    judged = commands.find_model(settings, problem=problem, version=version)
    with Console(stderr=True).status("Nuclio builds the function's image and starts it; this takes minutes"):
        NuclioTarget(settings).deploy(judged.packaged)
    shown.print(f"{problem} {judged.version} stands at Nuclio as {function_name(judged.packaged)}", soft_wrap=True)
