"""The page about the labelling in a project: one HTML file that asks nothing of the network.

What is shown is decided here and in the modules of figures, cards and pace; how it looks, in label_page.html.j2.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

from loopline.clients.store import Store
from loopline.contracts import Artifact
from loopline.label_cards import conflict_shelf, odd_kinds, odd_shelf, suspect_shelf
from loopline.label_figures import Person, agreements, efforts, headlines, persons, share_told
from loopline.label_pace import pace
from loopline.label_review import LabelReview
from loopline.measures import shown
from loopline.provenance import duration
from loopline.templates import environment

log = logging.getLogger(__name__)

PERSON_COUNT = 40  # rows of the table of annotators
REASON_COUNT = 20  # rows of a table of reasons

HEADINGS = {
    "progress": "How far it has come",
    "pace": "How it went",
    "agreement": "How far people agree",
    "people": "Who labelled",
    "effort": "What it takes",
    "conflicts": "Where people disagree",
    "suspects": "Labels that a model doubts",
    "odd": "Labels that look odd",
    "aside": "What was set aside",
}


def write_page(store: Store, review: LabelReview) -> Artifact:
    """Render the page and store it at label-reports/<problem>/<sha256 of the snapshot>.html."""
    html = render(review).encode()
    log.info("label_report: %d labels, %.2f MB", review.counts.label_count, len(html) / 1e6)
    return store.put(html, f"label-reports/{review.problem}/{review.snapshot.sha256}.html")


def render(review: LabelReview) -> str:
    """Return the page; what there is no data for is left out."""
    parts = _parts(review)
    return (
        environment()
        .get_template("label_page.html.j2")
        .render(
            review=review,
            done=share_told(review.counts.label_count, review.counts.image_count) if review.counts.image_count else "",
            sections=_sections(parts),
            **parts,
        )
    )


def summary(review: LabelReview) -> str:
    """Return the annotators and how far they agree, in Markdown."""
    said = [f"**{one.title}** {one.value} ({one.meaning})" for one in headlines(review)]
    said += [f"**{one.title}** {one.value}: {one.meaning}" for one in agreements(review.consensus.agreement)]
    people = persons(review)
    return "\n\n".join([*said, _table(people)] if people else said)


def _parts(review: LabelReview) -> dict[str, Any]:
    people = persons(review)
    return {
        "headlines": headlines(review),
        "drawings": pace(review.opinions, review.open_count),
        "agreements": agreements(review.consensus.agreement),
        "people": people[:PERSON_COUNT],
        "person_count": len(people),
        "efforts": efforts(review),
        "conflicts": conflict_shelf(review),
        "suspects": suspect_shelf(review),
        "odd": odd_shelf(review),
        "odd_kinds": odd_kinds(review)[:REASON_COUNT],
        "aside": sorted(review.aside.items(), key=lambda item: (-item[1], item[0]))[:REASON_COUNT],
    }


def _sections(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return the sections that have something to show, by the name that a link finds them by."""
    filled = {
        "pace": parts["drawings"],
        "agreement": parts["people"],
        "people": parts["people"],
        "effort": parts["efforts"],
        "conflicts": parts["conflicts"].cards,
        "suspects": parts["suspects"].cards,
        "odd": parts["odd"].cards,
        "aside": parts["aside"],
    }
    return {name: heading for name, heading in HEADINGS.items() if filled.get(name, True)}


def _table(people: list[Person]) -> str:
    head = ("annotator", "lines", "a line takes", "minutes", "agreement", "overruled", "weight")
    rows = [head, ("---", *["---:"] * (len(head) - 1)), *map(_row, people[:PERSON_COUNT])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(person: Person) -> tuple[str, ...]:
    record = person.record
    return (
        _plain(person.name),
        f"{record.line_count:,}",
        "" if person.line_seconds is None else duration(person.line_seconds),
        "" if record.minutes is None else f"{record.minutes:,.0f}",
        "" if record.agreement is None else shown(record.agreement, "line_accuracy"),
        f"{record.overruled_count:,}",
        f"{record.weight:.2f}",
    )


def _plain(text: str) -> str:
    """Return a text that means itself in a cell of a Markdown table."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&])", r"\\\1", " ".join(text.split()))
