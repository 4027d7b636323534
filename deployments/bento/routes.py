"""What can be asked of the service."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

import uploads
from desk import Desk
from gate import Rules, Visit
from gauges import page
from keeping import Keeper
from loopline.answers import Character, Correction, Model, PredictionId, Reading, ReadingBatch, Refusal, Thanks
from loopline.errors import DataError
from openapi import PICTURE, PICTURES, described
from refusal import Refused, answer_errors
from sight import Read

# A connection stays with the process that took it, and one process may have taken all. Where several wait, some
# callers are told to connect again: a process that has nothing to do is the first to answer then.
SENT_ON = 1 / 16
OPT_OUT = "X-Loopline-Capture"  # off: the answer and its picture are not kept


@dataclass(frozen=True)
class Staff:
    """What the routes work with; there once the service has started."""

    desk: Desk
    model: Model
    rules: Rules
    keeper: Keeper


def make_api() -> FastAPI:
    """Return the routes; `api.state.staff` is set when the service starts."""
    api = FastAPI(title="Loopline", docs_url=None, redoc_url=None)
    answer_errors(api)
    described(api)
    api.post("/read", openapi_extra=PICTURE)(read)
    api.post("/read_batch", openapi_extra=PICTURES)(read_batch)
    api.post("/correct")(correct)
    api.delete("/predictions/{prediction_id}", status_code=204)(forget)
    api.get("/model")(tell_model)
    api.get("/metrics", response_class=Response)(tell_numbers)
    return api


# Both are async, since what is not runs in a thread, which costs more than they do.
async def _staff(request: Request) -> Staff:
    staff: Staff = request.app.state.staff
    return staff


async def _visit(request: Request) -> Visit:
    visit: Visit = request.state.visit
    return visit


With = Annotated[Staff, Depends(_staff)]
Of = Annotated[Visit, Depends(_visit)]


async def read(request: Request, response: Response, staff: With, visit: Of) -> Reading:
    """Read one picture of a line: PNG, JPEG, WEBP or TIFF, upright or as its EXIF tag says."""
    staff.desk.admit(1)
    if staff.desk.is_crowded and random.random() < SENT_ON:  # noqa: S311  # no secret
        response.headers["Connection"] = "close"
    found = await staff.desk.read(await uploads.pictures(request, most=1))
    (answer,) = _answers(found, request, visit, staff)
    if isinstance(answer, Refusal):
        raise Refused(400, answer.error)
    return answer


async def read_batch(request: Request, staff: With, visit: Of) -> ReadingBatch:
    """Read several pictures; one that can't be read spoils no other."""
    staff.desk.admit(1)
    pictures = await uploads.pictures(request, most=staff.rules.settings.most_batch)
    staff.rules.charge(visit, len(pictures) - 1)
    return ReadingBatch(readings=tuple(_answers(await staff.desk.read(pictures), request, visit, staff)))


async def correct(correction: Correction, staff: With, visit: Of) -> Thanks:
    """Take what a line really says."""
    await run_in_threadpool(staff.keeper.correct, correction, visit.key or "")
    return Thanks(prediction_id=correction.prediction_id)


async def forget(prediction_id: PredictionId, staff: With, visit: Of) -> None:
    """Delete what was kept of a prediction."""
    await run_in_threadpool(staff.keeper.forget, prediction_id, visit.key or "")


async def tell_model(staff: With) -> Model:
    """Say which model answers, how good it is and where it comes from."""
    return staff.model


async def tell_numbers() -> Response:
    """Return the service's numbers for Prometheus."""
    return Response(await run_in_threadpool(page), media_type=CONTENT_TYPE_LATEST)


def _answers(
    found: Iterable[Read | DataError], request: Request, visit: Visit, staff: Staff
) -> Iterator[Reading | Refusal]:
    kept, key = request.headers.get(OPT_OUT, "").lower() != "off", visit.key or ""
    for one in found:
        if isinstance(one, DataError):
            yield Refusal(error=f"the picture can't be read: {one}")
        else:
            reading = _reading(one, staff.keeper.named(key, kept=kept), model=staff.model)
            if reading.unsure:
                staff.rules.gauges.unsure.inc()
            yield staff.keeper.keep(reading, one.upright, key) if kept else reading


def _reading(found: Read, name: str, *, model: Model) -> Reading:
    width_px, height_px = found.upright.size
    return Reading(
        prediction_id=name,
        text=found.answer.text,
        confidence=found.answer.confidence,
        unsure=found.answer.confidence < model.least_confidence,
        characters=tuple(
            Character(
                text=part.text,
                confidence=part.confidence,
                left_px=round(part.start * width_px, 1),
                right_px=round(part.end * width_px, 1),
            )
            for part in found.parts
        ),
        width_px=width_px,
        height_px=height_px,
        model=model.model,
    )
