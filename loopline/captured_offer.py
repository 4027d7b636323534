"""Captured pictures among those that are offered: how many, in which order, and with what their users wrote."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from loopline.board import PRIORITY, Board
from loopline.captured_tasks import CapturedImage, captured_image, plain, users_guess
from loopline.captures import CORRECTION, Corrected, place
from loopline.clients.store import Store, in_parallel
from loopline.errors import DataError
from loopline.problems import Problem

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

log = logging.getLogger(__name__)

FIRST = 1.0  # a priority

Sent = Mapping[str, CapturedImage]  # by digest


def within_limit(order: Sequence[str], sent: Sent, *, limit: int) -> list[str]:
    """Return images in their order, corrected pictures before all others, without captured ones beyond the limit."""
    first = sorted(order, key=lambda image: not (image in sent and sent[image].correction_etag))
    beyond = [image for image in first if image in sent][limit:]
    return [image for image in first if image not in set(beyond)]


def bring(store: Store, pictures: Sequence[CapturedImage]) -> dict[str, dict[str, Any]]:
    """Put captured pictures where tasks show them from; return what their tasks hold, by digest."""
    brought = list(in_parallel(partial(_brought, store), pictures, title="offer: captures"))
    return {one.image_sha256: one.model_dump(exclude={"confidence"}, exclude_defaults=True) for one in brought}


def correct_again(
    store: Store,
    client: "LabelStudio",
    project: int,
    *,
    board: Board,
    captured: Sequence[CapturedImage],
    problem: Problem,
) -> int:
    """Give open tasks what their users have written since; return how many there were."""
    count = 0
    for picture in captured:
        task = board.open.get(picture.image_sha256)
        shown = captured_image(task.data) if task else None
        if task is None or shown is None or shown.correction_etag == picture.correction_etag:
            continue
        said = _with_correction(store, picture)
        if said.correction:
            changed = said.model_dump(include={"capture", "correction", "correction_etag"})
            kept = {**task.data, **changed, PRIORITY: FIRST}
            client.change_task(task.id, data=kept)
            client.add_predictions(project, [{"task": task.id, **one} for one in users_guess(kept, problem)])
            count += 1
    return count


def _brought(store: Store, picture: CapturedImage) -> CapturedImage:
    store.publish(store.read(picture.key), "blobs")
    return _with_correction(store, picture)


def _with_correction(store: Store, picture: CapturedImage) -> CapturedImage:
    if not picture.correction_etag:
        return picture
    try:
        said = Corrected.model_validate_json(store.read(place(picture.capture, CORRECTION)))
    except (DataError, ValueError) as error:
        log.warning("offer: the correction of %s can't be used (%s)", picture.capture, type(error).__name__)
        return picture
    return picture.model_copy(update={"correction": plain(said.text)})
