"""A captured picture as a task of a label project: the task itself is the record that the picture was taken in.

Its data hold what a row of a dataset says of an image, so that a picture which a person has labelled stays usable when
the days of its capture are over. What the user wrote is a prediction beside the champion's guess, never a label.
"""

import logging
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loopline.answers import PredictionId
from loopline.captures import CAPTURED
from loopline.contracts import Sha256
from loopline.problems import Problem

log = logging.getLogger(__name__)

CAPTURE = "capture"  # in a task's data, and in no other's: the prediction id
USER = "user"  # the model version of what a user wrote
KEY_PATTERN = rf"^{CAPTURED}/dt=\d{{4}}-\d\d-\d\d/[0-9a-z-]+\.png$"


class CapturedImage(BaseModel):
    """What is known of a captured picture; `group` keeps what one key sent on one day on one side of a dataset."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_sha256: Sha256
    key: Annotated[str, Field(pattern=KEY_PATTERN)]
    capture: PredictionId
    group: str
    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    perceptual_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    confidence: float = 0.0
    correction_etag: str = ""  # changes with the correction; "" without one
    correction: str = ""

    @property
    def row(self) -> dict[str, Any]:
        """What a row of labels says of the image."""
        facts = self.model_dump(include={"image_sha256", "key", "group", "width_px", "height_px", "perceptual_hash"})
        return facts | {"source": CAPTURED}


def captured_image(data: Mapping[str, Any]) -> CapturedImage | None:
    """Return the picture of a task's data; None for a task that shows no captured one, or was changed by hand."""
    if CAPTURE not in data:
        return None
    try:
        return CapturedImage.model_validate(data)
    except ValidationError as error:
        log.warning("the data of a captured picture's task can't be used: %d values", error.error_count())
        return None


def captured_images(documents: Iterable[dict[str, Any]]) -> dict[str, CapturedImage]:
    """Return the captured pictures that a project's exported tasks show, by digest."""
    found = (captured_image(task.get("data") or {}) for task in documents)
    return {one.image_sha256: one for one in found if one}


def users_guess(data: Mapping[str, Any], problem: Problem) -> list[dict[str, Any]]:
    """Return what the user of a task's picture wrote, as Label Studio takes it; nothing for any other task."""
    picture = captured_image(data)
    if picture is None or not picture.correction:
        return []
    return [{"model_version": USER, "result": problem.write_label(picture.correction)}]


def plain(text: str) -> str:
    """Return a user's text without control characters, which databases refuse."""
    return "".join(sign if unicodedata.category(sign) not in {"Cc", "Cs"} else " " for sign in text).strip()
