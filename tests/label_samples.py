"""A made-up project as it might be: 240 drawn lines, read by four people over three weeks, a tenth of them twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from report_samples import RESEMBLING, artifact

from loopline.consensus import Opinion, settle
from loopline.label_review import Conflict, Counts, LabelReview, Line, OddLabel, Suspect
from loopline.problems.handwriting.samples import Line as DrawnLine
from loopline.problems.handwriting.samples import draw_lines

LINE_COUNT = 240
IMAGE_COUNT = 400
PEOPLE = ("ada@example.com", "babbage.charles@difference-engine.example.org", "claude", "דוד")
PACES = (6.5, 9, 14, 11)  # seconds a line
CARELESS = (0.005, 0.01, 0.06, 0.02)  # share of characters
BEGINNING = datetime(2026, 3, 2, 8, tzinfo=UTC)


@cache
def drawn() -> tuple[DrawnLine, ...]:
    return tuple(draw_lines(seed=5, counts={"train": LINE_COUNT}))


def name(number: int) -> str:
    return f"{number:064x}"


def picture(image: str) -> Image.Image:
    return Image.fromarray(drawn()[int(image, 16) % LINE_COUNT].pixels)


def opinion(number: int, text: str, *, who: str = PEOPLE[0], **changed: Any) -> Opinion:
    facts: dict[str, Any] = {
        "image_sha256": name(number),
        "annotator": who,
        "text": text,
        "task": 1000 + number,
        "annotation": number,
        "updated_at": BEGINNING + timedelta(hours=number),
        "seconds": 8.0,
    }
    return Opinion(**facts | changed)


@cache
def opinions() -> tuple[Opinion, ...]:
    random = np.random.default_rng(11)
    said = []
    for number, line in enumerate(drawn()):
        voices = random.choice(4, 2 if number % 5 == 0 else 1, replace=False, p=(0.45, 0.3, 0.15, 0.1)).tolist()
        for voice in voices:
            text = "".join(RESEMBLING[digit] if random.random() < CARELESS[voice] else digit for digit in line.text)
            day, second = divmod(number, 13)
            time = BEGINNING + timedelta(days=day + 2 * (day // 5), seconds=second * 90 + int(random.integers(3600)))
            seconds = float(PACES[voice] * random.lognormal(0, 0.4))
            said.append(opinion(number, text, who=PEOPLE[voice], updated_at=time, seconds=seconds))
    return tuple(said)


def line(image: str) -> Line:
    number = int(image, 16)
    return Line(image, f"images/{number:05}.png", 1000 + number)


def review(said: tuple[Opinion, ...] = (), *, counts: dict[str, int] | None = None, **changed: Any) -> LabelReview:
    """What was said, and nothing else that is known."""
    consensus = settle(said)
    disputed = {image: settled for image, settled in consensus.images.items() if settled.conflict}
    label_count = len(consensus.images) - len(disputed)
    none = dict.fromkeys(("quarantined_count", "beside_count", "aside_count", "skipped_count", "draft_count"), 0)
    facts: dict[str, Any] = {
        "problem": "handwriting",
        "project": "handwriting",
        "project_url": "http://127.0.0.1:8080/projects/3",
        "snapshot": artifact("snapshot"),
        "counts": Counts(**{**none, "image_count": IMAGE_COUNT, "label_count": label_count, **(counts or {})}),
        "aside": {},
        "consensus": consensus,
        "odd": (),
        "conflicts": [Conflict(line(image), found) for image, found in disputed.items()],
        "suspects": (),
        "read_image": picture,
    }
    return LabelReview(**facts | changed)


def odd(number: int, label: str, *findings: str, **changed: Any) -> OddLabel:
    return replace(OddLabel(line(name(number)), label=label, annotators=PEOPLE[:1], findings=findings), **changed)


def suspect(number: int, label: str, *, read: str) -> Suspect:
    return Suspect(line(name(number)), label=label, annotators=PEOPLE[2:3], read=read)


def whole_review() -> LabelReview:
    """Everything that a page can show."""
    texts = [drawn_line.text for drawn_line in drawn()]
    return review(
        opinions(),
        counts={"quarantined_count": 4, "aside_count": 9, "skipped_count": 5, "draft_count": 2},
        aside={"judged unreadable": 6, "no text": 2, "no such image in the source": 4, "N texts for one line": 1},
        odd=[
            odd(7, texts[7] + "\u200b", "invisible character: U+200B ZERO WIDTH SPACE"),
            odd(8, "4711 — ditto, as on the line above, I think", "too long for its image: length 43, 120x40 px"),
            odd(9, texts[9].replace("1", "l") + "l", "unknown character: l U+006C"),
            *(odd(number, texts[number] + "O", "unknown character: O U+004F") for number in range(20, 43)),
        ],
        suspects=[suspect(number, texts[number][:-1] + "0", read=texts[number]) for number in (50, 51, 52)],
        price_per_hour=24.5,
    )
