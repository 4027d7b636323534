"""The command `loopline export`: a version's network for a device."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loopline.terminal import Problem, read_settings, shown


def export(
    folder: Annotated[Path, typer.Argument(help="Where to write: an empty or new folder; each target gets one in it.")],
    target: Annotated[
        list[str],
        typer.Option(help="onnx (exact), onnx-int8 (whole numbers), mobile (.ort) or web (a page); repeatable."),
    ],
    version: Annotated[str | None, typer.Option(help="Such as v2.0.0; default: the champion.")] = None,
    problem: Problem = "handwriting",
) -> None:
    """Write a version's network for a device, checked on the test lines, or a page that reads in the browser."""
    from loopline import commands
    from loopline.export_table import table
    from loopline.exporting import export as write
    from loopline.forms import Forms
    from loopline.problems import load_problem

    settings = read_settings()
    judged = commands.find_model(settings, problem=problem, version=version)
    forms = Forms(commands.store(settings), load_problem(problem), judged, home=settings.folder)
    with Console(stderr=True).status("exporting, and reading the test lines with what was exported"):
        measured = write(forms, target, folder=folder, npm_registry=settings.npm_registry())
    shown.print(table(measured))
    for figures in measured:
        shown.print(f"{figures.target}  {figures.beside}", soft_wrap=True)
    shown.print(f"{problem} {judged.version} is in {folder}", soft_wrap=True)
    if "web" in target:
        shown.print(f"look at the page: python3 -m http.server --directory {folder / 'web'}", soft_wrap=True)
