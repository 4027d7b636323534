"""What stands on lines that users sent, known since: by their own corrections, and by people who labelled them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.compute as pc
from pydantic import ValidationError

from loopline.captures import CAPTURED, CORRECTION, RECORD, Capture, Corrected, day_of, place
from loopline.clients.store import Store, in_parallel
from loopline.contracts import DatasetVersion, HeldBack, ModelReady
from loopline.errors import DataError
from loopline.manifest import read_manifest

MOST_AUDITED = 1000  # captured lines that people labelled; the newest


class Line(NamedTuple):
    """What was read on a line, and what stands on it, in somebody's words."""

    text: str
    truth: str


@dataclass(frozen=True)
class Truth:
    """Lines of a model's users of which the truth became known since."""

    corrected: Sequence[Line]
    audited: Sequence[Line]


def read_truth(
    store: Store, corrected: Iterable[str], *, model: ModelReady | HeldBack, newest: DatasetVersion | None
) -> Truth:
    """Join corrections, by prediction id, and what people labelled of captures, with what this model had read."""
    package = model.packaged.archive.sha256
    labelled = _labelled(store, newest) if newest else {}
    said = {name: one.text for name in corrected if (one := _correction(store, name))}

    def lines(truths: Mapping[str, str]) -> list[Line]:
        found = _captures(store, truths)
        return [Line(one.text, truths[name]) for name, one in found.items() if one.package_sha256 == package]

    return Truth(lines(said), lines(labelled))


def _labelled(store: Store, newest: DatasetVersion) -> dict[str, str]:
    """Return what people said of captured lines, by prediction id; the newest of them."""
    table = read_manifest(store, newest.labeled.manifest)
    rows = table.filter(pc.starts_with(table["key"], f"{CAPTURED}/dt=")).to_pylist()
    said = {row["key"].rpartition("/")[2].partition(".")[0]: row["label"] for row in rows if not row["rejected"]}
    return dict(sorted(said.items(), key=lambda item: day_of(item[0]), reverse=True)[:MOST_AUDITED])


def _captures(store: Store, names: Iterable[str]) -> dict[str, Capture]:
    """Read the records of these predictions that are still kept."""

    def read(name: str) -> Capture | None:
        try:
            return Capture.model_validate_json(store.read(place(name, RECORD)))
        except (DataError, ValidationError):  # deleted since, or none of ours
            return None

    wanted = list(names)
    found = zip(wanted, in_parallel(read, wanted, title="captures"), strict=True)
    return {name: one for name, one in found if one}


def _correction(store: Store, name: str) -> Corrected | None:
    try:
        return Corrected.model_validate_json(store.read(place(name, CORRECTION)))
    except (DataError, ValidationError):
        return None
