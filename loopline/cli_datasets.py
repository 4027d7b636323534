"""The commands `loopline dataset …`: versions that were frozen, and how to have one."""

from pathlib import Path
from typing import Annotated

import typer

from loopline.terminal import Problem, read_settings, shown

dataset = typer.Typer(help="Show every dataset version, or bring one back.", invoke_without_command=True)

Version = Annotated[str, typer.Argument(help="Such as v1.")]


@dataset.callback()
def datasets(context: typer.Context, problem: Problem = "handwriting") -> None:
    """Show every dataset version, or bring one back."""
    from loopline import commands

    context.obj = problem
    if context.invoked_subcommand is None:
        shown.print(commands.datasets_table(read_settings(), problem=problem))


@dataset.command("get")
def dataset_get(
    context: typer.Context,
    version: Version,
    folder: Annotated[Path, typer.Argument(help="Where to put it: an empty or new folder.")],
) -> None:
    """Bring a dataset version back, bit for bit: its manifest and shards."""
    from loopline import commands

    found = commands.registry(read_settings()).restore_dataset(context.obj, version, target=folder)
    shown.print(f"{found.name} ({found.digest[:12]}) is in {folder}", soft_wrap=True)


@dataset.command("export")
def dataset_export(
    context: typer.Context,
    version: Version,
    file: Annotated[Path, typer.Argument(help="Where to write it: a new JSON file.")],
) -> None:
    """Write a dataset version as tasks with labels, for Label Studio's own import or `loopline labels import`."""
    from loopline import commands
    from loopline.label_export import export_labels
    from loopline.labels import told
    from loopline.problems import load_problem

    settings = read_settings()
    found = commands.registry(settings).dataset(context.obj, version)
    count, rejected = export_labels(commands.store(settings), found, problem=load_problem(context.obj), path=file)
    left_out = f"; {rejected.total()} rejected lines left out ({told(rejected)})" if rejected else ""
    shown.print(f"{found.name}: {count} labels in {file}{left_out}", soft_wrap=True)
