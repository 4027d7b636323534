"""What is known of the labelling in a project: gathered from the store, for the page that shows it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from loopline.board import IMAGE
from loopline.captured_tasks import captured_images
from loopline.checking import DISAGREE
from loopline.clients.store import Store
from loopline.consensus import Consensus, Opinion, Settled, settle
from loopline.contracts import Artifact, LabeledDataset
from loopline.errors import DataError
from loopline.images import decode
from loopline.labels import SCHEMA, count_reasons
from loopline.manifest import read_manifest
from loopline.mirror import documents
from loopline.opinions import DRAFT, SKIPPED, Heard, hear
from loopline.problems import Problem
from loopline.sidecars import Row
from loopline.suspicions import REASON, doubted

RARE = 1 / 1000  # of the labels: a character that fewer are written with is a slip more often than a habit
FILE = "the file beside the images"  # says what nobody in the project said


@dataclass(frozen=True)
class Line:
    """An image of which there is something to say, and the task that shows it, if there is one."""

    image_sha256: str
    key: str
    task: int | None


@dataclass(frozen=True)
class OddLabel:
    """A label that holds, and what is suspicious about it: each a reason and, after a colon, its particulars."""

    line: Line
    label: str
    annotators: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Conflict:
    """An image on which people disagree."""

    line: Line
    settled: Settled


@dataclass(frozen=True)
class Suspect:
    """A label that a model doubts, and what it reads instead."""

    line: Line
    label: str
    annotators: tuple[str, ...]
    read: str


@dataclass(frozen=True)
class Counts:
    """How many images there are, and what was said. Images are distinct; those set aside have no label in dispute."""

    image_count: int
    quarantined_count: int
    label_count: int
    beside_count: int  # labels that stand in a file beside the images, and nobody in the project spoke of
    aside_count: int
    skipped_count: int
    draft_count: int


@dataclass(frozen=True)
class LabelReview:
    """Everything that a page about the labelling shows.

    `read_image` returns an image by its digest, upright and grey, and raises DataError if it can't be shown.
    """

    problem: str
    project: str
    project_url: str  # "" where no task is known
    snapshot: Artifact
    counts: Counts
    aside: Mapping[str, int]  # reasons, also of images that are not in the source; conflicts left out
    consensus: Consensus
    odd: Sequence[OddLabel]
    conflicts: Sequence[Conflict]  # where most people spoke first
    suspects: Sequence[Suspect]  # the most doubtful first
    read_image: Callable[[str], Image.Image]
    price_per_hour: float = 0  # of an annotator

    @property
    def opinions(self) -> list[Opinion]:
        """What people read, once a person and image."""
        return [opinion for settled in self.consensus.images.values() for opinion in settled.opinions]

    @property
    def open_count(self) -> int:
        """How many images nobody has labelled."""
        counts = self.counts
        return counts.image_count - counts.label_count - len(self.conflicts) - counts.aside_count


def gather_review(
    store: Store,
    problem: Problem,
    *,
    labeled: LabeledDataset,
    people: Mapping[int, str],
    server_url: str,
    vocabulary: Collection[str] = (),
) -> LabelReview:
    """Read from the store what is known of the labelling; the vocabulary is that of the newest dataset version.

    Without one, what most labels are written with stands for it. DataError for labels that come from no project.
    """
    snapshot = _snapshot(labeled)
    heard = hear(documents(store, snapshot), problem, people=people)
    project, tasks = _tasks(documents(store, snapshot))
    found = _Rows(read_manifest(store, labeled.manifest, schema=SCHEMA).to_pylist(), settle(heard.opinions), tasks)
    return LabelReview(
        problem=labeled.problem,
        project=labeled.label_project or "",
        project_url=f"{server_url}/projects/{project}" if project else "",
        snapshot=snapshot,
        counts=_counts(store, labeled, found=found, heard=heard),
        aside=count_reasons(row for row in found.rows if row["rejected"] and not _is_disputed(row)),
        consensus=found.consensus,
        odd=_odd(found, problem, vocabulary=vocabulary),
        conflicts=_conflicts(found),
        suspects=_suspects(
            found,
            doubted(store, problem.name, heard=heard, consensus=found.consensus, beside=found.beside(problem)),
        ),
        read_image=lambda image: decode(store.read(f"blobs/{image}")),
    )


def _snapshot(labeled: LabeledDataset) -> Artifact:
    if labeled.label_snapshot is None:
        raise DataError("these labels come from a file alone; the page is about those that people give in a project")
    return labeled.label_snapshot


@dataclass(frozen=True)
class _Rows:
    """The labelled manifest beside what people said."""

    rows: Sequence[Row]
    consensus: Consensus
    tasks: Mapping[str, int]

    @property
    def usable(self) -> list[Row]:
        return [row for row in self.rows if not row["rejected"]]

    def said(self, row: Row) -> tuple[Opinion, ...]:
        settled = self.consensus.images.get(row["image_sha256"])
        return settled.opinions if settled else ()

    def beside(self, problem: Problem) -> dict[str, str]:
        """Return the labels that nobody in the project spoke of, in normal form, by image."""
        rows = (row for row in self.usable if not self.said(row))
        return {row["image_sha256"]: problem.normalise_label(row["label"]) for row in rows}

    def line(self, row: Row) -> Line:
        image, said = row["image_sha256"], self.said(row)
        return Line(image, row["key"], said[0].task if said else self.tasks.get(image))

    def annotators(self, row: Row) -> tuple[str, ...]:
        said = self.said(row)
        return tuple(one.annotator for one in said if one.text == row["label"]) if said else (FILE,)


def _tasks(documents: Iterable[dict[str, Any]]) -> tuple[int | None, dict[str, int]]:
    """Return the project's id, and the oldest task of each image."""
    project, tasks = None, dict[str, int]()
    for task in documents:
        project, data = task.get("project", project), task.get("data")
        if isinstance(data, dict) and data.get(IMAGE):
            tasks.setdefault(str(data[IMAGE]), int(task["id"]))
    return project, tasks


def _counts(store: Store, labeled: LabeledDataset, *, found: _Rows, heard: Heard) -> Counts:
    images = read_manifest(store, labeled.raw.manifest).select(["image_sha256", "quarantine_reason"])
    usable = images.filter(pc.field("quarantine_reason").is_null())["image_sha256"].combine_chunks()
    captured = captured_images(documents(store, _snapshot(labeled)))
    shown = pa.concat_arrays([usable, pa.array(list(captured), pa.string())])
    known = {row["image_sha256"] for row in found.rows if row["width_px"] is not None}
    labelled = {row["image_sha256"] for row in found.rows if not row["rejected"] or _is_disputed(row)}
    return Counts(
        image_count=int(pc.count_distinct(shown).as_py()),
        quarantined_count=labeled.raw.quarantined_count,
        label_count=labeled.label_count,
        beside_count=sum(not found.said(row) for row in found.usable),
        aside_count=len(known - labelled),
        skipped_count=heard.open_counts[SKIPPED],
        draft_count=heard.open_counts[DRAFT],
    )


def _is_disputed(row: Row) -> bool:
    return str(row["rejected"] or "").startswith(DISAGREE)


def _conflicts(found: _Rows) -> list[Conflict]:
    disputed = [row for row in found.rows if _is_disputed(row)]
    conflicts = [Conflict(found.line(row), found.consensus.images[row["image_sha256"]]) for row in disputed]
    return sorted(conflicts, key=lambda one: (-len(one.settled.opinions), one.line.key))


def _suspects(found: _Rows, doubts: Mapping[str, str]) -> list[Suspect]:
    rows = {row["image_sha256"]: row for row in found.usable}
    return [
        Suspect(found.line(row), row["label"], found.annotators(row), read=reason.removeprefix(REASON))
        for image, reason in doubts.items()
        if (row := rows.get(image))
    ]


def _odd(found: _Rows, problem: Problem, *, vocabulary: Collection[str]) -> list[OddLabel]:
    alphabet = frozenset(vocabulary) or _usual_characters([row["label"] for row in found.usable])
    linted = (
        (row, problem.lint(row["label"], row["width_px"], row["height_px"], alphabet=alphabet)) for row in found.usable
    )
    return [
        OddLabel(found.line(row), row["label"], found.annotators(row), findings=tuple(findings))
        for row, findings in linted
        if findings
    ]


def _usual_characters(labels: Sequence[str]) -> frozenset[str]:
    counts = Counter(character for label in labels for character in set(label))
    return frozenset(character for character, count in counts.items() if count >= RARE * len(labels))
