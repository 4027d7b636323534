"""Figures about labelling, each in words that a labeller understands: how far, how well agreed, at what price."""

from dataclasses import dataclass
from statistics import median

from loopline.agreement import Agreement
from loopline.consensus import AnnotatorRecord
from loopline.label_review import LabelReview
from loopline.measures import shown
from loopline.provenance import duration

SECONDS_PER_HOUR = 3600
MOST_MINUTES = 180  # from there on hours are told, where their parts are noise
CURRENCY = "in your currency"


@dataclass(frozen=True)
class Figure:
    """One number, and what it says."""

    title: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Person:
    """One annotator; None where no time was taken, or no price is known."""

    name: str
    record: AnnotatorRecord
    line_seconds: float | None
    cost: float | None


def headlines(review: LabelReview) -> list[Figure]:
    """Return how far the images have come."""
    counts, conflict_count, suspect_count = review.counts, len(review.conflicts), len(review.suspects)
    images = f"{counts.image_count:,} images"
    share = (
        f"{share_told(counts.label_count, counts.image_count)} of {images}" if counts.image_count else "no images yet"
    )
    wanted = f"people disagree on {conflict_count:,}" + (f", a model doubts {suspect_count:,}" if suspect_count else "")
    is_begun = counts.draft_count or counts.skipped_count
    begun = f"; {counts.draft_count:,} drafts and {counts.skipped_count:,} skips in the project" if is_begun else ""
    aside = "what people said of them can't be learnt from"
    return [
        Figure("Labelled", f"{counts.label_count:,}", share),
        Figure("Open", f"{review.open_count:,}", f"nobody has labelled them{begun}"),
        Figure("Want another opinion", f"{conflict_count + suspect_count:,}", wanted),
        Figure("Set aside", f"{counts.aside_count:,}", aside if counts.aside_count else "nothing so far"),
    ]


def agreements(found: Agreement | None) -> list[Figure]:
    """Return how far people agree; nothing where no line was read by two."""
    if found is None:
        return []
    lines = f"{found.image_count:,} lines" if found.image_count > 1 else "one line"
    exact = f"of the {lines} that two people or more have read, all of them wrote exactly the same"
    cer = (
        "of the characters differ between what two people wrote for one line; "
        "no model can be expected to agree with people better than they do with each other"
    )
    return [
        Figure("The same, letter by letter", shown(found.exact_share, "line_accuracy"), exact),
        Figure("Characters that differ", shown(found.cer, "cer"), cer),
        _alpha(found.alpha),
    ]


def _alpha(alpha: float | None) -> Figure:
    title, name = "Beyond chance", "Krippendorff's alpha"
    if alpha is None:
        return Figure(title, "–", f"{name} can't be told while all lines have the same text")
    scale = "1 is full agreement, 0 what chance would give; labels are usually called reliable from 0.8 on"
    return Figure(title, f"{alpha:.2f}".replace("-", "\u2212"), f"{name}: {scale}, and not below 0.67")


def efforts(review: LabelReview) -> list[Figure]:
    """Return the time that labelling takes, and its cost where a price is known; nothing where no time was taken."""
    seconds = [opinion.seconds for opinion in review.opinions if opinion.seconds is not None]
    if not seconds:
        return []
    hour, line_seconds, total = review.price_per_hour, median(seconds), sum(seconds)
    timed = f"for {len(seconds):,} of {len(review.opinions):,} readings, breaks with a task left open included"
    left = f"{review.open_count:,} open lines at {duration(line_seconds)} each"
    found = [
        Figure("A line takes", duration(line_seconds), "the median: half of the lines take longer"),
        Figure("In all so far", roughly(total), timed),
    ]
    given_count = review.counts.label_count - review.counts.beside_count
    if hour and given_count:
        price = f"{CURRENCY}, at {hour:,.2f} an hour; {_cost(total, hour):,.2f} in all, second opinions included"
        found.append(Figure("A label costs", f"{_cost(total, hour) / given_count:,.2f}", price))
    if review.open_count:
        more = f"; {_cost(line_seconds * review.open_count, hour):,.2f} {CURRENCY}" if hour else ""
        found.append(Figure("Still to do", roughly(line_seconds * review.open_count), left + more))
    return found


def persons(review: LabelReview) -> list[Person]:
    """Return the annotators, who labelled most first."""
    seconds: dict[str, list[float]] = {name: [] for name in review.consensus.annotators}
    for opinion in review.opinions:
        if opinion.seconds is not None:
            seconds[opinion.annotator].append(opinion.seconds)
    found = [
        Person(
            name=name,
            record=record,
            line_seconds=median(seconds[name]) if seconds[name] else None,
            cost=_cost(sum(seconds[name]), review.price_per_hour) if review.price_per_hour and seconds[name] else None,
        )
        for name, record in review.consensus.annotators.items()
    ]
    return sorted(found, key=lambda person: (-person.record.line_count, person.name))


def share_told(count: int, whole: int) -> str:
    """Write a share so that only all of it is 100 % and only nothing is 0 %."""
    percent = 100 * count / whole
    rounded = min(max(round(percent), 1), 99) if 0 < count < whole else round(percent)
    return f"{rounded}\u202f%"


def roughly(seconds: float) -> str:
    """Write a long time as short as a plan needs it."""
    if seconds < 60:
        return duration(seconds)
    minutes = seconds / 60
    return f"{minutes:,.0f} min" if minutes < MOST_MINUTES else f"{minutes / 60:,.0f} h"


def _cost(seconds: float, price_per_hour: float) -> float:
    return seconds / SECONDS_PER_HOUR * price_per_hour
