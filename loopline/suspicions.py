"""Which labels people are asked to look at again because models doubt them, and since when.

`label-studio/<problem>/suspects.json` names the newest `Suspects` and lists what it suspects. A suspicion that comes up
again keeps its first moment: whoever has looked since has answered it, whatever later models think.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from loopline.clients.store import Store
from loopline.consensus import Consensus, Settled
from loopline.contracts import Artifact, Suspects
from loopline.opinions import Heard

log = logging.getLogger(__name__)

REASON = "does this label hold? a model reads: "  # a model may be wrong as well as a person


class Suspicion(BaseModel):
    """One label that a model doubts, what it reads instead, and since when that is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_sha256: str
    label: str
    text: str
    since: datetime


class Suspicions(BaseModel):
    """Those of the newest `Suspects`, the most doubtful first, and those of earlier ones that it no longer has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Artifact
    most: int
    current: tuple[Suspicion, ...]
    former: tuple[Suspicion, ...] = ()


def keep_suspicions(
    store: Store, suspects: Suspects, *, rows: Iterable[Mapping[str, Any]], most: int, now: datetime
) -> None:
    """Make these the newest suspects, given their rows; `most` are asked about at once. `now` has a time zone."""
    problem = suspects.dataset.problem
    before = _read(store, problem)
    known = {_about(one): one for one in (*before.former, *before.current)} if before else {}
    current = []
    for row in rows:
        new = Suspicion(image_sha256=row["image_sha256"], label=row["label"], text=row["text"], since=now)
        earlier = known.pop(_about(new), None)
        current.append(new.model_copy(update={"since": earlier.since}) if earlier else new)
    found = Suspicions(
        manifest=suspects.manifest, most=most, current=tuple(current), former=tuple(known[key] for key in sorted(known))
    )
    store.write(_place(problem), found.model_dump_json().encode())


def doubted(
    store: Store, problem: str, *, heard: Heard, consensus: Consensus, beside: Mapping[str, str]
) -> dict[str, str]:
    """Return the images whose suspected label still holds and that nobody has looked at since, with the reason.

    `beside` are the labels by image, in normal form, that a file gives; they hold where nobody has spoken.
    """
    found = _read(store, problem)
    if found is None:
        return {}
    spoken = consensus.images.keys() - heard.unusable.keys()
    silent = beside.keys() - consensus.images.keys() - heard.unusable.keys() - heard.refused
    open_ones = [
        one
        for one in found.current
        if (one.image_sha256 in spoken and _stands(one, consensus.images[one.image_sha256]))
        or (one.image_sha256 in silent and beside[one.image_sha256] == one.label)
    ]
    return {one.image_sha256: REASON + one.text for one in open_ones[: found.most]}


def _stands(suspicion: Suspicion, settled: Settled) -> bool:
    return (
        not settled.conflict
        and settled.text == suspicion.label
        and all(opinion.updated_at <= suspicion.since for opinion in settled.opinions)
    )


def _read(store: Store, problem: str) -> Suspicions | None:
    place = _place(problem)
    if not store.exists(place):
        return None
    try:
        return Suspicions.model_validate_json(store.read(place))
    except ValidationError:
        log.warning("%s is damaged, so nobody is asked about suspects until `loopline labels check` runs again", place)
        return None


def _about(suspicion: Suspicion) -> tuple[str, str]:
    return suspicion.image_sha256, suspicion.label


def _place(problem: str) -> str:
    return f"label-studio/{problem}/suspects.json"
