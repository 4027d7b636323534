"""A dataset version as a file of tasks that Label Studio, and our own `labels import`, can take in."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from uuid import uuid4

import pyarrow.parquet as pq

from loopline.board import IMAGE
from loopline.clients.store import Store
from loopline.contracts import DatasetVersion
from loopline.errors import ConfigError
from loopline.labels import count_reasons
from loopline.problems import Problem
from loopline.sidecars import Row

ROWS = 2000  # at once: some 2 MB, however many there are
COLUMNS = ("image_sha256", "key", "split", "group", "label", "rejected")
FACTS = ("key", "split", "group")


def export_labels(store: Store, dataset: DatasetVersion, *, problem: Problem, path: Path) -> tuple[int, Counter[str]]:
    """Write each usable line as a task with its label; return their number, and the others counted by reason.

    The label names no person, since it is what several settled on, and no server but ours knows them. The same version
    in the same store gives the same bytes. ConfigError for a file that exists already.
    """
    count, rejected = 0, Counter[str]()
    with _new(path) as body:
        for row in _rows(store, dataset):
            if row["rejected"]:
                rejected += count_reasons([row])
                continue
            body.write(",\n" if count else "[\n")
            json.dump(_task(store, row, problem), body, ensure_ascii=False)
            count += 1
        body.write("\n]\n" if count else "[]\n")
    return count, rejected


def _rows(store: Store, dataset: DatasetVersion) -> Iterator[Row]:
    with TemporaryDirectory() as folder:
        manifest = pq.ParquetFile(store.fetch(dataset.manifest, Path(folder) / "manifest.parquet"))
        for batch in manifest.iter_batches(ROWS, columns=list(COLUMNS)):
            yield from batch.to_pylist()


def _task(store: Store, row: Row, problem: Problem) -> dict[str, Any]:
    facts = {name: row[name] for name in FACTS if row[name] is not None}
    data = {"image": store.url(f"blobs/{row['image_sha256']}"), IMAGE: row["image_sha256"], **facts}
    # Unless told otherwise, Label Studio takes what is imported for the ground truth that others are held against.
    return {"data": data, "annotations": [{"result": problem.write_label(row["label"]), "ground_truth": False}]}


@contextmanager
def _new(path: Path) -> Iterator[IO[str]]:
    """Give a file that stands at the path once it is whole; nothing is ever overwritten."""
    if path.exists():
        raise ConfigError(f"{path} exists already; name a new file")
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("x", encoding="utf-8", newline="\n") as body:
            yield body
        part.rename(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written ({error.strerror}); name a file in a folder that exists") from None
    finally:
        part.unlink(missing_ok=True)
