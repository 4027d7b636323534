"""How people label lines in Label Studio: what they see, and what their answers mean."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from loopline.errors import DataError
from loopline.problems import Reading

LABEL_CONFIG = """\
<View>
  <Style>.lsf-richtext, .lsf-textarea textarea { font-size: 1.4em }</Style>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <Header value="What is written there, letter by letter"/>
  <TextArea name="transcription" toName="image" rows="1" maxSubmissions="1" editable="true" showSubmitButton="false"/>
  <Choices name="quality" toName="image" choice="single" showInline="true">
    <Choice value="Good" selected="true"/>
    <Choice value="Bad"/>
    <Choice value="Unreadable"/>
  </Choices>
</View>"""
TEXT_FIELDS = ("transcription", "captioning")  # ours, and that of projects which follow Label Studio's template
QUALITY_FIELD = "quality"
GOOD = "Good"
MOST_CHARACTERS = 2000  # of a line; putting a text into normal form may take the square of its length

Region = Mapping[str, Any]


def read_label(result: Sequence[Region]) -> Reading:
    """Return what one person says of a line; DataError with the reason in few words if it can't be told."""
    regions = [region for region in result if isinstance(region, Mapping)]
    if unknown := {str(region.get("from_name")) for region in regions} - {*TEXT_FIELDS, QUALITY_FIELD}:
        raise DataError(f"unknown field: {_printable(min(unknown))}")
    qualities = [choice for region in regions for choice in _values(region, "choices")]
    texts = [text for region in regions for text in _values(region, "text")]
    quality = qualities[-1] if qualities else GOOD
    if quality != GOOD:
        return Reading(text="", unusable=f"judged {quality.lower()}")
    if not texts:
        raise DataError("no text")
    if len(texts) > 1:
        raise DataError(f"{len(texts)} texts for one line")
    if len(texts[0]) > MOST_CHARACTERS:
        raise DataError(f"{len(texts[0])} characters in one line")
    if any(unicodedata.category(character) == "Cs" for character in texts[0]):
        raise DataError("half a character")
    return Reading(text=texts[0])


def write_label(text: str) -> list[dict[str, Any]]:
    """Return a text as Label Studio fills it in: for a guess, or an export."""
    return [{"from_name": TEXT_FIELDS[0], "to_name": "image", "type": "textarea", "value": {"text": [text]}}]


def _values(region: Region, kind: str) -> list[str]:
    value = region.get("value")
    found = value.get(kind, []) if isinstance(value, Mapping) else []
    return [str(one) for one in (found if isinstance(found, list) else [found])]


def _printable(text: str) -> str:
    return "".join(character for character in text if unicodedata.category(character)[0] != "C")[:40]
