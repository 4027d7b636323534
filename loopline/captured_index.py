"""What is known of the captures in the store: each record is read once, each picture when it is wanted.

Kept in index/<problem>/captures.parquet, without a word that a user wrote. It is a cache of the records: what is
deleted there drops out of it at the next look.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from loopline.captures import CAPTURED, CORRECTION, FORGOTTEN, PICTURE, RECORD, Capture, place
from loopline.clients.store import Store, in_parallel
from loopline.errors import DataError
from loopline.images import RULES, decode, perceptual_hash
from loopline.manifest import write_parquet

log = logging.getLogger(__name__)

MOST_CAPTURES = 50_000  # the newest, and as many corrected ones: what nobody labelled among so many, nobody will

_SCHEMA = pa.schema(
    {
        "prediction_id": pa.string(),
        "etag": pa.string(),
        "image_sha256": pa.string(),
        "width_px": pa.int32(),
        "height_px": pa.int32(),
        "confidence": pa.float64(),
        "asker": pa.string(),
        "perceptual_hash": pa.string(),
        "reason": pa.string(),
    }
).with_metadata({"rules": str(RULES)})


class Listed(NamedTuple):
    """A capture whose record is in the store; the etag of its correction is "" where there is none."""

    prediction_id: str
    etag: str
    correction_etag: str


class Seen(NamedTuple):
    """What was read of a capture: `reason` is why it can't be used, the hash is None until its picture was read."""

    prediction_id: str
    etag: str
    image_sha256: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    confidence: float | None = None
    asker: str | None = None
    perceptual_hash: str | None = None
    reason: str | None = None


def list_captures(store: Store) -> tuple[list[Listed], int]:
    """Return the newest captures, those to be forgotten left out, and how many older ones were left out beyond."""
    forgotten = {entry.key.rpartition("/")[2] for entry in store.list(f"{FORGOTTEN}/")}
    corrected, others = deque[Listed](maxlen=MOST_CAPTURES), deque[Listed](maxlen=MOST_CAPTURES)
    count = 0
    for one in _listed(store):
        if one.prediction_id not in forgotten:
            count += 1
            (corrected if one.correction_etag else others).append(one)
    return [*corrected, *others], count - len(corrected) - len(others)


def read_captures(store: Store, problem: str, listed: Sequence[Listed]) -> dict[str, Seen]:
    """Return what is known of these captures by their ids, after reading the records that are new or changed."""
    known = {one.prediction_id: one for one in _kept(store, problem)}
    found = {one.prediction_id: known[one.prediction_id] for one in listed if one.prediction_id in known}
    new = [one for one in listed if one.prediction_id not in found or found[one.prediction_id].etag != one.etag]
    read = in_parallel(partial(_read, store, problem), new, title="captures")
    return found | {one.prediction_id: one for one in read if one}


def look_at(store: Store, some: Iterable[Seen]) -> Iterator[Seen]:
    """Yield captures with their pictures' hashes, or the reason why there is none."""
    yield from in_parallel(partial(_looked_at, store), list(some), title="captures: pictures")


def keep_captures(store: Store, problem: str, seen: Iterable[Seen]) -> None:
    """Keep what is known of captures, in place of what was kept before."""
    columns = zip(*sorted(seen), strict=True)
    arrays = [pa.array(column, field.type) for field, column in zip(_SCHEMA, columns, strict=False)]
    table = pa.Table.from_arrays(arrays, schema=_SCHEMA) if arrays else _SCHEMA.empty_table()
    with TemporaryDirectory() as folder:
        store.put(write_parquet(table, Path(folder) / "captures.parquet"), _place(problem))


def drop_captures(store: Store, problem: str, gone: Set[str]) -> None:
    """Take captures out of what is kept."""
    kept = list(_kept(store, problem))
    if left := [one for one in kept if one.prediction_id in gone]:
        keep_captures(store, problem, [one for one in kept if one not in left])


def _listed(store: Store) -> Iterator[Listed]:
    """Yield the captures that have a record, the oldest day first."""
    entries = ((entry.key.rpartition("/")[2], entry.etag) for entry in store.list(f"{CAPTURED}/dt="))
    for name, parts in groupby(entries, key=lambda entry: entry[0].partition(".")[0]):
        etags = {part.removeprefix(name): etag for part, etag in parts}
        if RECORD in etags:
            yield Listed(name, etags[RECORD], etags.get(CORRECTION, ""))


def _kept(store: Store, problem: str) -> Iterator[Seen]:
    if not store.exists(_place(problem)):
        return
    with TemporaryDirectory() as folder:
        try:
            table = pq.read_table(store.download(_place(problem), Path(folder) / "captures.parquet"))
        except pa.ArrowException as error:
            log.warning("captures: %s is damaged (%s), so all are read again", store.url(_place(problem)), error)
            return
    if table.schema.equals(_SCHEMA, check_metadata=True):
        yield from map(Seen._make, zip(*(column.to_pylist() for column in table.columns), strict=True))


def _read(store: Store, problem: str, one: Listed) -> Seen | None:
    """Read a record; None if it is no longer there."""
    try:
        record = Capture.model_validate_json(store.read(place(one.prediction_id, RECORD)))
    except ValidationError:
        return Seen(one.prediction_id, one.etag, reason="its record can't be read")
    except DataError:
        log.info("captures: %s was deleted before it could be read, so it is left out", one.prediction_id)
        return None
    if record.model.partition(":")[0] != problem:
        return Seen(one.prediction_id, one.etag, reason="it is another problem's")
    size = record.width_px, record.height_px
    return Seen(one.prediction_id, one.etag, record.image_sha256, *size, record.confidence, record.key)


def _looked_at(store: Store, one: Seen) -> Seen:
    if one.perceptual_hash:
        return one
    try:
        png = store.read(place(one.prediction_id, PICTURE))
        if hashlib.sha256(png).hexdigest() != one.image_sha256:
            return one._replace(reason="its picture is not the one of its record")
        return one._replace(perceptual_hash=perceptual_hash(decode(png)))
    except DataError as error:
        return one._replace(reason=f"its picture can't be read: {error}")


def _place(problem: str) -> str:
    return f"index/{problem}/captures.parquet"
