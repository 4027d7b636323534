"""Lines that a page about labels shows: the image, who said what, and what is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from PIL import Image

from loopline.errors import DataError
from loopline.label_review import Conflict, LabelReview, Line, OddLabel, Suspect
from loopline.labels import count_reasons
from loopline.mistakes import align
from loopline.thumbnails import data_uri, thumbnail

CARD_COUNT = 12  # of a section: what a person looks at, and every one brings its image along
LONGEST = 300  # characters of a text that are shown
BEFORE = 40  # characters shown before long texts begin to differ
MOST_TEXTS = 8  # on one card
MOST_NAMES = 6  # in one list
WIDE_PX = 480  # from here on a line takes the whole width of the page


@dataclass(frozen=True)
class Voice:
    """A text and who says so, beside what it is held against."""

    who: str
    text: str
    reference: str

    @property
    def alignment(self) -> list[tuple[str, str, str]]:
        """The reference and the text side by side."""
        return align(self.reference, self.text)


@dataclass(frozen=True)
class Card:
    """One line; without its image where that can't be shown, for the reason given."""

    key: str
    task: int | None
    image: Image.Image | None
    trouble: str
    voices: tuple[Voice, ...]
    notes: tuple[str, ...]

    @property
    def image_uri(self) -> str:
        """The image, within the page."""
        return data_uri(self.image) if self.image else ""


@dataclass(frozen=True)
class Shelf:
    """The cards of a section, and how many lines there are in all."""

    cards: tuple[Card, ...]
    count: int

    @property
    def is_wide(self) -> bool:
        """True if a line is so long that each card takes the whole width."""
        return any(card.image and card.image.width > WIDE_PX for card in self.cards)


def conflict_shelf(review: LabelReview) -> Shelf:
    """Show lines on which people disagree; differences are those from the reading that is nearest to all."""
    return Shelf(
        tuple(_conflict(review, found) for found in review.conflicts[:CARD_COUNT]), count=len(review.conflicts)
    )


def suspect_shelf(review: LabelReview) -> Shelf:
    """Show labels that a model doubts, the most doubtful first."""
    return Shelf(tuple(_suspect(review, found) for found in review.suspects[:CARD_COUNT]), count=len(review.suspects))


def odd_shelf(review: LabelReview) -> Shelf:
    """Show labels that look odd: one of each kind, then another of each."""
    chosen = _in_turn(review.odd)[:CARD_COUNT]
    cards = (
        _card(
            review,
            found.line,
            voices=_voices({found.label: found.annotators}, found.label),
            notes=tuple(_cut(finding) for finding in found.findings),
        )
        for found in chosen
    )
    return Shelf(tuple(cards), count=len(review.odd))


def odd_kinds(review: LabelReview) -> list[tuple[str, int]]:
    """Count what looks odd by its reason, the most frequent first."""
    return count_reasons({"rejected": finding} for found in review.odd for finding in found.findings).most_common()


def _in_turn(found: Sequence[OddLabel]) -> list[OddLabel]:
    seen: Counter[str] = Counter()
    places = {}
    for odd in found:
        kind = odd.findings[0].partition(":")[0]
        places[odd.line] = seen[kind]
        seen[kind] += 1
    return sorted(found, key=lambda odd: places[odd.line])


def _conflict(review: LabelReview, found: Conflict) -> Card:
    said: defaultdict[str, list[str]] = defaultdict(list)
    for opinion in found.settled.opinions:
        said[opinion.text].append(opinion.annotator)
    texts = sorted(said, key=lambda text: (text != found.settled.text, -len(said[text]), text))
    more = len(texts) - MOST_TEXTS
    return _card(
        review,
        found.line,
        voices=_voices({text: said[text] for text in texts[:MOST_TEXTS]}, found.settled.text),
        notes=(f"and {more:,} more readings",) if more > 0 else (),
    )


def _suspect(review: LabelReview, found: Suspect) -> Card:
    voices = _voices({found.label: found.annotators, found.read: ["the model"]}, found.label)
    return _card(review, found.line, voices=voices)


def _card(review: LabelReview, line: Line, *, voices: tuple[Voice, ...], notes: tuple[str, ...] = ()) -> Card:
    try:
        shown, trouble = thumbnail(review.read_image(line.image_sha256)), ""
    except DataError as error:
        shown, trouble = None, str(error)
    return Card(key=line.key, task=line.task, image=shown, trouble=trouble, voices=voices, notes=notes)


def _voices(said: Mapping[str, Sequence[str]], reference: str) -> tuple[Voice, ...]:
    """Return what was said, long texts from where they begin to differ."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*said, reference, strict=False))
    shared = sum(1 for _ in same) if len(said) > 1 else 0
    start = shared - BEFORE if shared > LONGEST - BEFORE else 0
    return tuple(
        Voice(_speaker(who, text), text=_cut(text, start), reference=_cut(reference, start))
        for text, who in said.items()
    )


def _speaker(who: Sequence[str], text: str) -> str:
    more = f" and {len(who) - MOST_NAMES} more" if len(who) > MOST_NAMES else ""
    length = f" ({len(text):,} characters)" if len(text) > LONGEST else ""
    return ", ".join(who[:MOST_NAMES]) + more + length


def _cut(text: str, start: int = 0) -> str:
    part = text[start : start + LONGEST]
    before, after = "…" if start else "", "…" if len(text) > start + LONGEST else ""
    return f"{before}{part}{after}"
