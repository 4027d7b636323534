"""`loopline kubeflow`: build_model as a pipeline, and its training as a job, where a company has Kubeflow."""

from pathlib import Path
from typing import Annotated

import typer

from loopline.orders import Order
from loopline.terminal import Commands, Problem, read_settings, shown

Source = Annotated[str, typer.Option(help="A prefix in the store.")]
Labels = Annotated[str, typer.Option(help="JSON file beside the images, or project:TITLE.")]
Values = Annotated[list[str] | None, typer.Option("--set", help="A recipe value, such as learning_rate=0.001.")]
Seed = Annotated[int, typer.Option(help="Same order, same seed, same model.")]
Bounds = Annotated[Path | None, typer.Option("--requirements", help="YAML file; default: the problem's own.")]
Here = Annotated[bool, typer.Option("--local", help="On this machine, in processes, by Kubeflow's own local runner.")]

kubeflow = typer.Typer(cls=Commands, help="Pipelines and training jobs on Kubeflow.", no_args_is_help=True)


@kubeflow.command("compile")
def compile_(file: Annotated[Path, typer.Argument(help="Where to write, such as build-model.yaml.")]) -> None:
    """Write the pipeline as IR YAML, for Kubeflow's pages or its client; the order is its parameter."""
    from loopline.pipelines import compile_pipeline

    compile_pipeline(read_settings(), file)
    shown.print(f"the pipeline build-model is in {file}", soft_wrap=True)


@kubeflow.command()
def submit(
    source: Source = "inbox/samples",
    labels: Labels = "labels.json",
    problem: Problem = "handwriting",
    values: Values = None,
    seed: Seed = 1,
    trials: Annotated[int | None, typer.Option(help="Find a recipe first: so many are tried.")] = None,
    requirements: Bounds = None,
    local: Here = False,
) -> None:
    """Build a model on Kubeflow."""
    from loopline import commands, pipelines

    settings = read_settings()
    order: Order = commands.make_order(
        problem=problem,
        source=source,
        labels=labels,
        values=values or (),
        seed=seed,
        minutes=None,
        requirements=requirements,
        search={"trials": trials},
    )
    if local:
        typer.echo(pipelines.run_here(settings, order))
    else:
        shown.print(f"run {pipelines.submit(settings, order)} has begun; {settings.kubeflow.url} shows it")


@kubeflow.command()
def train(
    dataset: Annotated[str | None, typer.Option(help="Such as v3; unset: the newest.")] = None,
    problem: Problem = "handwriting",
    values: Values = None,
    seed: Seed = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; with --local, processes.")] = 1,
    local: Here = False,
) -> None:
    """Train on several machines; a pipeline with the same dataset and recipe finds it done."""
    from loopline import commands, pipelines
    from loopline.orders import FitPlan

    settings = read_settings()
    plan = FitPlan(recipe=commands.recipe_values(values or ()), seed=seed)
    found = pipelines.train(settings, dataset, problem, plan, nodes=nodes, local=local)
    shown.print(found if local else f"job {found} has begun", soft_wrap=True)
