"""The commands `loopline labels …`: labels that people give."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from loopline.terminal import Problem, read_settings, shown

if TYPE_CHECKING:
    from loopline.adopting import Adopted
    from loopline.contracts import Suspects
    from loopline.orders import LabelPlan
    from loopline.settings import Settings

FIRST_COUNT = 10  # suspects that the terminal shows; all are in the store

labels = typer.Typer(help="Labels from people, in Label Studio.", no_args_is_help=True)


@labels.command("open")
def labels_open() -> None:
    """Say where people label, and how to sign in."""
    from loopline.laptop_addresses import LaptopAddresses
    from loopline.settings import LAPTOP

    settings = read_settings()
    shown.print(f"Label Studio  {settings.resolved_label_studio().url}", soft_wrap=True)
    if settings.label_studio.url == LAPTOP:
        shown.print(f"user          {LaptopAddresses.read(settings.folder).label_studio_user}")
        shown.print(f"password      label_studio_password in {LaptopAddresses.path(settings.folder)}", soft_wrap=True)


@labels.command("collect")
def labels_collect(
    source: Annotated[str, typer.Option(help="A folder of images, or a prefix in the store.")] = "inbox/samples",
    project: Annotated[str, typer.Option(help="Title of the Label Studio project; made if missing.")] = "handwriting",
    problem: Annotated[str, typer.Option(help="What is learnt.")] = "handwriting",
    overlap: Annotated[float, typer.Option(help="Share of lines that two people label.")] = 0.1,
    enough: Annotated[int, typer.Option(help="New labels after which labels.grown is announced.")] = 100,
    captures: Annotated[bool, typer.Option("--captures", help="Offer what users of the service sent, too.")] = False,
    captures_limit: Annotated[int, typer.Option(help="Captured pictures that are offered at once.")] = 200,
    captures_key_limit: Annotated[int, typer.Option(help="Captured pictures of one API key, at once.")] = 50,
) -> None:
    """Offer images without a label as tasks, the most useful first, and take what people have said."""
    from loopline import commands
    from loopline.contracts import LabelsGrown

    settings = read_settings()
    plan = _label_plan(
        problem=problem,
        source=source,
        project=project,
        overlap_share=overlap,
        enough=enough,
        captures=captures,
        captures_limit=captures_limit,
        captures_key_limit=captures_key_limit,
    )
    plan = plan.model_copy(update={"source": commands.source_prefix(settings, source)})
    code, outcome = commands.run_flow(settings, "collect_labels", plan)
    if outcome:
        grown = LabelsGrown.model_validate_json(outcome)
        shown.print(f"{grown.label_count} labels in {project!r}, {grown.new_count} of them new or changed")
        shown.print(f"tasks: {settings.resolved_label_studio().url}", soft_wrap=True)
        if grown.page:
            shown.print(f"page: {commands.page_address(settings, grown.page.uri)}", soft_wrap=True)
    raise typer.Exit(code)


def _label_plan(**values: Any) -> "LabelPlan":
    from pydantic import ValidationError

    from loopline.errors import ConfigError, wrong_values
    from loopline.orders import LabelPlan

    try:
        return LabelPlan(**values)
    except ValidationError as error:
        raise ConfigError(f"the plan does not hold: {wrong_values(error)}") from None


@labels.command("import")
def labels_import(
    file: Annotated[Path, typer.Argument(help="What Label Studio exported, as JSON or JSON-MIN.")],
    source: Annotated[str, typer.Option(help="A folder of images, or a prefix in the store.")] = "inbox/samples",
    project: Annotated[str, typer.Option(help="Title of the Label Studio project; made if missing.")] = "handwriting",
    problem: Problem = "handwriting",
) -> None:
    """Take what was said in another Label Studio project into ours: once, however often it is imported."""
    from loopline.adopting import adopt
    from loopline.clients.label_studio import LabelStudio
    from loopline.commands import source_prefix, store
    from loopline.exported import read_export
    from loopline.intake import take_images
    from loopline.problems import load_problem

    settings, learnt = read_settings(), load_problem(problem)
    tasks = read_export(file, learnt)
    plan = _label_plan(problem=problem, source=source, project=project)
    adopted = adopt(
        store(settings),
        LabelStudio(settings.resolved_label_studio()),
        raw=take_images(store(settings), problem, source_prefix(settings, source)),
        plan=plan,
        problem=learnt,
        tasks=tasks,
        shown_from=settings.shown_store(),
    )
    _show_adopted(adopted, project)


def _show_adopted(adopted: "Adopted", project: str) -> None:
    from loopline.labels import told

    shown.print(
        f"{adopted.added_count} annotations added to {project!r}, {adopted.known_count} were there already; "
        f"{adopted.new_task_count} new tasks, {len(adopted.new_people)} new people",
        soft_wrap=True,
    )
    if adopted.unfinished_count:
        shown.print(f"{adopted.unfinished_count} guesses and drafts are no labels and stay where they are")
    if adopted.left_out:
        shown.print(f"left out: {told(adopted.left_out)}", soft_wrap=True)
    for example in adopted.examples:
        shown.print(f"  {example}", soft_wrap=True, markup=False)


@labels.command("check")
def labels_check(
    problem: Problem = "handwriting",
    project: Annotated[str | None, typer.Option(help="Where people check; unset: where the labels came from.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A recipe value, such as learning_rate=0.001.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each fold's model.")] = None,
    folds: Annotated[int | None, typer.Option(help="Models to train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same labels, same seed, same suspects.")] = None,
    most: Annotated[int | None, typer.Option(help="Labels that people are asked to check at once.")] = None,
) -> None:
    """Look for wrong labels in the newest dataset version, and let people check the most doubtful."""
    from pydantic import ValidationError

    from loopline import commands
    from loopline.contracts import Suspects
    from loopline.errors import ConfigError, wrong_values
    from loopline.orders import CheckPlan

    settings = read_settings()
    asked = {"project": project, "epochs": epochs, "folds": folds, "seed": seed, "most": most}
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        plan = CheckPlan(problem=problem, recipe=commands.recipe_values(set_ or ()), **given)
    except ValidationError as error:
        raise ConfigError(f"the plan does not hold: {wrong_values(error)}") from None
    code, outcome = commands.run_flow(settings, "check_labels", plan)
    if outcome:
        _show_suspects(Suspects.model_validate_json(outcome), settings=settings)
    raise typer.Exit(code)


def _show_suspects(suspects: "Suspects", *, settings: "Settings") -> None:
    from rich.table import Table

    from loopline import commands
    from loopline.suspects import read_suspects

    shown.print(f"{suspects.suspect_count} of {suspects.line_count} labels of {suspects.dataset.name} are suspect")
    rows = read_suspects(commands.store(settings), suspects)[:FIRST_COUNT]
    if rows:
        table = Table("key", "label", "a model reads", "annotator", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(row[name] or "") for name in ("key", "label", "text", "annotator")))
        shown.print(table)
