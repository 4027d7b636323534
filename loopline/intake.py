"""How images enter: from a folder into the store's inbox, and from there, checked one by one, into a manifest.

Blobs and quarantined bytes are stored before the index that says they were seen. A run that is killed anywhere is
simply run again: what the index lacks is read once more, and found to be stored already.
"""

import hashlib
import logging
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
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
from loopline.key_ranges import FINDINGS, Spread, judge, judge_elsewhere
from loopline.manifest import IMAGES, ROWS, Finding, Ledger, write_batches, write_rows

SIDECARS = (".json", ".jsonl")  # labels, splits and groups, beside the images
CHECKPOINT_COUNT = 20_000  # new images between two writings of the index: what a killed run may have to read again
MAX_KEY_BYTES = 1024  # S3's limit

_log = logging.getLogger(__name__)


def take_images(
    store: Store, problem: str, source: str, *, spread: Spread | None = None, range_count: int = CHECKPOINT_COUNT
) -> RawDataset:
    """Check each image under the source, reading only what is new or changed, and return the manifest of them all.

    The source is a prefix relative to the store's root, or its s3:// URL. Accepted bytes go to blobs/<sha256>, others
    to quarantine/<sha256> with the reason beside them. DataError if there is no image, or none that can be used.
    With `spread`, others judge ranges of so many keys each; the outcome is the same.
    """
    prefix = _prefix(store, source)
    index = f"index/{problem}/{hashlib.sha256(prefix.encode()).hexdigest()}.parquet"
    with closing(Ledger()) as ledger:
        ledger.remember(_indexed(store, index))
        ledger.enlist(_images(store, prefix))
        if spread is None:
            ranges = ledger.unread(CHECKPOINT_COUNT)
            found: Iterable[Iterable[Finding]] = (judge(store, prefix, entries) for entries in ranges)
        else:
            found = judge_elsewhere(store, prefix, ledger.unread(range_count), spread=spread)
        new_count = _note(store, ledger, found, index=index)
        reasons = ledger.reasons()
        image_count, told = reasons.pop(None, 0), _told(reasons)
        if not image_count:
            raise _unusable(store, prefix, found=told if reasons else None)
        manifest = write_batches(store, ledger.rows(IMAGES), schema=IMAGES)
    _log.info("ingest: %s images, %s, %s new", _spaced(image_count), told, _spaced(new_count))
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
                if not file.schema_arrow.equals(FINDINGS, check_metadata=True):
                    return
                for batch in file.iter_batches(ROWS):
                    yield from map(Finding._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))
        except (pa.ArrowException, OSError) as error:
            _log.warning("ingest: %s is damaged (%s), so what it lacks is read again", store.url(index), error)


def _note(store: Store, ledger: Ledger, ranges: Iterable[Iterable[Finding]], *, index: str) -> int:
    """Enter what is found into the ledger, and now and then into the index; return how many images that is."""
    new_count = unsaved_count = 0
    for findings in ranges:
        for finding in findings:
            unsaved_count += 1
            if finding.image_sha256 is None:
                ledger.strike(finding.key)
            else:
                ledger.remember([finding])
                new_count += 1
        if unsaved_count >= CHECKPOINT_COUNT:
            _write_index(store, ledger, index)
            unsaved_count = 0
    if unsaved_count:
        _write_index(store, ledger, index)
    return new_count


def _write_index(store: Store, ledger: Ledger, index: str) -> None:
    with TemporaryDirectory() as folder:
        store.put(write_rows(Path(folder) / "index.parquet", ledger.rows(FINDINGS), schema=FINDINGS), index)


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
