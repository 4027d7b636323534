"""From what several people read on an image to the label that holds, and to what each person's word is worth."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from loopline.agreement import Agreement, agreement
from loopline.medoid import Ballot, Real, cast, nearest
from loopline.trust import weigh

HALF = 0.5  # of the weight; a label needs more
LEAST_VOICES = 2  # that a label needs where several people spoke: one is never right against one


@dataclass(frozen=True)
class Opinion:
    """What one person read on one image, in normal form; `updated_at` has a time zone, `seconds` it took."""

    image_sha256: str
    annotator: str
    text: str
    task: int
    annotation: int
    updated_at: datetime
    seconds: float | None


@dataclass(frozen=True)
class Settled:
    """What holds for one image. In a conflict there is no label: `text` is then but the nearest to all."""

    text: str
    annotators: tuple[str, ...]
    support: float  # share of the weight behind exactly this text
    conflict: bool
    opinions: tuple[Opinion, ...]  # that count, by annotator


@dataclass(frozen=True)
class AnnotatorRecord:
    """What is known of one annotator; shared lines are those that others transcribed too."""

    line_count: int
    shared_count: int
    minutes: float | None  # None where no time was taken
    agreement: float | None  # share of shared lines on which theirs is the settled text; a conflict settles none
    cer: float | None  # on shared lines, against the consensus of the others
    overruled_count: int  # shared lines on which another text is settled
    weight: float  # 1: as near to the others as everybody is


@dataclass(frozen=True)
class Consensus:
    """What holds for each image, by its digest; what is known of each annotator, by name; and how far they agree."""

    images: dict[str, Settled]
    annotators: dict[str, AnnotatorRecord]
    agreement: Agreement | None  # None if no image has two opinions


def settle(opinions: Iterable[Opinion]) -> Consensus:
    """Return what holds, whatever the order of the opinions.

    A person counts once an image, with their latest opinion, whatever task it was given in. The label is the weighted
    medoid under edit distance. It is a conflict if not more than half of the weight stands behind it, or one voice
    only where several spoke.
    """
    of_image = _latest(opinions)
    names = sorted({opinion.annotator for said in of_image.values() for opinion in said})
    numbers = {name: number for number, name in enumerate(names)}
    ballots = {image: _ballot(said, numbers) for image, said in of_image.items()}
    weights_A, cers_A = weigh(list(ballots.values()), len(names))
    images = {image: _settled(said, ballots[image], weights_A=weights_A) for image, said in of_image.items()}
    return Consensus(
        images=images,
        annotators=_records(images.values(), names, weights_A=weights_A, cers_A=cers_A),
        agreement=agreement([[opinion.text for opinion in said] for said in of_image.values()]),
    )


def _latest(opinions: Iterable[Opinion]) -> dict[str, list[Opinion]]:
    """Return the opinions that count, by image, in the order of digests and names."""
    latest: dict[tuple[str, str], Opinion] = {}
    for opinion in opinions:
        key = opinion.image_sha256, opinion.annotator
        if key not in latest or _moment(latest[key]) < _moment(opinion):
            latest[key] = opinion
    of_image: defaultdict[str, list[Opinion]] = defaultdict(list)
    for image, annotator in sorted(latest):
        of_image[image].append(latest[image, annotator])
    return of_image


def _moment(opinion: Opinion) -> tuple[datetime, int, int, str]:
    return opinion.updated_at, opinion.annotation, opinion.task, opinion.text


def _ballot(said: Sequence[Opinion], numbers: Mapping[str, int]) -> Ballot:
    return cast([opinion.text for opinion in said], [numbers[opinion.annotator] for opinion in said])


def _settled(said: Sequence[Opinion], ballot: Ballot, *, weights_A: Real) -> Settled:
    best, support = nearest(ballot, weights_A[ballot.voters_V])
    voice_count = int((ballot.choices_V == best).sum())
    return Settled(
        text=ballot.texts[best],
        annotators=tuple(opinion.annotator for opinion in said),
        support=support,
        conflict=len(said) > 1 and (support <= HALF or voice_count < LEAST_VOICES),
        opinions=tuple(said),
    )


def _records(
    images: Iterable[Settled], names: Sequence[str], *, weights_A: Real, cers_A: Real
) -> dict[str, AnnotatorRecord]:
    lines: defaultdict[str, list[tuple[Opinion, Settled]]] = defaultdict(list)
    for settled in images:
        for opinion in settled.opinions:
            lines[opinion.annotator].append((opinion, settled))
    return {
        name: _record(lines[name], weight=float(weights_A[number]), cer=float(cers_A[number]))
        for number, name in enumerate(names)
    }


def _record(lines: Sequence[tuple[Opinion, Settled]], *, weight: float, cer: float) -> AnnotatorRecord:
    shared = [(opinion, settled) for opinion, settled in lines if len(settled.opinions) > 1]
    decided = [opinion.text == settled.text for opinion, settled in shared if not settled.conflict]
    seconds = [opinion.seconds for opinion, _ in lines if opinion.seconds is not None]
    return AnnotatorRecord(
        line_count=len(lines),
        shared_count=len(shared),
        minutes=sum(seconds) / 60 if seconds else None,
        agreement=sum(decided) / len(shared) if shared else None,
        cer=None if np.isnan(cer) else cer,
        overruled_count=decided.count(False),
        weight=weight,
    )
