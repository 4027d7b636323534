"""Which captured pictures people should label: no picture twice, none that is known, and only so many of one key."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loopline.board import read_board
from loopline.capture_contracts import Captures
from loopline.captured_index import Listed, Seen, keep_captures, list_captures, look_at, read_captures
from loopline.captured_tasks import CapturedImage, captured_images
from loopline.captures import PICTURE, day_of, place
from loopline.clients.store import Store
from loopline.contracts import Artifact, DatasetVersion, RawDataset
from loopline.images import NEAR_BITS
from loopline.labels import told
from loopline.manifest import read_manifest, write_manifest
from loopline.mirror import documents, refresh
from loopline.orders import LabelPlan

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

log = logging.getLogger(__name__)

_SCHEMA = pa.schema(
    {
        "image_sha256": pa.string(),
        "key": pa.string(),
        "capture": pa.string(),
        "group": pa.string(),
        "width_px": pa.int32(),
        "height_px": pa.int32(),
        "perceptual_hash": pa.string(),
        "confidence": pa.float64(),
        "correction_etag": pa.string(),
    }
)


@dataclass(frozen=True)
class _Picture:
    """A picture, however often it was sent: its most telling capture, and the etag of a correction."""

    seen: Seen
    correction_etag: str

    @property
    def asker(self) -> str:
        return self.seen.asker or ""

    @property
    def usefulness(self) -> tuple[bool, float, str]:
        """Sorts corrected pictures first, then those read with the least confidence."""
        return not self.correction_etag, self.seen.confidence or 0.0, self.seen.prediction_id


@dataclass
class _Choice:
    chosen: list[_Picture] = field(default_factory=list)
    near_count: int = 0
    over_limit: Counter[str] = field(default_factory=Counter)
    looked_at: list[Seen] = field(default_factory=list)


def take_captures(
    store: Store, client: "LabelStudio", *, raw: RawDataset, plan: LabelPlan, newest: DatasetVersion | None
) -> Captures:
    """Return the captured pictures that are worth a task, and those of the plan's project that were corrected.

    What lies in the source, is in the newest dataset version or has a task is known. Of one key only so many new
    pictures are taken: corrected ones first, then those read with the least confidence. Raises what the client and the
    store raise.
    """
    shown = _shown(store, client, problem=raw.problem, title=plan.project)
    known = shown | _hashes(store, raw.manifest) | (_hashes(store, newest.manifest) if newest else {})
    listed, unread_count = list_captures(store)
    seen = read_captures(store, raw.problem, listed)
    pictures, usable_count = _pictures(listed, seen), sum(not one.reason for one in seen.values())
    new = [one for image, one in pictures.items() if image not in known]
    choice = _choose(store, new, hashes=known.values(), key_limit=plan.captures_key_limit)
    seen |= {one.prediction_id: one for one in choice.looked_at}
    keep_captures(store, raw.problem, seen.values())
    corrected = _corrected(store, [pictures[image] for image in shown.keys() & pictures.keys()])
    rows = [_row(one) for one in sorted([*choice.chosen, *corrected], key=attrgetter("usefulness"))]
    found = Captures(
        problem=raw.problem,
        manifest=write_manifest(store, pa.Table.from_pylist(rows, schema=_SCHEMA)),
        image_count=len(choice.chosen),
        known_count=len(pictures) - len(new),
        repeated_count=usable_count - len(pictures) + choice.near_count,
        over_limit=dict(choice.over_limit),
        unusable=dict(Counter((one.reason or "").partition(":")[0] for one in seen.values() if one.reason)),
        unread_count=unread_count,
    )
    _log(found, key_limit=plan.captures_key_limit)
    return found


def read_chosen(store: Store, captures: Captures) -> list[CapturedImage]:
    """Return the pictures of `take_captures`, corrected ones first, then those read with the least confidence."""
    return [
        CapturedImage.model_validate(row) for row in read_manifest(store, captures.manifest, schema=_SCHEMA).to_pylist()
    ]


def _shown(store: Store, client: "LabelStudio", *, problem: str, title: str) -> dict[str, str | None]:
    """Return the images that a project shows, with the perceptual hash of captured ones."""
    project = client.find_project(title)
    if project is None:
        return {}
    snapshot = refresh(store, client, problem=problem, project=project)
    captured = captured_images(documents(store, snapshot))
    tasks = read_board(documents(store, snapshot)).tasks
    return dict.fromkeys(tasks) | {image: one.perceptual_hash for image, one in captured.items()}


def _hashes(store: Store, manifest: Artifact) -> dict[str, str | None]:
    rows = read_manifest(store, manifest).select(["image_sha256", "perceptual_hash"]).to_pylist()
    return {row["image_sha256"]: row["perceptual_hash"] for row in rows}


def _pictures(listed: Sequence[Listed], seen: Mapping[str, Seen]) -> dict[str, _Picture]:
    """Return each picture once; of several captures of it the last corrected one stands for it."""
    found: dict[str, _Picture] = {}
    for one in sorted(listed):
        capture = seen.get(one.prediction_id)
        if capture is None or capture.reason or capture.image_sha256 is None:
            continue
        if one.correction_etag or capture.image_sha256 not in found:
            found[capture.image_sha256] = _Picture(capture, one.correction_etag)
    return found


def _choose(store: Store, pictures: Sequence[_Picture], *, hashes: Iterable[str | None], key_limit: int) -> _Choice:
    """Choose the most useful pictures first, whoever sent them: of two that look alike the first one stands."""
    choice, known_K4, taken = _Choice(), _bits([one for one in hashes if one]), list[str]()
    waiting = sorted(pictures, key=attrgetter("usefulness"))
    room = dict.fromkeys((one.asker for one in waiting), key_limit)
    while turn := _turn(waiting, room):
        for picture, looked in zip(turn, look_at(store, [one.seen for one in turn]), strict=True):
            choice.looked_at.append(looked)
            if looked.perceptual_hash is None:
                continue
            if _is_near(looked.perceptual_hash, known_K4) or _is_near(looked.perceptual_hash, _bits(taken)):
                choice.near_count += 1
                continue
            taken.append(looked.perceptual_hash)
            choice.chosen.append(replace(picture, seen=looked))
            room[picture.asker] -= 1
        looked_at = set(turn)
        waiting = [one for one in waiting if one not in looked_at]
    choice.over_limit = Counter(one.asker for one in waiting)
    return choice


def _turn(waiting: Iterable[_Picture], room: Mapping[str, int]) -> list[_Picture]:
    """Return the next pictures to look at: of each asker as many as there is room for."""
    left, turn = dict(room), list[_Picture]()
    for picture in waiting:
        if left[picture.asker]:
            left[picture.asker] -= 1
            turn.append(picture)
    return turn


def _corrected(store: Store, pictures: Iterable[_Picture]) -> list[_Picture]:
    found = [one for one in pictures if one.correction_etag]
    looked = zip(found, look_at(store, [one.seen for one in found]), strict=True)
    return [replace(one, seen=seen) for one, seen in looked if seen.perceptual_hash]


def _bits(hashes: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return perceptual hashes as numbers, (K, 4)."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), 4)


def _is_near(perceptual_hash: str, hashes_K4: npt.NDArray[np.uint64]) -> bool:
    return bool((np.bitwise_count(hashes_K4 ^ _bits([perceptual_hash])).sum(axis=1) <= NEAR_BITS).any())


def _row(picture: _Picture) -> dict[str, object]:
    seen = picture.seen
    return {
        "image_sha256": seen.image_sha256,
        "key": place(seen.prediction_id, PICTURE),
        "capture": seen.prediction_id,
        "group": f"captured {picture.asker} {day_of(seen.prediction_id)}",
        "width_px": seen.width_px,
        "height_px": seen.height_px,
        "perceptual_hash": seen.perceptual_hash,
        "confidence": seen.confidence,
        "correction_etag": picture.correction_etag,
    }


def _log(found: Captures, *, key_limit: int) -> None:
    over = ", ".join(f"{asker or 'no key'}: {count}" for asker, count in sorted(found.over_limit.items()))
    log.info(
        "captures: %d pictures to offer, %d known already, %d repeated, %d unusable (%s), %d left unread, "
        "%d over the limit of %d a key (%s)",
        found.image_count,
        found.known_count,
        found.repeated_count,
        sum(found.unusable.values()),
        told(Counter(found.unusable)),
        found.unread_count,
        sum(found.over_limit.values()),
        key_limit,
        over or "none",
    )
