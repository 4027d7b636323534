"""The tables that name images: manifests, which go round, and the ledger, in which ingest looks up what it has seen.

Both are Parquet, and the same rows always make the same bytes. Both may have a million rows: they are written and read
a batch at a time.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from loopline.clients.store import Store, StoredObject
from loopline.contracts import Artifact
from loopline.errors import DataError

ROWS = 65_536  # per row group: some 10 MB

_FOUND: dict[str, pa.DataType] = {
    "image_sha256": pa.string(),
    "key": pa.string(),
    "size_bytes": pa.int64(),
    "width_px": pa.int32(),
    "height_px": pa.int32(),
    "perceptual_hash": pa.string(),
    "quarantine_reason": pa.string(),
}
IMAGES = pa.schema(_FOUND)
"""What ingest finds: accepted images have a width, a height and a hash; the others have a reason."""


def write_manifest(store: Store, table: pa.Table, *, schema: pa.Schema | None = None) -> Artifact:
    """Store a table, or its columns that the schema names, at manifests/<sha256>.parquet."""
    whole = table if schema is None else table.select(schema.names).cast(schema)
    with TemporaryDirectory() as folder:
        return _publish(store, write_parquet(whole, Path(folder) / "rows.parquet"))


def write_batches(store: Store, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema) -> Artifact:
    """Store batches of ROWS rows, the last one of what is left, as write_manifest stores their table."""
    with TemporaryDirectory() as folder:
        return _publish(store, write_rows(Path(folder) / "rows.parquet", batches, schema=schema))


def lend_table(store: Store, table: pa.Table) -> Artifact:
    """Store a table that another process needs now, at tmp/tables/<sha256>.parquet; housekeeping deletes it later."""
    with TemporaryDirectory() as folder:
        path = write_parquet(table, Path(folder) / "rows.parquet")
        with path.open("rb") as body:
            sha256 = hashlib.file_digest(body, "sha256").hexdigest()
        # Written even where it is: an older one may be deleted before it is read.
        return store.put(path, f"tmp/tables/{sha256}.parquet")


def read_manifest(store: Store, artifact: Artifact, *, schema: pa.Schema | None = None) -> pa.Table:
    """Read a manifest; IntegrityError if its bytes were altered, DataError if its columns are not the schema's."""
    table = pq.read_table(pa.BufferReader(store.read_artifact(artifact)))
    if schema is not None and not table.schema.equals(schema):
        raise DataError(
            f"{store.url(artifact.uri)} has the columns {', '.join(table.schema.names)} instead of "
            f"{', '.join(schema.names)}; another version of Loopline made it, so make it again"
        )
    return table


def compare_manifests(store: Store, before: str, now: str) -> str:
    """Say how two manifests of labelled images differ, given their sha256: "12 labels differ"."""
    labels = [
        pq.read_table(pa.BufferReader(store.read(f"manifests/{sha256}.parquet")), columns=["key", "label"]).to_pylist()
        for sha256 in (before, now)
    ]
    old, new = ({(row["key"], row["label"]) for row in rows} for rows in labels)
    count = len({key for key, _ in old ^ new})
    return f"{count} label{' differs' if count == 1 else 's differ'}" if count else "images changed, but no label"


def write_parquet(table: pa.Table, path: Path) -> Path:
    """Write a table to a Parquet file: the same rows, the same bytes, however the table was put together."""
    return write_rows(path, table.combine_chunks().to_batches(max_chunksize=ROWS), schema=table.schema)


def write_rows(path: Path, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema) -> Path:
    """Write each batch as a row group of a Parquet file."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def _publish(store: Store, path: Path) -> Artifact:
    return store.publish(path, "manifests", suffix=".parquet")


class Finding(NamedTuple):
    """What was found in one image, and at which etag: a row of the index."""

    image_sha256: str | None  # None: it was gone before it could be read, and is in no index
    key: str
    size_bytes: int
    width_px: int | None
    height_px: int | None
    perceptual_hash: str | None
    quarantine_reason: str | None
    etag: str


class Ledger:
    """A listing beside what is known of it, joined in a temporary file: a million keys take 90 MB of memory."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("")
        self._db.executescript(
            f"""PRAGMA journal_mode = OFF;
            CREATE TABLE listed (key TEXT PRIMARY KEY, etag, size_bytes) WITHOUT ROWID;
            CREATE TABLE known ({", ".join(Finding._fields)}, PRIMARY KEY (key)) WITHOUT ROWID"""
        )

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def enlist(self, entries: Iterable[StoredObject]) -> None:
        """Note what is stored now."""
        rows = ((entry.key, entry.etag, entry.size_bytes) for entry in entries)
        self._db.executemany("INSERT INTO listed VALUES (?, ?, ?)", rows)

    def strike(self, key: str) -> None:
        """Take back that the key is stored."""
        self._db.execute("DELETE FROM listed WHERE key = ?", (key,))

    def remember(self, findings: Iterable[Finding]) -> None:
        """Note what was found, in place of what was found before at the same keys."""
        self._db.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?)", findings)

    def unread(self, count: int) -> Iterator[list[StoredObject]]:
        """Yield what is listed with another etag or size than is known, in lists of at most so many."""
        query = """SELECT key, etag, size_bytes FROM listed LEFT JOIN known USING (key, etag, size_bytes)
                   WHERE image_sha256 IS NULL AND key > ? ORDER BY key LIMIT ?"""
        last = ""
        while rows := self._db.execute(query, (last, count)).fetchall():
            last = rows[-1][0]
            yield [StoredObject(*row) for row in rows]

    def rows(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield what is known of the listed keys, in the order of their bytes, in batches of ROWS rows."""
        names = ", ".join(schema.names)
        cursor = self._db.execute(
            f"SELECT {names} FROM known WHERE key IN (SELECT key FROM listed) ORDER BY key"  # noqa: S608
        )
        while rows := cursor.fetchmany(ROWS):
            columns = zip(schema, zip(*rows, strict=True), strict=True)
            yield pa.RecordBatch.from_arrays([pa.array(column, field.type) for field, column in columns], schema=schema)

    def reasons(self) -> dict[str | None, int]:
        """Count the listed images by what is wrong with them (None: nothing), the most frequent first."""
        query = """SELECT quarantine_reason, count(*) FROM known WHERE key IN (SELECT key FROM listed)
                   GROUP BY quarantine_reason ORDER BY count(*) DESC, quarantine_reason"""
        return dict(self._db.execute(query).fetchall())
