"""The command `loopline`. What a command needs is imported inside it, so that help and mistakes answer at once."""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from loopline.cli_captures import forget, trace
from loopline.cli_care import doctor, fsck, gc, resume, watch
from loopline.cli_cost import cost
from loopline.cli_datasets import dataset
from loopline.cli_export import export
from loopline.cli_image import image
from loopline.cli_kubeflow import kubeflow
from loopline.cli_labels import labels
from loopline.cli_nuclio import nuclio
from loopline.cli_reading import read
from loopline.cli_release import events, release, rollback
from loopline.terminal import FAILED, Commands, Problem, read_settings, shown

if TYPE_CHECKING:
    from loopline.local import ServiceStatus

LOG_LINES = 100

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Raw images in, a checked and announced model out, and round again.",
)
app.add_typer(dataset, name="dataset")
app.add_typer(labels, name="labels")
app.command()(export)
app.add_typer(image, name="image")
app.command()(read)
app.command()(forget)
app.command()(trace)
app.command()(release)
app.command()(cost)
app.command()(doctor)
app.command()(fsck)
app.command()(gc)
app.command()(resume)
app.command()(rollback)
app.command()(watch)
app.add_typer(events, name="events")
app.add_typer(nuclio, name="nuclio")
app.add_typer(kubeflow, name="kubeflow")


@app.command()
def up(
    labels: Annotated[
        bool | None, typer.Option(help="With Label Studio, or without it; unset: as at the last start.")
    ] = None,
    worker: Annotated[
        bool | None,
        typer.Option(help="With a worker that runs what is deployed, or without; unset: as at the last start."),
    ] = None,
    demo: Annotated[
        bool | None,
        typer.Option(help="With a page to try the champion on, or without it; unset: as at the last start."),
    ] = None,
) -> None:
    """Start object store and Prefect server; if asked, Label Studio, a worker, a demo page; say where they listen."""
    from loopline import deploying, local

    settings = read_settings()
    with Console(stderr=True).status("starting the services; Prefect takes some 10 seconds") as waiting:
        services = local.up(settings, labels=labels, worker=worker, demo=demo, tell=waiting.update)
        if any(service.name == "worker" for service in services):
            waiting.update("deploying")
            deploying.deploy(settings)
    for service in services:
        shown.print(f"{service.name:<14}{service.state:<10}{service.address}")


@app.command()
def deploy(
    pools: Annotated[
        str | None,
        typer.Option(help="Work pools to make or change first: `terraform output -json work_pools`, a file or s3://…"),
    ] = None,
) -> None:
    """Make the deployments of prefect.yaml on the Prefect server, and delete those that it no longer names."""
    from loopline import deploying

    settings = read_settings()
    with Console(stderr=True).status("deploying"):
        names, orphans = deploying.deploy(settings, pools)
    shown.print(*names, sep="\n")
    for name in orphans:
        shown.print(f"{name} was deleted: prefect.yaml no longer names it")


@app.command()
def down() -> None:
    """End every process that `loopline up` started."""
    from loopline import local

    count = local.down(read_settings())
    shown.print(f"ended {count} processes" if count else "nothing was running")


@app.command()
def status() -> None:
    """Show which services run, and where they listen."""
    from loopline import local

    table = Table("service", "state", "address", "pid", "uptime", box=None, pad_edge=False)
    for service in local.status(read_settings()):
        table.add_row(service.name, service.state, service.address, str(service.pid or ""), _uptime(service))
    shown.print(table)


@app.command()
def logs(
    service: Annotated[
        str | None,
        typer.Argument(help="store, prefect, label-studio, worker, reader, demo, ...; unset: all."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
) -> None:
    """Show the last lines that the services wrote."""
    from loopline import local

    files = local.log_files(read_settings(), service)
    with suppress(KeyboardInterrupt):
        subprocess.run(["tail", *(["-F"] if follow else []), "-n", str(LOG_LINES), *files])


def _uptime(service: "ServiceStatus") -> str:
    from datetime import timedelta

    return "" if service.uptime_seconds is None else str(timedelta(seconds=service.uptime_seconds))


SEARCH: dict[str, Any] = {"rich_help_panel": "Search"}


@app.command()
def samples() -> None:
    """Draw 2,100 lines of handwritten digits and put them into the store's inbox."""
    from loopline import commands

    prefix, count = commands.write_samples(read_settings())
    shown.print(f"{prefix}: {count} files uploaded" if count else f"{prefix}: nothing new")


@app.command()
def run(
    source: Annotated[str, typer.Option(help="A folder of images, or a prefix in the store.")] = "inbox/samples",
    labels: Annotated[str, typer.Option(help="JSON file beside the images: file name to text.")] = "labels.json",
    problem: Problem = "handwriting",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A recipe value, such as learning_rate=0.001.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    seed: Annotated[int, typer.Option(help="Same order, same seed, same model.")] = 1,
    minutes: Annotated[float | None, typer.Option(help="Stop learning after this time, keep the best so far.")] = None,
    requirements: Annotated[Path | None, typer.Option(help="YAML file; default: the problem's own.")] = None,
    trials: Annotated[int | None, typer.Option(help="Find a recipe first: so many are tried.", **SEARCH)] = None,
    search_minutes: Annotated[float | None, typer.Option(help="End the search after this time.", **SEARCH)] = None,
    search_cost: Annotated[float | None, typer.Option(help="End the search at this cost.", **SEARCH)] = None,
    trial_epochs: Annotated[int | None, typer.Option(help="Epochs of a trial; unset: all.", **SEARCH)] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe, gp, cmaes, random or grid.", **SEARCH)] = None,
    pruner: Annotated[str | None, typer.Option(help="median, hyperband, asha or none.", **SEARCH)] = None,
    space: Annotated[
        list[str] | None, typer.Option(help="Bounds or words, such as learning_rate=0.001,0.01.", **SEARCH)
    ] = None,
    latency: Annotated[bool | None, typer.Option("--latency", help="Search for speed too.", **SEARCH)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON document.")] = False,
) -> None:
    """Build a model: images in; a checked, packaged and announced model out, or the reasons why not (exit code 3)."""
    from loopline import commands

    settings = read_settings()
    values = [*(set_ or ()), *([f"epochs={epochs}"] if epochs is not None else ())]
    order = commands.make_order(
        problem=problem,
        source=commands.source_prefix(settings, source),
        labels=labels,
        values=values,
        seed=seed,
        minutes=minutes,
        requirements=requirements,
        search={
            "trials": trials,
            "minutes": search_minutes,
            "cost": search_cost,
            "epochs": trial_epochs,
            "sampler": sampler,
            "pruner": pruner,
            "space": space,
            "latency": latency,
        },
    )
    code, judged = commands.run(settings, order)
    if judged and as_json:
        typer.echo(commands.outcome_json(judged))
    elif judged:
        commands.show_outcome(shown, judged, settings=settings)
    raise typer.Exit(code)


@app.command()
def models(problem: Problem = "handwriting") -> None:
    """Show every model version: stage, metrics, verdict."""
    from loopline import commands

    shown.print(commands.models_table(read_settings(), problem=problem))


@app.command()
def key() -> None:
    """Make an API key for the service; only its hash is kept, in LOOPLINE_SERVICE__KEY_HASHES."""
    from loopline.keys import hash_of, new_key

    made = new_key()
    shown.print(f"key   {made}\nhash  {hash_of(made)}", soft_wrap=True)


comet = typer.Typer(help="The experiment tracker.", no_args_is_help=True)
app.add_typer(comet, name="comet")


@comet.command("upload")
def comet_upload() -> None:
    """Bring the archives that wait in LOOPLINE_HOME/comet to Comet; each is brought once."""
    from loopline.clients.comet import upload

    settings = read_settings()
    with Console(stderr=True).status("bringing archives to Comet"):
        done = upload(settings.comet, home=settings.folder)
    for archive in done.archives:
        shown.print(f"{archive} is there", soft_wrap=True)
    for failure in done.failures:
        typer.echo(f"loopline: {failure}", err=True)
    if not done.archives and not done.failures:
        shown.print(f"no archive waits in {settings.folder / 'comet'}", soft_wrap=True)
    if done.failures:
        raise typer.Exit(FAILED)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def prefect(context: typer.Context) -> None:
    """Run Prefect's own command line against the server that the settings name."""
    from loopline import commands

    raise typer.Exit(commands.prefect(read_settings(), context.args))


@app.command("open")
def open_(problem: Problem = "handwriting") -> None:
    """Say where to look: Prefect's UI, the newest report, the training curves."""
    from loopline import commands

    settings = read_settings()
    signing = commands.how_to_sign_in(settings)
    shown.print(f"Prefect  {settings.resolved_prefect().api_url.removesuffix('/api')}{signing}", soft_wrap=True)
    if page := commands.demo_address(settings):
        shown.print(f"demo     {page}", soft_wrap=True)
    for found in commands.registry(settings).models(problem)[-1:]:
        address = commands.page_address(settings, found.judged.page.uri)
        shown.print(f"report   {address}  ({found.judged.problem} {found.judged.version})", soft_wrap=True)
    shown.print(f"curves   tensorboard --logdir {settings.folder / 'runs'}", soft_wrap=True)
