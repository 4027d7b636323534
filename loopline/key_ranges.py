"""Ranges of a source's keys: what is read and judged together, by this process or by another one.

Between processes a range goes as a listing and comes back as findings, both as Parquet in the store. Whoever judges a
range twice, or two at once, store the same bytes under the same names.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from loopline.clients.store import Store, StoredObject, in_parallel
from loopline.contracts import Artifact, KeyRange
from loopline.errors import DataError
from loopline.images import RULES, decode, perceptual_hash
from loopline.manifest import IMAGES, Finding, lend_table, read_manifest

MAX_BYTES = 128 * 2**20  # 40 megapixels in colour, uncompressed; a larger object never enters memory
FINDINGS = IMAGES.append(pa.field("etag", pa.string())).with_metadata({"rules": str(RULES)})
"""What was found, and at which etag."""

Spread = Callable[[Iterable[KeyRange]], Iterator[Artifact]]
"""Has each range judged by `judge_range` somewhere, and yields the findings in the ranges' order."""

_LISTING = pa.schema([("key", pa.string()), ("etag", pa.string()), ("size_bytes", pa.int64())])
_log = logging.getLogger(__name__)


def judge(store: Store, prefix: str, entries: Sequence[StoredObject]) -> Iterator[Finding]:
    """Read, judge and store images below the prefix, many at once, in their order."""
    return in_parallel(partial(_take, store, prefix), entries, title="ingest")


def judge_elsewhere(
    store: Store, prefix: str, ranges: Iterable[Sequence[StoredObject]], *, spread: Spread
) -> Iterator[list[Finding]]:
    """Yield what others find in each range."""
    for findings in spread(_range(store, prefix, entries) for entries in ranges):
        columns = read_manifest(store, findings, schema=FINDINGS).columns
        yield [Finding._make(row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def judge_range(store: Store, part: KeyRange) -> Artifact:
    """Judge a range for another process, and return the findings."""
    rows = read_manifest(store, part.listing, schema=_LISTING).to_pylist()
    findings = list(judge(store, part.prefix, [StoredObject(**row) for row in rows]))
    arrays = [pa.array(column, field.type) for column, field in zip(zip(*findings, strict=True), FINDINGS, strict=True)]
    return lend_table(store, pa.Table.from_arrays(arrays, schema=FINDINGS))


def _range(store: Store, prefix: str, entries: Sequence[StoredObject]) -> KeyRange:
    listing = pa.Table.from_pylist([vars(entry) for entry in entries], schema=_LISTING)
    return KeyRange(prefix=prefix, listing=lend_table(store, listing))


def _take(store: Store, prefix: str, entry: StoredObject) -> Finding:
    """Read, judge and store one image."""
    key = f"{prefix}/{entry.key}"
    try:
        if entry.size_bytes > MAX_BYTES:
            return _set_aside_unread(store, key, entry)
        data = store.read(key)
    except DataError:
        _log.warning("ingest: %r was deleted before it could be read, so it is left out", store.url(key))
        return Finding(None, entry.key, entry.size_bytes, None, None, None, None, entry.etag)
    try:
        image = decode(data)
    except DataError as reason:
        return _set_aside(store, key, entry, source=data, reason=str(reason))
    blob = store.publish(data, "blobs")
    return Finding(blob.sha256, entry.key, blob.size_bytes, *image.size, perceptual_hash(image), None, entry.etag)


def _set_aside_unread(store: Store, key: str, entry: StoredObject) -> Finding:
    with TemporaryDirectory() as folder:
        path = store.download(key, Path(folder) / "object")
        return _set_aside(store, key, entry, source=path, reason=f"over {MAX_BYTES // 2**20} MB")


def _set_aside(store: Store, key: str, entry: StoredObject, *, source: Path | bytes, reason: str) -> Finding:
    copy = store.publish(source, "quarantine")
    store.write(f"{copy.uri}.json", json.dumps({"key": key, "reason": reason}, ensure_ascii=False).encode())
    return Finding(copy.sha256, entry.key, copy.size_bytes, None, None, None, reason, entry.etag)
