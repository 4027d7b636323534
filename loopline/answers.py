"""What the service is sent and what it answers: the same words for the service, its client and what is captured."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_TEXT = 2000  # characters of a correction: more than any line of handwriting holds
MOST_NOTE = 500

CONTROLS = {"Cc", "Zl", "Zp"}  # Unicode's categories of what no line of writing holds


def _writable(text: str) -> str:
    if any(unicodedata.category(character) in CONTROLS for character in text):
        raise ValueError("should hold no control characters, line breaks among them")
    return text


Line = Annotated[str, AfterValidator(_writable)]
Share = Annotated[float, Field(ge=0, le=1)]
PredictionId = Annotated[str, Field(pattern=r"^[0-9a-z-]{20,80}$", description="Names one answer, for its correction.")]


class Message(BaseModel):
    """Base of everything that passes between the service and those who ask it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Character(Message):
    """One character of an answer, and where it was read on the upright picture."""

    text: str
    confidence: Share
    left_px: float
    right_px: float


class Reading(Message):
    """What stands on a line."""

    prediction_id: PredictionId
    text: str
    confidence: Share = Field(description="How sure the model is that the whole line is right.")
    unsure: bool = Field(description="True under the confidence that the service was told to ask for.")
    characters: tuple[Character, ...]
    width_px: int = Field(description="Of the upright picture.")
    height_px: int
    model: str = Field(description="Problem and package, such as handwriting:dbab63c5f510.")


class Refusal(Message):
    """Why something was not done, in one sentence."""

    error: str


class ReadingBatch(Message):
    """The answers to several pictures, in their order; one that can't be read spoils no other."""

    readings: tuple[Reading | Refusal, ...]


class Correction(Message):
    """What a line really says, in the words of whoever asked."""

    prediction_id: PredictionId
    text: Line = Field(max_length=MOST_TEXT)
    note: Line | None = Field(None, max_length=MOST_NOTE)


class Thanks(Message):
    """A correction was taken; it teaches the next model once a person has reviewed it."""

    prediction_id: PredictionId


class Model(Message):
    """Which model answers, and where it comes from."""

    model: str
    problem: str
    package_sha256: str
    dataset_digest: str = Field(description="Of the dataset version that it learnt from.")
    lineage_digest: str = Field(description="sha256 of the package's lineage document.")
    metrics: dict[str, float] = Field(description="On the test lines of its dataset.")
    least_confidence: Share = Field(description="Below it an answer is marked unsure.")
    characters: str = Field(description="Every character that it can write.")
    kept_days: int | None = Field(description="How long pictures and answers are kept; null: they are not.")
    card: str = Field(description="The model card, as Markdown.")
