"""What nobody needs any more, in the store: found by what the registry's versions name, and deleted on request.

Never touched: images (blobs/, inbox/), quarantine, captures, labels, events, the registry's own objects (dvc/: a model
names its package where it was packed, git the registry's copy of it), and whatever is younger than asked for, since a
run that goes on may still name it. A cached result goes with what it names, so that none leads nowhere.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from loopline.clients.store import Store, StoredObject, in_parallel
from loopline.contracts import Contract, DatasetVersion
from loopline.errors import ConfigError
from loopline.fsck import artifacts
from loopline.ledger import Judged

RESULTS, RUNS, TMP = "results/", "runs/", "tmp/"
COLLECTED = ("details/", "languages/", "manifests/", "packages/", "reports/", RUNS)
_NAMES = re.compile(rf"(?:{'|'.join(COLLECTED)})[\w./-]+".encode())


class Garbage(NamedTuple):
    """What can go: objects that no version names, and cached results that name one of these."""

    objects: tuple[StoredObject, ...]
    results: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Of the objects."""
        return sum(one.size_bytes for one in self.objects)


def find_garbage(store: Store, versions: Iterable[DatasetVersion | Judged], *, before: datetime) -> Garbage:
    """Return what was written before a time and no version needs; ConfigError if there is no version at all."""
    kept = list(versions)
    if not kept:
        raise ConfigError("the registry has no version, so everything would go; check LOOPLINE_REGISTRY__URL")
    needed, runs = {one.uri for one in artifacts(kept)}, tuple(f"{run}/" for run in _runs(kept))
    old_results = {one.key for one in store.list_older(RESULTS, before=before)}
    named = dict(_named(store))
    needed.update(name for key, names in named.items() if key not in old_results for name in names)
    gone = [
        one
        for prefix in COLLECTED
        for one in store.list_older(prefix, before=before)
        if one.key not in needed and not one.key.startswith(runs)
    ]
    keys = {one.key for one in gone}
    return Garbage(tuple(gone), tuple(key for key, names in named.items() if not keys.isdisjoint(names)))


def delete_garbage(store: Store, garbage: Garbage) -> None:
    """Delete it: results first, so that a kill leaves none that leads nowhere."""
    list(in_parallel(store.delete, garbage.results, title="gc: results"))
    list(in_parallel(store.delete, [one.key for one in garbage.objects], title="gc: objects"))


def end_leftovers(store: Store, *, before: datetime) -> int:
    """Delete temporary objects, and end uploads, that killed processes left before a time; return how many."""
    left = [one.key for one in store.list_older(TMP, before=before)]
    list(in_parallel(store.delete, left, title="housekeeping: tmp"))
    return len(left) + store.end_uploads(before=before)


def _runs(kept: Iterable[Contract]) -> Iterator[str]:
    for one in kept:
        if not isinstance(one, DatasetVersion):
            yield one.packaged.report.model.run  # type: ignore[attr-defined]


def _named(store: Store) -> Iterator[tuple[str, set[str]]]:
    keys = [one.key for one in store.list(RESULTS)]
    for key, data in zip(keys, in_parallel(store.read, keys, title="gc: results"), strict=True):
        yield key, {name.decode() for name in _NAMES.findall(data)}
