"""The service inside a Bento: one image in, its text out."""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.exceptions import InvalidArgument
from bentoml.validators import ContentType
from pydantic import BaseModel, Field

from loopline.errors import DataError
from loopline.serving import Predictor

PACKAGE = Path(__file__).parent / "package.zip"


class Reading(BaseModel):
    """What stands on a line."""

    text: str
    confidence: float = Field(description="From 0 to 1.")


@bentoml.service(name="reader")
class Reader:
    """Reads lines with ONNX Runtime; holds nothing but the package beside it."""

    def __init__(self) -> None:
        self.predictor = Predictor.open(PACKAGE)

    @bentoml.api
    def read(self, image: Annotated[Path, ContentType("image/*")]) -> Reading:
        """Read one PNG, JPEG, WEBP or TIFF picture of a line."""
        try:
            (answer,) = self.predictor.read_images([image.read_bytes()])
        except DataError as error:
            raise InvalidArgument(str(error)) from None
        return Reading(text=answer.text, confidence=answer.confidence)
