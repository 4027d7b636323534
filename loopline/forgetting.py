"""Captured answers, deleted wherever they went: because somebody asked for it, or because their days are over.

What is deleted of one, in this order, so that a sweep that was killed finds what is left when it is repeated: its label
task, the mirror's snapshots of that task, its image, its row in the index, and at last the capture itself. A frozen
dataset version is not changed; it is named.

A tombstone stays for as long as captures do, by its own day: what a spool delivers later than that is too old anyway.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from loopline.capture_contracts import Swept
from loopline.captured_index import drop_captures
from loopline.captured_tasks import captured_image
from loopline.captures import CAPTURED, CORRECTION, FORGOTTEN, PICTURE, RECORD, Capture, day_of, place, tombstone
from loopline.clients.store import Store, in_parallel
from loopline.contracts import DatasetVersion
from loopline.errors import DataError
from loopline.manifest import read_manifest
from loopline.mirror import SNAPSHOTS, documents, mirrored, refresh

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

log = logging.getLogger(__name__)


@dataclass
class _Doomed:
    """What is to go: ids, and the images that are known to belong to them."""

    asked: set[str]
    over: set[str]
    images: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)  # ids over their days, of which people have labelled the task
    shown: set[str] = field(default_factory=set)  # images that other tasks show

    @property
    def ids(self) -> set[str]:
        return self.asked | self.over

    def takes(self, task: Mapping[str, Any]) -> bool:
        """Tell whether an exported task goes, and note what it shows."""
        picture = captured_image(task.get("data") or {})
        if picture is None or picture.capture not in self.ids:
            self.shown.add(str((task.get("data") or {}).get("image_sha256")))
            return False
        self.images[picture.capture] = picture.image_sha256
        if picture.capture not in self.asked and (task.get("annotations") or task.get("drafts")):
            self.kept.add(picture.capture)
            self.shown.add(picture.image_sha256)
            return False
        return True


def forget(
    store: Store,
    client: Callable[[], "LabelStudio"],
    prediction_id: str,
    *,
    problem: str,
    datasets: Sequence[DatasetVersion],
) -> Swept:
    """Delete one answer with all that came of it, but for dataset versions; DataError for what is no id."""
    store.write(tombstone(prediction_id), b"")
    return _erase(store, client, _Doomed(asked={prediction_id}, over=set()), problem=problem, datasets=datasets)


def sweep(
    store: Store,
    client: Callable[[], "LabelStudio"],
    *,
    problem: str,
    datasets: Sequence[DatasetVersion],
    days: int,
    today: date,
) -> Swept:
    """Delete what was asked to be forgotten, and captures that are older than so many days.

    A task that people have labelled outlives the days of its capture: it is data of the project by then.
    """
    first = today - timedelta(days=days)
    asked = set(_ids(store, f"{FORGOTTEN}/"))
    over = {name for name in _ids(store, f"{CAPTURED}/dt=") if day_of(name) < first}
    done = _erase(store, client, _Doomed(asked=asked, over=over), problem=problem, datasets=datasets)
    gone = [tombstone(name) for name in asked if day_of(name) < first]
    list(in_parallel(store.delete, gone, title="housekeeping: tombstones"))
    return done


def _ids(store: Store, prefix: str) -> Iterable[str]:
    for entry in store.list(prefix):
        name = entry.key.rpartition("/")[2].partition(".")[0]
        try:
            day_of(name)
        except DataError:
            log.warning("housekeeping: %s is no capture's, so it is left", store.url(entry.key))
        else:
            yield name


def _erase(
    store: Store,
    client: Callable[[], "LabelStudio"],
    doomed: _Doomed,
    *,
    problem: str,
    datasets: Sequence[DatasetVersion],
) -> Swept:
    there = {entry.key for name in doomed.ids for entry in store.list(place(name, ""))}
    for name in doomed.ids:
        if place(name, RECORD) in there and (image := _image(store, name)):
            doomed.images[name] = image
    tasks = _drop_tasks(store, client, doomed, problem=problem)
    versions = _versions_with(store, set(doomed.images.values()), datasets=datasets)
    snapshots = _drop_snapshots(store, doomed, datasets=datasets)
    blobs = _drop_blobs(store, doomed, problem=problem, held=set(versions))
    drop_captures(store, problem, doomed.ids)
    ends = (PICTURE, CORRECTION, RECORD)  # the record last: without it nothing would lead to the image any more
    for end in ends:
        list(
            in_parallel(store.delete, sorted(there & {place(name, end) for name in doomed.ids}), title=f"delete {end}")
        )
    found = Swept(
        problem=problem,
        capture_count=len({key.rpartition("/")[2].partition(".")[0] for key in there}),
        task_count=tasks,
        snapshot_count=snapshots,
        image_count=blobs,
        held={name: versions[image] for name, image in sorted(doomed.images.items()) if image in versions},
    )
    log.info(
        "housekeeping: %d captures deleted, %d tasks, %d snapshots, %d images; %d are in dataset versions",
        *(found.capture_count, found.task_count, found.snapshot_count, found.image_count, len(found.held)),
    )
    return found


def _image(store: Store, name: str) -> str | None:
    try:
        return Capture.model_validate_json(store.read(place(name, RECORD))).image_sha256
    except (DataError, ValidationError):
        return None


def _drop_tasks(store: Store, client: Callable[[], "LabelStudio"], doomed: _Doomed, *, problem: str) -> int:
    count = 0
    for number in mirrored(store, problem) if doomed.ids else ():
        server = client()
        try:
            project = server.project(number)
        except DataError as error:
            log.warning("housekeeping: %s, and its tasks with it", error)
            continue
        snapshot = refresh(store, server, problem=problem, project=project)
        tasks = [int(task["id"]) for task in documents(store, snapshot) if doomed.takes(task)]
        if tasks:
            server.drop_tasks(number, tasks)
            refresh(store, server, problem=problem, project=project)
        count += len(tasks)
    return count


def _drop_snapshots(store: Store, doomed: _Doomed, *, datasets: Sequence[DatasetVersion]) -> int:
    """Delete the snapshots that hold what is to go, but for those that a dataset version names."""
    gone = {name: image for name, image in doomed.images.items() if name not in doomed.kept}
    if not gone:
        return 0
    named = {one.labeled.label_snapshot.uri for one in datasets if one.labeled.label_snapshot}
    places = [entry.key for entry in store.list(f"{SNAPSHOTS}/") if entry.key not in named]
    holding = in_parallel(lambda key: _holds(store, key, gone), places, title="housekeeping: snapshots")
    found = [key for key, holds in zip(places, holding, strict=True) if holds]
    list(in_parallel(store.delete, found, title="housekeeping: snapshots"))
    return len(found)


def _holds(store: Store, key: str, gone: Mapping[str, str]) -> bool:
    table = pq.read_table(pa.BufferReader(store.read(key)), columns=["image_sha256", "document"])
    rows = table.filter(pc.is_in(table["image_sha256"], pa.array(list(set(gone.values())), pa.string())))
    return any(f'"{name}"' in document for document in rows["document"].to_pylist() for name in gone)


def _versions_with(store: Store, images: set[str], *, datasets: Sequence[DatasetVersion]) -> dict[str, tuple[str, ...]]:
    """Return the names of the dataset versions that hold an image, by the images that any holds."""
    found: dict[str, tuple[str, ...]] = {}
    for version in datasets if images else ():
        for image in images & set(read_manifest(store, version.manifest)["image_sha256"].to_pylist()):
            found[image] = (*found.get(image, ()), version.name)
    return found


def _drop_blobs(store: Store, doomed: _Doomed, *, problem: str, held: set[str]) -> int:
    images = set(doomed.images.values()) - doomed.shown - held
    for entry in store.list(f"index/{problem}/") if images else ():
        if not entry.key.endswith("/captures.parquet"):
            table = pq.read_table(pa.BufferReader(store.read(entry.key)), columns=["image_sha256"])
            images -= set(table["image_sha256"].to_pylist())
    there = [f"blobs/{image}" for image in sorted(images) if store.exists(f"blobs/{image}")]
    list(in_parallel(store.delete, there, title="housekeeping: images"))
    return len(there)
