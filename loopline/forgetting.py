"""Captured answers, deleted wherever they went: because somebody asked for it, or because their days are over.

What is deleted of one, in this order, so that a sweep that was killed finds what is left when it is repeated: its label
task, the mirror's snapshots of that task, its image, its row in the index, and at last the capture itself. A frozen
dataset version is not changed; it is named.

A tombstone stays for as long as captures do, by its own day: what a spool delivers later than that is too old anyway.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from loopline.mirror import SNAPSHOTS, documents, drop_mirror, mirrored, refresh

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

log = logging.getLogger(__name__)

# The record last: without it nothing would lead to the image any more.
ENDINGS = (PICTURE, CORRECTION, RECORD)


@dataclass(frozen=True)
class Places:
    """Where the captures of a problem may have gone; the labelling tool is asked for only where it was used."""

    store: Store
    label_studio: Callable[[], "LabelStudio"]
    problem: str
    datasets: Sequence[DatasetVersion]


@dataclass
class _Doomed:
    """What is to go: ids, their keys in the store, and the images that are known to belong to them."""

    asked: set[str]
    over: set[str]
    keys: set[str]
    images: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)  # ids over their days, of which people have labelled the task
    shown: set[str] = field(default_factory=set)  # images that other tasks show

    @property
    def ids(self) -> set[str]:
        return self.asked | self.over

    def takes(self, task: Mapping[str, Any]) -> bool:
        """Tell whether an exported task goes, and note what it shows."""
        data = task.get("data") or {}
        picture = captured_image(data)
        if picture is None or picture.capture not in self.ids:
            self.shown.add(str(data.get("image_sha256")))
            return False
        self.images[picture.capture] = picture.image_sha256
        if picture.capture not in self.asked and (task.get("annotations") or task.get("drafts")):
            self.kept.add(picture.capture)
            self.shown.add(picture.image_sha256)
            return False
        return True


def forget(places: Places, prediction_id: str) -> Swept:
    """Delete one answer with all that came of it, but for dataset versions; DataError for what is no id."""
    places.store.write(tombstone(prediction_id), b"")
    keys = {entry.key for entry in places.store.list(place(prediction_id, ""))}
    return _erase(places, _Doomed(asked={prediction_id}, over=set(), keys=keys))


def sweep(places: Places, *, days: int, today: date) -> Swept:
    """Delete what was asked to be forgotten, and captures that are older than so many days.

    A task that people have labelled outlives the days of its capture: it is data of the project by then.
    """
    store, first = places.store, today - timedelta(days=days)
    asked = {name for _, name in _listed(store, f"{FORGOTTEN}/")}
    keys = {key: name for key, name in _listed(store, f"{CAPTURED}/dt=") if name in asked or day_of(name) < first}
    done = _erase(places, _Doomed(asked=asked, over=set(keys.values()) - asked, keys=set(keys)))
    gone = [tombstone(name) for name in asked if day_of(name) < first]
    list(in_parallel(store.delete, gone, title="housekeeping: tombstones"))
    return done


def _listed(store: Store, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield keys with the id that each is of."""
    for entry in store.list(prefix):
        name = entry.key.rpartition("/")[2].partition(".")[0]
        try:
            day_of(name)
        except DataError:
            log.warning("housekeeping: %s is no capture's, so it is left", store.url(entry.key))
        else:
            yield entry.key, name


def _erase(places: Places, doomed: _Doomed) -> Swept:
    store = places.store
    doomed.images |= _images(store, doomed)
    tasks = _drop_tasks(places, doomed)
    versions = _versions_with(store, set(doomed.images.values()), datasets=places.datasets)
    snapshots = _drop_snapshots(places, doomed)
    blobs = _drop_blobs(places, doomed, held=set(versions))
    drop_captures(store, places.problem, doomed.ids)
    names = {name for name in doomed.ids if any(place(name, ending) in doomed.keys for ending in ENDINGS)}
    for ending in ENDINGS:
        some = sorted(doomed.keys & {place(name, ending) for name in names})
        list(in_parallel(store.delete, some, title=f"housekeeping: {ending}"))
    found = Swept(
        problem=places.problem,
        capture_count=len(names),
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


def _images(store: Store, doomed: _Doomed) -> dict[str, str]:
    """Return the images of the records that are still there, by id."""

    def read(name: str) -> str | None:
        try:
            return Capture.model_validate_json(store.read(place(name, RECORD))).image_sha256
        except (DataError, ValidationError):
            return None

    names = sorted(name for name in doomed.ids if place(name, RECORD) in doomed.keys)
    found = zip(names, in_parallel(read, names, title="housekeeping: records"), strict=True)
    return {name: image for name, image in found if image}


def _drop_tasks(places: Places, doomed: _Doomed) -> int:
    count = 0
    for number in mirrored(places.store, places.problem) if doomed.ids else ():
        server = places.label_studio()
        try:
            project = server.project(number)
        except DataError as error:
            log.warning("housekeeping: %s, and its tasks with it", error)
            drop_mirror(places.store, places.problem, number)
            continue
        snapshot = refresh(places.store, server, problem=places.problem, project=project)
        tasks = [int(task["id"]) for task in documents(places.store, snapshot) if doomed.takes(task)]
        if tasks:
            server.drop_tasks(number, tasks)
            refresh(places.store, server, problem=places.problem, project=project)
        count += len(tasks)
    return count


def _drop_snapshots(places: Places, doomed: _Doomed) -> int:
    """Delete the snapshots that hold what is to go, but for those that a dataset version names."""
    gone = {name: image for name, image in doomed.images.items() if name not in doomed.kept}
    if not gone:
        return 0
    store, named = places.store, {one.labeled.label_snapshot for one in places.datasets}
    frozen = {one.uri for one in named if one}
    keys = [entry.key for entry in store.list(f"{SNAPSHOTS}/") if entry.key not in frozen]
    holding = in_parallel(lambda key: _holds(store, key, gone), keys, title="housekeeping: snapshots")
    found = [key for key, holds in zip(keys, holding, strict=True) if holds]
    list(in_parallel(store.delete, found, title="housekeeping: snapshots"))
    return len(found)


def _holds(store: Store, key: str, gone: Mapping[str, str]) -> bool:
    table = pq.read_table(pa.BufferReader(store.read(key)), columns=["image_sha256", "document"])
    rows = table.filter(_among(table, gone.values()))
    return any(f'"{name}"' in document for document in rows["document"].to_pylist() for name in gone)


def _versions_with(store: Store, images: set[str], *, datasets: Sequence[DatasetVersion]) -> dict[str, tuple[str, ...]]:
    """Return the names of the dataset versions that hold an image, by the images that any holds."""
    found: dict[str, tuple[str, ...]] = {}
    for version in datasets if images else ():
        table = read_manifest(store, version.manifest)
        for image in set(table.filter(_among(table, images))["image_sha256"].to_pylist()):
            found[image] = (*found.get(image, ()), version.name)
    return found


def _drop_blobs(places: Places, doomed: _Doomed, *, held: set[str]) -> int:
    store, images = places.store, set(doomed.images.values()) - doomed.shown - held
    for entry in store.list(f"index/{places.problem}/") if images else ():
        if not entry.key.endswith("/captures.parquet"):
            table = pq.read_table(pa.BufferReader(store.read(entry.key)), columns=["image_sha256"])
            images -= set(table.filter(_among(table, images))["image_sha256"].to_pylist())
    there = [f"blobs/{image}" for image in sorted(images) if store.exists(f"blobs/{image}")]
    list(in_parallel(store.delete, there, title="housekeeping: images"))
    return len(there)


def _among(table: pa.Table, images: Iterable[str]) -> pa.ChunkedArray:
    """Tell of each row whether it is of one of these images."""
    return pc.is_in(table["image_sha256"], pa.array(sorted(set(images)), pa.string()))
