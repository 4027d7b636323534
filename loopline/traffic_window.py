"""What a service told of its traffic since it was looked at last: read from the store, in memory that does not grow.

Of more than MOST_SAMPLED answers or requests, so many are drawn; what is only counted, is counted whole.
"""

import io
import logging
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as pj

from loopline.clients.store import Store, in_parallel
from loopline.contracts import Sha256
from loopline.drift import Values
from loopline.traffic import TRAFFIC, told_at, traffic_place

log = logging.getLogger(__name__)

MOST_SAMPLED = 20_000  # a share of them is known to 0.7 points, 95 times in 100
MOST_CORRECTED = 1000  # corrections of a window whose texts are compared; the newest
FILES_AT_ONCE = 32  # half a megabyte each, at most
SEED = 95

_SCHEMA = pa.schema(
    {
        "kind": pa.string(),
        "at": pa.string(),
        "status": pa.int64(),
        "seconds": pa.float64(),
        "prediction_id": pa.string(),
        "confidence": pa.float64(),
        "unsure": pa.bool_(),
        "width_px": pa.int64(),
        "height_px": pa.int64(),
        "ink": pa.float64(),
        "contrast": pa.float64(),
    }
)
_DRAW = "draw"


class Counts(NamedTuple):
    """What is counted of a window, whole."""

    requests: int = 0
    failed: int = 0
    refused: int = 0
    answers: int = 0
    unsure: int = 0
    corrections: int = 0


@dataclass(frozen=True)
class Window:
    """The traffic of one package in a stretch of time."""

    begin: datetime
    end: datetime
    counts: Counts
    answers: pa.Table  # a sample, in the order in which it was drawn
    requests: pa.Table
    corrected: Sequence[str]  # prediction ids
    files: Sequence[str]  # keys in the store
    unreadable: Sequence[str]

    def of_answers(self, name: str) -> Values:
        """Return a column of the answers."""
        return np.asarray(self.answers[name].to_numpy(zero_copy_only=False), dtype=np.float64)

    @property
    def seconds(self) -> Values:
        """How long each request that was answered took."""
        answered = self.requests.filter(pc.less(self.requests["status"], 400))
        return np.asarray(answered["seconds"].to_numpy(zero_copy_only=False), dtype=np.float64)

    @property
    def hours(self) -> float:
        """Its length; at least a minute, which is what one file of rows tells of."""
        return max((self.end - self.begin).total_seconds(), 60) / 3600


def read_window(store: Store, package_sha256: Sha256, *, but: Set[str] = frozenset()) -> Window | None:
    """Return all that was told of a package; None if there is nothing. Files counted before (`but`) are deleted."""
    found = [entry.key for entry in store.list(traffic_place(package_sha256))]
    drop_files(store, but & set(found))
    keys = [key for key in found if key not in but]
    answers, requests = (_SCHEMA.append(pa.field(_DRAW, pa.float64())).empty_table() for _ in range(2))
    counts, corrected, unreadable, times = Counts(), list[str](), list[str](), list[str]()
    rng = np.random.default_rng(SEED)
    for start in range(0, len(keys), FILES_AT_ONCE):
        some = keys[start : start + FILES_AT_ONCE]
        for key, data in zip(some, in_parallel(store.read, some, title="traffic"), strict=True):
            try:
                rows = _rows(data)
            except pa.ArrowException as error:
                log.warning("watch: %s can't be read (%s), so it is left there", store.url(key), str(error)[:100])
                unreadable.append(key)
                continue
            rows = rows.append_column(_DRAW, pa.array(rng.random(len(rows))))
            kinds = {kind: rows.filter(pc.equal(rows["kind"], kind)) for kind in ("answer", "request", "correction")}
            counts = Counts(*map(sum, zip(counts, _counted(kinds), strict=True)))
            answers = _drawn(pa.concat_tables([answers, kinds["answer"]]))
            requests = _drawn(pa.concat_tables([requests, kinds["request"]]))
            corrected = (corrected + kinds["correction"]["prediction_id"].to_pylist())[-MOST_CORRECTED:]
            times += pc.min_max(rows["at"]).as_py().values()
    if not times:
        return None
    return Window(
        begin=datetime.fromisoformat(min(times)),
        end=datetime.fromisoformat(max(times)),
        counts=counts,
        answers=_smallest(answers),
        requests=_smallest(requests),
        corrected=list(dict.fromkeys(corrected)),
        files=[key for key in keys if key not in unreadable],
        unreadable=unreadable,
    )


def drop_files(store: Store, keys: Collection[str]) -> None:
    """Delete files of rows that were counted."""
    list(in_parallel(store.delete, keys, title="traffic: counted"))


def drop_traffic(store: Store, *, before: datetime) -> int:
    """Delete what was told so long ago and nobody looked at; return how many files that were."""
    old = []
    for entry in store.list(f"{TRAFFIC}/"):
        try:
            if told_at(entry.key) < before:
                old.append(entry.key)
        except ValueError:
            log.warning("housekeeping: %s is no file of traffic, so it is left", store.url(entry.key))
    drop_files(store, old)
    return len(old)


def _rows(data: bytes) -> pa.Table:
    options = pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="error")
    table = pj.read_json(io.BytesIO(data), parse_options=options)
    if any(table[name].null_count for name in ("kind", "at")):
        raise pa.ArrowInvalid("a row lacks its kind or its time")
    return table


def _counted(kinds: dict[str, pa.Table]) -> Counts:
    status, unsure = kinds["request"]["status"], kinds["answer"]["unsure"]
    # A status of 0 is a request whose caller went away: nobody's fault.
    return Counts(
        requests=len(status),
        failed=_sum(pc.greater_equal(status, 500)),
        refused=_sum(pc.and_(pc.greater_equal(status, 400), pc.less(status, 500))),
        answers=len(unsure),
        unsure=_sum(unsure),
        corrections=len(kinds["correction"]),
    )


def _sum(flags: pa.ChunkedArray) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _drawn(table: pa.Table) -> pa.Table:
    """Keep the rows with the smallest draws, once there are twice as many as are wanted."""
    return table if len(table) <= 2 * MOST_SAMPLED else _smallest(table)


def _smallest(table: pa.Table) -> pa.Table:
    return table.sort_by(_DRAW).slice(0, MOST_SAMPLED).combine_chunks()
