"""The commands `loopline forget` and `loopline trace`: what became of what users sent."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.tree import Tree

from loopline.errors import ConfigError
from loopline.terminal import Problem, read_settings, shown

if TYPE_CHECKING:
    from loopline.tracing import ImageTrace, PredictionTrace


def forget(
    prediction_id: Annotated[str, typer.Argument(help="From the service's answer.")],
    problem: Problem = "handwriting",
) -> None:
    """Delete an answer with its picture, correction and label task; name the dataset versions that keep the picture."""
    from loopline import commands, forgetting

    settings = read_settings()
    datasets = commands.registry(settings).datasets(problem)
    places = forgetting.Places(commands.store(settings), lambda: commands.label_studio(settings), problem, datasets)
    done = forgetting.forget(places, prediction_id)
    shown.print(
        f"deleted: {done.capture_count} captures, {done.task_count} label tasks, {done.snapshot_count} copies of them, "
        f"{done.image_count} images; what arrives later is deleted by `housekeeping`",
        soft_wrap=True,
    )
    for version in sorted({name for names in done.held.values() for name in names}):
        shown.print(f"{version} is frozen and keeps the picture", soft_wrap=True)


def trace(
    prediction_id: Annotated[str | None, typer.Argument(help="From the service's answer.")] = None,
    image: Annotated[str | None, typer.Option(help="sha256 of an image instead: where did it go?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    problem: Problem = "handwriting",
) -> None:
    """Follow an answer back to its model, training run, dataset and nearest training lines; or an image onwards."""
    from loopline import commands, tracing

    if (prediction_id is None) == (image is None):
        raise ConfigError("name one prediction id, or one image with --image")
    settings = read_settings()
    store, registry = commands.store(settings), commands.registry(settings)
    if prediction_id is None:
        history = tracing.History(registry.datasets(problem), registry.models(problem))
        went = tracing.trace_image(store, str(image), history, problem=problem)
        document, tree = went.model_dump_json(), _image_tree(went)
    else:
        capture = tracing.read_capture(store, prediction_id)
        problem = capture.model.partition(":")[0]
        history = tracing.History(registry.datasets(problem), registry.models(problem))
        came = tracing.trace_prediction(store, capture, history, cache=settings.folder / "cache")
        document, tree = came.model_dump_json(), _prediction_tree(came)
    if as_json:
        typer.echo(document)
    else:
        shown.print(tree)


def _prediction_tree(found: "PredictionTrace") -> Tree:
    capture, run = found.capture, found.training
    tree = Tree(
        f"{capture.prediction_id}: {capture.text!r}, {capture.confidence:.0%} sure, {capture.at:%Y-%m-%d %H:%M} UTC"
    )
    if found.correction is not None:
        tree.add(f"corrected by its user to {found.correction!r}")
    model = tree.add(f"model {capture.model}, version {' '.join((found.version, *found.stages))}")
    recipe = ", ".join(f"{name} {value}" for name, value in run.recipe.items())
    training = model.add(f"training run {run.run}: seed {run.seed}, {run.epochs} epochs on {run.device}; {recipe}")
    if run.experiment_url:
        training.add(run.experiment_url)
    dataset = training.add(f"{found.dataset} ({found.dataset_revision[:12]})")
    near = dataset.add("the training lines that the model takes for most like it")
    for one in found.neighbours:
        said = f"{one.label!r} by {one.annotator or 'labels.json'}"
        near.add(f"{one.distance:.3f}  {said}, {one.key} ({one.image_sha256[:12]})")
    tree.add(_image_tree(found.image))
    return tree


def _image_tree(found: "ImageTrace") -> Tree:
    tree = Tree(f"image {found.image_sha256}")
    for name in found.captures:
        tree.add(f"captured with {name}")
    for task in found.tasks:
        tree.add(f"label task {task.task} of project {task.project}")
    for one in found.versions:
        said = one.rejected or f"{one.label!r} by {one.annotator or 'labels.json'}, in {one.split}"
        learnt = f"; models {', '.join(one.models)}" if one.models else ""
        tree.add(f"{one.version}: {said}{learnt}")
    if not found.versions:
        tree.add("in no dataset version")
    return tree
