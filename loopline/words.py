"""An annotation of another project, ready to be written into ours, under a name that is the same each time."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from loopline.errors import DataError
from loopline.exported import Said
from loopline.problems import Problem

if TYPE_CHECKING:
    from loopline.clients.label_studio import Project

IMPORT_ID_BITS = 63  # Label Studio's import_id is a signed number of 64 bits


@dataclass(frozen=True)
class Word:
    """What one person said of one image: `result` fills in our interface, `said` is how it was exported."""

    image_sha256: str
    said: Said
    result: list[dict[str, Any]]

    def name(self, project: "Project") -> UUID:
        """Return the same for the same words of the same person on the same image at the same time, in one project.

        A project's number may be another's after it was deleted, so that its making counts too.
        """
        said = self.said
        content = [self.image_sha256, said.annotator, said.said_at, said.is_skip, self.result]
        place = f"loopline.labels/{project.id}/{project.made_at.isoformat()}"
        return uuid5(NAMESPACE_URL, f"{place} {json.dumps(content, sort_keys=True)}")

    def annotation(self, annotator: int) -> dict[str, Any]:
        """Return the fields of an annotation of Label Studio."""
        return {
            "completed_by": annotator,
            "result": self.result,
            "was_cancelled": self.said.is_skip,
            "ground_truth": False,
            **({"lead_time": self.said.seconds} if self.said.seconds is not None else {}),
        }


def word_of(image_sha256: str, said: Said, problem: Problem) -> Word:
    """Return what was said, in the fields of our interface; DataError with the reason if it can't be used."""
    return Word(image_sha256, said, _result(said, problem))


def import_id(name: UUID) -> int:
    """Return a name as short as Label Studio keeps it in bulk."""
    return name.int >> (128 - IMPORT_ID_BITS)


def _result(said: Said, problem: Problem) -> list[dict[str, Any]]:
    if not isinstance(said.result, list):
        raise DataError("no result")
    regions = [region for region in said.result if isinstance(region, dict)]
    try:
        reading = problem.read_label(regions)
    except DataError:
        if said.is_skip:
            return []
        raise
    return _storable(regions if reading.unusable else problem.write_label(reading.text))


def _storable(result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse what no database takes: half characters, and the character of number zero."""
    text = json.dumps(result, ensure_ascii=False)
    if "\\u0000" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError("a character that can't be stored")
    return result
