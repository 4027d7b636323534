"""A label project, mirrored into the store: every task as Label Studio last exported it, before anything is parsed.

A snapshot is a Parquet file of one row a task, named by its digest. A small document names the newest one and its
cut-off: when, by the server's own clock, a task was last changed. Whatever was changed since, or a little before, is
exported anew; a task that is changed while that happens keeps its former row until the next time. So a snapshot holds
one moment, however long it took to read.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from loopline.clients.store import Store
from loopline.contracts import Artifact
from loopline.errors import DataError
from loopline.manifest import write_rows

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio, Project

log = logging.getLogger(__name__)

TASKS = pa.schema(
    [
        pa.field("task", pa.int64(), nullable=False),
        pa.field("updated_at", pa.string(), nullable=False),
        pa.field("image_sha256", pa.string()),
        pa.field("document", pa.string(), nullable=False),
    ]
)
SNAPSHOTS = "label-studio/snapshots"
OVERLAP = timedelta(seconds=30)  # a change is dated when it begins and seen when its transaction ends
PAGE = 500  # tasks exported, and rows written, at once: some 1 MB
CHECKPOINT_COUNT = 10_000  # tasks between two snapshots of one run: what a killed run has to export again


class _State(BaseModel):
    model_config = ConfigDict(frozen=True)

    project_made_at: datetime
    snapshot: Artifact
    cutoff: datetime | None


def refresh(store: Store, client: "LabelStudio", *, problem: str, project: "Project") -> Artifact:
    """Bring the mirror of a project up to date and return its snapshot; the same one if nothing was changed.

    Raises what the client raises; the snapshot that was there before then stays.
    """
    place = _place(problem, project.id)
    state = _state(store, place)
    if state and state.project_made_at != project.made_at:  # another server, or made anew
        state = None
    with closing(_Tasks()) as tasks:
        if state:
            tasks.load(store, state.snapshot)
        cutoff, since = client.latest(project.id), state.cutoff if state else None
        changed = _changed(client, project, tasks=tasks, since=since, cutoff=cutoff)
        gone = 0
        for start in range(0, len(changed), PAGE):
            tasks.put(client.export(project.id, changed[start : start + PAGE]), cutoff=cutoff)
            if start and start % CHECKPOINT_COUNT == 0:
                _keep(store, place, tasks=tasks, project=project, cutoff=since)
        if client.project(project.id).task_count != tasks.count():
            gone = tasks.drop_all_but(stamp.task for page in client.stamps(project.id) for stamp in page)
        if state and not changed and not gone and state.cutoff == cutoff:
            return state.snapshot
        if changed or gone:
            log.info("label_sync: %d tasks of project %d changed, %d deleted", len(changed), project.id, gone)
        return _keep(store, place, tasks=tasks, project=project, cutoff=cutoff)


def mirrored(store: Store, problem: str) -> list[int]:
    """Return the numbers of the projects that were ever mirrored."""
    names = (entry.key.rpartition("/")[2].removesuffix(".json") for entry in store.list(f"label-studio/{problem}/"))
    return [int(name) for name in names if name.isdigit()]


def snapshot_of(store: Store, problem: str, project: int) -> Artifact | None:
    """Return the newest snapshot of a project, as it was last mirrored."""
    state = _state(store, _place(problem, project))
    return state.snapshot if state else None


def drop_mirror(store: Store, problem: str, project: int) -> None:
    """Forget that a project was mirrored; snapshots that were taken of it stay."""
    store.delete(_place(problem, project))


def documents(store: Store, snapshot: Artifact) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a snapshot as Label Studio exported them, in the order of their ids."""
    with TemporaryDirectory() as folder:
        path = store.fetch(snapshot, Path(folder) / "tasks.parquet")
        for batch in pq.ParquetFile(path).iter_batches(PAGE, columns=["document"]):
            yield from map(json.loads, batch.column(0).to_pylist())


def tasks_by_image(store: Store, snapshot: Artifact) -> dict[str, list[int]]:
    """Return the ids of the tasks that show an image, the oldest first, by its sha256."""
    table = pq.read_table(pa.BufferReader(store.read_artifact(snapshot)), columns=["task", "image_sha256"])
    found: dict[str, list[int]] = {}
    for task, image in zip(table["task"].to_pylist(), table["image_sha256"].to_pylist(), strict=True):
        if image:
            found.setdefault(image, []).append(task)
    return found


def _place(problem: str, project: int) -> str:
    return f"label-studio/{problem}/{project}.json"


def _state(store: Store, place: str) -> _State | None:
    if not store.exists(place):
        return None
    try:
        return _State.model_validate_json(store.read(place))
    except ValidationError:
        log.warning("label_sync: %s is damaged, so the project is read from its beginning", store.url(place))
        return None


def _changed(
    client: "LabelStudio", project: "Project", *, tasks: "_Tasks", since: datetime | None, cutoff: datetime | None
) -> list[int]:
    """Return the ids of the tasks that are not known as they are at the cut-off."""
    after = since - OVERLAP if since else None
    pages = client.stamps(project.id, after=after, until=cutoff) if cutoff else ()
    return [stamp.task for page in pages for stamp in page if tasks.updated_at(stamp.task) != stamp.updated_at]


def _keep(store: Store, place: str, *, tasks: "_Tasks", project: "Project", cutoff: datetime | None) -> Artifact:
    with TemporaryDirectory() as folder:
        path = write_rows(Path(folder) / "tasks.parquet", tasks.batches(), schema=TASKS)
        snapshot = store.publish(path, SNAPSHOTS, suffix=".parquet")
    state = _State(project_made_at=project.made_at, snapshot=snapshot, cutoff=cutoff)
    store.write(place, state.model_dump_json().encode())
    return snapshot


class _Tasks:
    """A project's tasks in a temporary file, so that 50,000 take no more memory than 2,000."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("")
        self._db.executescript(
            """PRAGMA journal_mode = OFF;
            CREATE TABLE tasks (task INTEGER PRIMARY KEY, updated_at TEXT, image_sha256 TEXT, document TEXT);
            CREATE TABLE there (task INTEGER PRIMARY KEY)"""
        )

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def load(self, store: Store, snapshot: Artifact) -> Self:
        """Take in a snapshot; DataError if its columns are another release's."""
        with TemporaryDirectory() as folder:
            file = pq.ParquetFile(store.fetch(snapshot, Path(folder) / "tasks.parquet"))
            if not file.schema_arrow.equals(TASKS):
                raise DataError(f"{store.url(snapshot.uri)} was written by another release of Loopline; delete it")
            for batch in file.iter_batches(PAGE):
                self._insert(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        return self

    def put(self, exported: Sequence[dict[str, Any]], *, cutoff: datetime | None) -> None:
        """Take in tasks as they were exported, but for those changed after the cut-off."""
        fresh = [task for task in exported if cutoff and datetime.fromisoformat(task["updated_at"]) <= cutoff]
        self._insert((task["id"], task["updated_at"], _image(task), _document(task)) for task in fresh)

    def updated_at(self, task: int) -> datetime | None:
        """Return when a known task was changed."""
        found = self._db.execute("SELECT updated_at FROM tasks WHERE task = ?", (task,)).fetchone()
        return datetime.fromisoformat(found[0]) if found else None

    def count(self) -> int:
        """Return how many tasks are known."""
        return int(self._db.execute("SELECT count(*) FROM tasks").fetchone()[0])

    def drop_all_but(self, tasks: Iterator[int]) -> int:
        """Forget the tasks that are no longer there; return how many."""
        self._db.executemany("INSERT OR IGNORE INTO there VALUES (?)", ((task,) for task in tasks))
        return self._db.execute("DELETE FROM tasks WHERE task NOT IN (SELECT task FROM there)").rowcount

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all tasks in the order of their ids."""
        cursor = self._db.execute("SELECT task, updated_at, image_sha256, document FROM tasks ORDER BY task")
        while rows := cursor.fetchmany(PAGE):
            columns = zip(TASKS, zip(*rows, strict=True), strict=True)
            yield pa.RecordBatch.from_arrays([pa.array(column, field.type) for field, column in columns], schema=TASKS)

    def _insert(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?)", rows)


def _image(task: dict[str, Any]) -> str | None:
    found = (task.get("data") or {}).get("image_sha256")
    return found if isinstance(found, str) else None


def _document(task: dict[str, Any]) -> str:
    return json.dumps(task, ensure_ascii=True, sort_keys=True)  # ASCII: half characters fit into no table
