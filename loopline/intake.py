"""How images enter: from a folder into the store's inbox, and from there, checked one by one, into a manifest.

Blobs and quarantined bytes are stored before the index that says they were seen. A run that is killed anywhere is
simply run again: what the index lacks is read once more, and found to be stored already.
"""

import hashlib
import json
import logging
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from loopline.captures import CAPTURED
from loopline.clients.store import Store, StoredObject, in_parallel
from loopline.contracts import RawDataset
from loopline.errors import ConfigError, DataError
from loopline.images import RULES, decode, perceptual_hash
from loopline.manifest import IMAGES, ROWS, Finding, Ledger, write_batches, write_rows

SIDECARS = (".json", ".jsonl")  # labels, splits and groups, beside the images
CHECKPOINT_COUNT = 20_000  # new images between two writings of the index: what a killed run may have to read again
MAX_BYTES = 128 * 2**20  # 40 megapixels in colour, uncompressed; a larger object never enters memory
MAX_KEY_BYTES = 1024  # S3's limit

_INDEX = IMAGES.append(pa.field("etag", pa.string())).with_metadata({"rules": str(RULES)})
_log = logging.getLogger(__name__)


def take_images(store: Store, problem: str, source: str) -> RawDataset:
    """Check each image under the source, reading only what is new or changed, and return the manifest of them all.

    The source is a prefix relative to the store's root, or its s3:// URL. Accepted bytes go to blobs/<sha256>, others
    to quarantine/<sha256> with the reason beside them. DataError if there is no image, or none that can be used.
    """
    prefix = _prefix(store, source)
    index = f"index/{problem}/{hashlib.sha256(prefix.encode()).hexdigest()}.parquet"
    with closing(Ledger()) as ledger:
        ledger.remember(_indexed(store, index))
        ledger.enlist(_images(store, prefix))
        new_count = _read_new(store, ledger, prefix=prefix, index=index)
        reasons = ledger.reasons()
        image_count, found = reasons.pop(None, 0), _told(reasons)
        if not image_count:
            raise _unusable(store, prefix, found=found if reasons else None)
        manifest = write_batches(store, ledger.rows(IMAGES), schema=IMAGES)
    _log.info("ingest: %s images, %s, %s new", _spaced(image_count), found, _spaced(new_count))
    return RawDataset(
        problem=problem,
        manifest=manifest,
        image_count=image_count,
        quarantined_count=sum(reasons.values()),
        source=prefix,
    )


def mirror_folder(store: Store, folder: Path, prefix: str) -> int:
    """Make the prefix hold what the folder holds at any depth, hidden files left out; return the count uploaded.

    What the store has already is not sent again; what the folder no longer has is deleted. DataError if there is no
    such folder, nothing in it, or a name that no key can have.
    """
    prefix = _prefix(store, prefix)
    files = _files(folder)
    there = {entry.key.removeprefix(f"{prefix}/"): entry for entry in store.list(f"{prefix}/")}
    gone = [f"{prefix}/{key}" for key in there.keys() - files.keys()]
    list(in_parallel(store.delete, gone, title="delete"))
    changed = {f"{prefix}/{key}": path for key, path in files.items() if _differs(path, there.get(key))}
    store.upload_all(changed)
    return len(changed)


def is_hidden(key: str) -> bool:
    """Tell names of files that people don't see, or that lie in folders that they don't see."""
    return any(part.startswith(".") and part.strip(".") for part in key.split("/"))


def _prefix(store: Store, source: str) -> str:
    root = store.url("")
    if "://" in source and not source.startswith(root):
        raise ConfigError(f"{source} is outside {root}, the only place that is read; bring the images there first")
    prefix = source.removeprefix(root).strip("/")
    if {"", ".", ".."} & set(prefix.split("/")):
        raise ConfigError(f"{source!r} is not a place inside {root}; give a prefix such as inbox/lines")
    if prefix.split("/")[0] == CAPTURED:
        raise ConfigError(
            f"{store.url(CAPTURED)} holds what users sent, which nobody has reviewed; "
            "offer it to people with `loopline labels collect --captures`"
        )
    return prefix


def _images(store: Store, prefix: str) -> Iterator[StoredObject]:
    for entry in store.list(f"{prefix}/"):
        key = entry.key.removeprefix(f"{prefix}/")
        if not key.lower().endswith((*SIDECARS, "/")) and not is_hidden(key):
            yield StoredObject(key, entry.etag, entry.size_bytes)


def _indexed(store: Store, index: str) -> Iterator[Finding]:
    if not store.exists(index):
        return
    with TemporaryDirectory() as folder:
        path = store.download(index, Path(folder) / "index.parquet")
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(_INDEX, check_metadata=True):
                    return
                for batch in file.iter_batches(ROWS):
                    yield from map(Finding._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))
        except (pa.ArrowException, OSError) as error:
            _log.warning("ingest: %s is damaged (%s), so what it lacks is read again", store.url(index), error)


def _read_new(store: Store, ledger: Ledger, *, prefix: str, index: str) -> int:
    new_count = 0
    for entries in ledger.unread(CHECKPOINT_COUNT):
        findings = in_parallel(partial(_take, store, prefix), entries, title="ingest")
        for entry, finding in zip(entries, findings, strict=True):
            if finding is None:
                ledger.strike(entry.key)
            else:
                ledger.remember([finding])
                new_count += 1
        _write_index(store, ledger, index)
    return new_count


def _write_index(store: Store, ledger: Ledger, index: str) -> None:
    with TemporaryDirectory() as folder:
        store.put(write_rows(Path(folder) / "index.parquet", ledger.rows(_INDEX), schema=_INDEX), index)


def _take(store: Store, prefix: str, entry: StoredObject) -> Finding | None:
    """Read, judge and store one image; None if it is no longer there."""
    key = f"{prefix}/{entry.key}"
    try:
        if entry.size_bytes > MAX_BYTES:
            return _set_aside_unread(store, key, entry)
        data = store.read(key)
    except DataError:
        _log.warning("ingest: %r was deleted before it could be read, so it is left out", store.url(key))
        return None
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


def _unusable(store: Store, prefix: str, *, found: str | None) -> DataError:
    place = f"{store.url(prefix)}/"
    if found is None:
        return DataError(f"there are no images under {place}; put some there, or name another source")
    return DataError(
        f"no image under {place} can be used: {found}; the reason for each is in {store.url('quarantine')}/"
    )


def _told(reasons: Mapping[str | None, int]) -> str:
    """Say how many are quarantined and why: 3 quarantined (2 truncated, 1 zero bytes)."""
    parts = ", ".join(f"{_spaced(count)} {reason}" for reason, count in reasons.items())
    return f"{_spaced(sum(reasons.values()))} quarantined" + (f" ({parts})" if parts else "")


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def _files(folder: Path) -> dict[str, Path]:
    """Return the folder's files by key, relative to it and in NFC, so that a name has one spelling everywhere."""
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        key = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
        if is_hidden(key) or not path.is_file():
            continue
        if any(unicodedata.category(sign) in {"Cc", "Cs"} for sign in key) or len(key.encode()) > MAX_KEY_BYTES:
            raise DataError(f"no key can be made of the file name {key!r} in {folder}; rename the file")
        if key in files:
            raise DataError(f"{folder} has {key!r} in two Unicode spellings; rename one of the files")
        files[key] = path
    if not files:
        raise DataError(
            f"{folder} " + ("has no files" if folder.is_dir() else "is not a folder") + "; name a folder with images"
        )
    return files


def _differs(path: Path, stored: StoredObject | None) -> bool:
    if stored is None or stored.size_bytes != path.stat().st_size:
        return True
    with path.open("rb") as body:
        return hashlib.file_digest(body, partial(hashlib.md5, usedforsecurity=False)).hexdigest() != stored.etag
