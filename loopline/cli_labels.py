"""The commands `loopline labels …`: labels that people give."""

from typing import Annotated

import typer

from loopline.terminal import read_settings, shown

labels = typer.Typer(help="Labels from people, in Label Studio.", no_args_is_help=True)


@labels.command("open")
def labels_open() -> None:
    """Say where people label, and how to sign in."""
    from loopline.settings import LAPTOP, LaptopAddresses

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
) -> None:
    """Offer images without a label as tasks, the most useful first, and take what people have said."""
    from pydantic import ValidationError

    from loopline import commands
    from loopline.contracts import LabelsGrown
    from loopline.errors import ConfigError, wrong_values
    from loopline.orders import LabelPlan

    settings = read_settings()
    try:
        plan = LabelPlan(problem=problem, source=source, project=project, overlap_share=overlap, enough=enough)
    except ValidationError as error:
        raise ConfigError(f"the plan does not hold: {wrong_values(error)}") from None
    plan = plan.model_copy(update={"source": commands.source_prefix(settings, source)})
    code, outcome = commands.run_flow(settings, "collect_labels", plan)
    if outcome:
        grown = LabelsGrown.model_validate_json(outcome)
        shown.print(f"{grown.label_count} labels in {project!r}, {grown.new_count} of them new or changed")
        shown.print(f"tasks: {settings.resolved_label_studio().url}", soft_wrap=True)
    raise typer.Exit(code)
