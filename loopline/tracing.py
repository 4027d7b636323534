"""Where an answer came from, and where an image went.

An answer names its package, a package is a model version, and that holds its whole lineage. An image is looked for the
other way round: what the label projects' mirrors, the dataset versions and the models know of it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track

from loopline.answers import Message
from loopline.captured_index import list_captures, read_captures
from loopline.captures import CORRECTION, PICTURE, RECORD, Capture, Corrected, place, tombstone
from loopline.clients.store import Store
from loopline.contracts import DatasetVersion, Scalar
from loopline.dataset import load_lines
from loopline.errors import DataError
from loopline.images import decode
from loopline.ledger import RegisteredModel
from loopline.manifest import read_manifest
from loopline.mirror import mirrored, snapshot_of, tasks_by_image
from loopline.problems import load_problem
from loopline.serving import Predictor

NEIGHBOUR_COUNT = 3  # training lines that are shown
LOOK_CHUNK = 256  # lines in memory at once


class Neighbour(Message):
    """A training line that lies near, by the Euclidean distance of what the model makes of both."""

    distance: float
    image_sha256: str
    key: str
    label: str
    annotator: str | None


class TaskSeen(Message):
    """A label task that shows an image."""

    project: int
    task: int


class InVersion(Message):
    """An image in a dataset version, and the models that learnt from that version."""

    version: str
    split: str | None
    label: str | None
    annotator: str | None
    rejected: str | None
    models: tuple[str, ...]


class ImageTrace(Message):
    """Where an image went."""

    image_sha256: str
    captures: tuple[str, ...]
    tasks: tuple[TaskSeen, ...]
    versions: tuple[InVersion, ...]


class Training(Message):
    """The run that made a model."""

    run: str
    seed: int
    epochs: int
    recipe: dict[str, Scalar]
    device: str
    experiment_url: str | None


class PredictionTrace(Message):
    """Where an answer came from, and what became of it."""

    capture: Capture
    correction: str | None
    version: str
    stages: tuple[str, ...]
    training: Training
    dataset: str
    dataset_revision: str
    neighbours: tuple[Neighbour, ...]
    image: ImageTrace


class History(NamedTuple):
    """What the registry holds of a problem."""

    datasets: Sequence[DatasetVersion]
    models: Sequence[RegisteredModel]


def read_capture(store: Store, prediction_id: str) -> Capture:
    """Return what is kept of an answer; DataError if nothing is."""
    if store.exists(tombstone(prediction_id)):
        raise DataError(f"{prediction_id} was forgotten, as its user asked")
    key = place(prediction_id, RECORD)
    if not store.exists(key):
        raise DataError(
            f"nothing is kept of {prediction_id} in {store.url('captured')}; it was not captured, its days are over, "
            "or it has not arrived yet"
        )
    try:
        return Capture.model_validate_json(store.read(key))
    except ValidationError:
        raise DataError(f"{store.url(key)} can't be read; another release of Loopline may have written it") from None


def trace_prediction(store: Store, capture: Capture, history: History, *, cache: Path) -> PredictionTrace:
    """Follow an answer back to the lines that its model learnt from; DataError if the registry lacks its model."""
    found = [one for one in history.models if one.judged.packaged.archive.sha256 == capture.package_sha256]
    if not found:
        raise DataError(
            f"{capture.model} answered, which this registry does not hold; ask that of which its service was built"
        )
    packaged = found[0].judged.packaged
    model = packaged.report.model
    return PredictionTrace(
        capture=capture,
        correction=_correction(store, capture.prediction_id),
        version=found[0].judged.version,
        stages=found[0].stages,
        training=Training(
            run=store.url(model.run),
            seed=model.seed,
            epochs=model.epochs,
            recipe=model.recipe,
            device=model.device,
            experiment_url=model.experiment_url,
        ),
        dataset=model.dataset.name,
        dataset_revision=model.dataset.git_revision,
        neighbours=_neighbours(
            store, capture, Predictor.open(store.read_artifact(packaged.archive)), dataset=model.dataset, cache=cache
        ),
        image=trace_image(store, capture.image_sha256, history, problem=model.dataset.problem),
    )


def trace_image(store: Store, image_sha256: str, history: History, *, problem: str) -> ImageTrace:
    """Tell where an image is known; DataError if it is nowhere."""
    seen = read_captures(store, problem, list_captures(store)[0])
    found = ImageTrace(
        image_sha256=image_sha256,
        captures=tuple(sorted(name for name, one in seen.items() if one.image_sha256 == image_sha256)),
        tasks=tuple(_tasks(store, image_sha256, problem=problem)),
        versions=tuple(_versions(store, image_sha256, history)),
    )
    if not (found.captures or found.tasks or found.versions or store.exists(f"blobs/{image_sha256}")):
        raise DataError(f"no capture, label task or dataset version of {problem} holds the image {image_sha256}")
    return found


def _correction(store: Store, prediction_id: str) -> str | None:
    key = place(prediction_id, CORRECTION)
    return Corrected.model_validate_json(store.read(key)).text if store.exists(key) else None


def _neighbours(
    store: Store, capture: Capture, predictor: Predictor, *, dataset: DatasetVersion, cache: Path
) -> tuple[Neighbour, ...]:
    """Return the training lines that the model takes for most like the picture, the nearest first."""
    problem = load_problem(dataset.problem)
    picture = decode(store.read(place(capture.prediction_id, PICTURE)))
    (look,) = predictor.look([problem.preprocess(picture)])
    lines = load_lines(store, dataset, cache=cache).splits["train"]
    people = {row["image_sha256"]: row["annotator"] for row in read_manifest(store, dataset.manifest).to_pylist()}
    starts = range(0, len(lines), LOOK_CHUNK)
    console = Console(stderr=True)
    embeddings = [
        one.embedding
        for start in track(starts, "trace: training lines", console=console, transient=True)
        for one in predictor.look([line.pixels() for line in lines[start : start + LOOK_CHUNK]])
    ]
    distances_N = np.linalg.norm(np.stack(embeddings) - look.embedding, axis=1)
    return tuple(
        Neighbour(
            distance=round(float(distances_N[at]), 4),
            image_sha256=lines[at].image_sha256,
            key=lines[at].key,
            label=lines[at].label,
            annotator=people[lines[at].image_sha256],
        )
        for at in np.argsort(distances_N, kind="stable")[:NEIGHBOUR_COUNT]
    )


def _tasks(store: Store, image_sha256: str, *, problem: str) -> Iterator[TaskSeen]:
    for project in mirrored(store, problem):
        if snapshot := snapshot_of(store, problem, project):
            for task in tasks_by_image(store, snapshot).get(image_sha256, []):
                yield TaskSeen(project=project, task=task)


def _versions(store: Store, image_sha256: str, history: History) -> Iterator[InVersion]:
    for version in history.datasets:
        table = read_manifest(store, version.manifest)
        rows = table.filter(pc.equal(table["image_sha256"], image_sha256)).to_pylist()
        if not rows:
            continue
        row = rows[0]
        models = (one.judged for one in history.models if one.judged.packaged.report.model.dataset.name == version.name)
        yield InVersion(
            version=version.name,
            split=row["split"],
            label=row["label"],
            annotator=row["annotator"],
            rejected=row["rejected"],
            models=tuple(one.version for one in models),
        )
