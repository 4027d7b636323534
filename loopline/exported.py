"""What another Label Studio project exported: a file of tasks, as JSON or JSON-MIN, before anything is matched.

JSON       [{"data": {...}, "annotations": [{"completed_by": 7, "result": [...], ...}], "predictions": [...]}, ...]
JSON-MIN   [{"ocr": "/data/upload/1/0a1b2c3d-x.png", "captioning": "Dear Ada,", "annotator": 7, ...}, ...]
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopline.errors import ConfigError, DataError
from loopline.problems import Problem

HOW = "in Label Studio, export the project as JSON"
MADE_UP = "loopline.invalid"  # a domain that nobody can own: addresses of people whose own are not in the file
MIN_FIELDS = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}
_ADDRESS = re.compile(r"[\w%+-]+(\.[\w%+-]+)*@(localhost|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,})", re.ASCII)
_LONGEST_ADDRESS = 254
_WORD = re.compile(r"[a-z0-9]{1,40}", re.ASCII)
_CHOICES = re.compile(r"<Choices\b[^>]*\bname=\"(\w+)\"")


@dataclass(frozen=True)
class Said:
    """One annotation as it was exported; the result is as Label Studio's own, and not checked."""

    annotator: str  # an e-mail address
    result: Any
    seconds: float | None = None
    is_skip: bool = False
    said_at: str = ""
    unique_id: str = ""


@dataclass(frozen=True)
class ExportedTask:
    """One task of the file; `fault` says why an entry is none. Guesses and drafts, no labels, are only counted."""

    name: str  # by which people find it in the file
    references: Mapping[str, Any] = field(default_factory=dict)  # in which its image is named
    said: tuple[Said, ...] = ()
    unfinished_count: int = 0
    fault: str = ""


def read_export(path: Path, problem: Problem) -> list[ExportedTask]:
    """Read a file that Label Studio exported; DataError, in one sentence, for a file that holds none of its tasks."""
    entries = _entries(path)
    tasks = [_task(entry, number, problem) for number, entry in enumerate(entries, start=1)]
    if not tasks:
        raise DataError(f"{path} holds an empty list, no task; {HOW}")
    if all(task.fault for task in tasks):
        raise DataError(f"none of the {len(tasks)} entries of {path} is a task of Label Studio; {HOW}")
    return tasks


def address_of(completed_by: Any) -> str:
    """Return a person's e-mail address in lower case, or one that is made up from their number: imported-7@….

    A number means somebody else on another server, so that it is never taken for one of ours.
    """
    person = completed_by if isinstance(completed_by, Mapping) else {"id": completed_by, "email": completed_by}
    address = str(person.get("email") or "").strip().lower()
    if len(address) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(address):
        return address
    known = person.get("id") if person.get("id") is not None else person.get("email")
    return f"imported-{_word(known)}@{MADE_UP}" if known is not None else f"imported@{MADE_UP}"


def _word(known: Any) -> str:
    word = str(known).lower()
    return word if _WORD.fullmatch(word) else hashlib.blake2b(ascii(known).encode(), digest_size=8).hexdigest()


def _entries(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_refuse)
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({error.strerror}); name a file, and {HOW}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}), so no JSON; {HOW}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} can't be read as JSON ({error}); {HOW} once more") from None
    if not isinstance(found, list):
        raise DataError(f"{path} holds no list of tasks but one {_kind(found)}; {HOW}")
    return found


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _kind(found: Any) -> str:
    return "JSON object" if isinstance(found, dict) else f"JSON {type(found).__name__}"


def _task(entry: Any, number: int, problem: Problem) -> ExportedTask:
    if not isinstance(entry, dict):
        return ExportedTask(name=f"entry {number}", fault="no task")
    name = f"task {entry['id']}" if isinstance(entry.get("id"), int) else f"entry {number}"
    if "annotation_id" in entry:
        return _minimal(entry, name, problem)
    data = entry.get("data")
    if not isinstance(data, dict):
        return ExportedTask(name=name, fault="no task")
    return ExportedTask(
        name=name,
        references=data,
        said=tuple(_said(one) for one in _objects(entry.get("annotations"))),
        unfinished_count=_count(entry.get("predictions")) + _count(entry.get("drafts")),
    )


def _said(annotation: Mapping[str, Any]) -> Said:
    return Said(
        annotator=address_of(annotation.get("completed_by")),
        result=annotation.get("result"),
        seconds=_seconds(annotation.get("lead_time")),
        is_skip=bool(annotation.get("was_cancelled")),
        said_at=str(annotation.get("updated_at") or ""),
        unique_id=str(annotation.get("unique_id") or ""),
    )


def _minimal(entry: Mapping[str, Any], name: str, problem: Problem) -> ExportedTask:
    """Read a record of JSON-MIN, where data and answers stand side by side."""
    choices = _CHOICES.findall(problem.label_config)
    fields = {key: value for key, value in entry.items() if key not in MIN_FIELDS}
    regions = [_region(key, value, kind="choices" if key in choices else "text") for key, value in fields.items()]
    answers = [region for region in regions if _is_known(region, problem)]
    said = Said(
        annotator=address_of(entry.get("annotator")),
        result=answers,
        seconds=_seconds(entry.get("lead_time")),
        said_at=str(entry.get("updated_at") or ""),
    )
    named = {region["from_name"] for region in answers}
    return ExportedTask(name, {key: value for key, value in fields.items() if key not in named}, (said,))


def _region(name: str, value: Any, *, kind: str) -> dict[str, Any]:
    parts = value if isinstance(value, list) else [value]
    texts = [text for part in parts for text in (part.get(kind, []) if isinstance(part, dict) else [part])]
    tag = "choices" if kind == "choices" else "textarea"
    return {"from_name": name, "to_name": "image", "type": tag, "value": {kind: texts}}


def _is_known(region: dict[str, Any], problem: Problem) -> bool:
    """Tell whether a field is an answer: a problem refuses whatever it knows no field of that name for."""
    try:
        problem.read_label([{**region, "value": {"text": ["x"]}}])
    except DataError:
        return False
    return True


def _objects(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _count(found: Any) -> int:
    return len(found) if isinstance(found, list) else 0


def _seconds(found: Any) -> float | None:
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and math.isfinite(found) and found >= 0 else None
