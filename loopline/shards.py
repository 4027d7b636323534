"""Shards: Parquet files of some thousand images each, preprocessed once, by this process or by another one.

The same images in the same order make the same bytes, whoever writes them.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from loopline.clients.store import Store, in_parallel
from loopline.contracts import Artifact, ShardPlan
from loopline.images import decode
from loopline.manifest import lend_table, read_manifest, write_parquet
from loopline.problems import Problem
from loopline.registry import Registry

SHARD_SCHEMA = pa.schema(
    [("image_sha256", pa.string()), ("width_px", pa.int32()), ("height_px", pa.int32()), ("png", pa.binary())]
)
SHARD_LINES = 2000  # some 40 MB: one request moves much, one changed line rewrites none

Spread = Callable[[Iterable[ShardPlan]], Iterator[Artifact]]
"""Has each shard made by `make_shard` somewhere, and yields them in the plans' order."""

_PLANNED = pa.schema([("image_sha256", pa.string())])


def write_shards(
    store: Store,
    images: Sequence[str],
    *,
    problem: Problem,
    folder: Path,
    spread: Spread | None = None,
    line_count: int = SHARD_LINES,
) -> Iterator[Path]:
    """Preprocess images and write them into shards of so many lines, here or, with `spread`, elsewhere."""
    lists = [images[start : start + line_count] for start in range(0, len(images), line_count)]
    if spread is not None:
        yield from _fetched(store, lists, problem=problem, folder=folder, spread=spread)
        return
    rows = in_parallel(partial(_preprocessed, store, problem), images, title="version: shards")
    for number, one in enumerate(lists):
        table = pa.Table.from_pylist(list(islice(rows, len(one))), schema=SHARD_SCHEMA)
        yield write_parquet(table, folder / f"shard-{number}.parquet")


def make_shard(store: Store, registry: Registry, plan: ShardPlan, *, problem: Problem, folder: Path) -> Artifact:
    """Preprocess a shard's images for another process, and store it where the registry looks for it."""
    images = read_manifest(store, plan.images, schema=_PLANNED)["image_sha256"].to_pylist()
    (path,) = write_shards(store, images, problem=problem, folder=folder, line_count=len(images))
    shard = registry.artifact(path)
    if not store.exists(shard.uri):
        store.put(path, shard.uri)
    return shard


def _fetched(
    store: Store, lists: Iterable[Sequence[str]], *, problem: Problem, folder: Path, spread: Spread
) -> Iterator[Path]:
    """Have a shard made of each list, and bring it here, since DVC takes in files of this machine alone."""
    tables = (pa.Table.from_pylist([{"image_sha256": image} for image in one], schema=_PLANNED) for one in lists)
    plans = (ShardPlan(problem=problem.name, images=lend_table(store, table)) for table in tables)
    for shard in spread(plans):
        yield store.fetch(shard, folder / f"{shard.sha256}.parquet")


def _preprocessed(store: Store, problem: Problem, image_sha256: str) -> dict[str, Any]:
    pixels = problem.preprocess(decode(store.read(f"blobs/{image_sha256}")))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    height_px, width_px = pixels.shape
    return {"image_sha256": image_sha256, "width_px": width_px, "height_px": height_px, "png": png.getvalue()}
