"""What people said in a label project: from tasks as they were exported to one opinion a person and image."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loopline.consensus import Opinion
from loopline.errors import DataError
from loopline.problems import Problem

SKIPPED, DRAFT = "skipped", "draft"


@dataclass(frozen=True)
class Refusal:
    """An annotation that says nothing usable, and why."""

    image_sha256: str
    annotator: str
    task: int
    annotation: int
    reason: str


@dataclass
class Heard:
    """All that was said: usable opinions; images judged unusable; what can't be used; how much was left open."""

    opinions: list[Opinion] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)  # image_sha256 -> what people judged it to be
    refusals: list[Refusal] = field(default_factory=list)
    open_counts: Counter[str] = field(default_factory=Counter)  # skips and drafts, which are no labels yet

    @property
    def refused(self) -> set[str]:
        """The images of which someone said what can't be used."""
        return {refusal.image_sha256 for refusal in self.refusals}


def hear(documents: Iterable[dict[str, Any]], problem: Problem, *, people: Mapping[int, str]) -> Heard:
    """Read every annotation; of one person's on one image the latest counts. The tasks' order is of no account."""
    heard = Heard()
    latest: dict[tuple[str, str], tuple[tuple[datetime, int], Opinion | Refusal | str]] = {}
    for document in documents:
        heard.open_counts[DRAFT] += len(document.get("drafts") or ())
        for annotation in document.get("annotations") or ():
            if annotation.get("was_cancelled"):
                heard.open_counts[SKIPPED] += 1
                continue
            said = _said(document, annotation, problem, people=people)
            key = (_image(document), _annotator(annotation, people))
            at = (_time(annotation), int(annotation["id"]))
            if key not in latest or latest[key][0] < at:
                latest[key] = (at, said)
    for image, annotator in sorted(latest):
        said = latest[image, annotator][1]
        if isinstance(said, Opinion):
            heard.opinions.append(said)
        elif isinstance(said, Refusal):
            heard.refusals.append(said)
        else:
            heard.unusable.setdefault(image, said)
    return heard


def _said(
    document: dict[str, Any], annotation: dict[str, Any], problem: Problem, *, people: Mapping[int, str]
) -> Opinion | Refusal | str:
    """Return an opinion, why there is none, or what the image was judged to be."""
    image, annotator = _image(document), _annotator(annotation, people)
    task, number = int(document["id"]), int(annotation["id"])
    try:
        reading = problem.read_label(annotation.get("result") or [])
    except DataError as reason:
        return Refusal(image, annotator, task=task, annotation=number, reason=str(reason))
    if reading.unusable:
        return reading.unusable
    return Opinion(
        image_sha256=image,
        annotator=annotator,
        text=problem.normalise_label(reading.text),
        task=task,
        annotation=number,
        updated_at=_time(annotation),
        seconds=annotation.get("lead_time"),
    )


def _image(document: dict[str, Any]) -> str:
    """Return the image's name; a task that was not made by us is known by where its image lies."""
    data = document.get("data") or {}
    named = data.get("image_sha256") or str(data.get("image") or "").rsplit("/", 1)[-1]
    return str(named)


def _annotator(annotation: dict[str, Any], people: Mapping[int, str]) -> str:
    who = annotation.get("completed_by")
    number = who.get("id") if isinstance(who, dict) else who
    return people.get(number or 0, str(number))


def _time(annotation: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(annotation["updated_at"])
