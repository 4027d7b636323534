"""Labels from a Label Studio project: mirrored, heard, settled between annotators, joined with the images."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from loopline.captured_tasks import captured_images
from loopline.clients.store import Store
from loopline.consensus import Consensus, Settled, settle
from loopline.contracts import LabeledDataset, RawDataset
from loopline.errors import ConfigError, DataError
from loopline.labels import SCHEMA, file_rows, image_facts, images_by_key, publish_labels
from loopline.mirror import documents, refresh
from loopline.opinions import DRAFT, SKIPPED, Heard, hear
from loopline.orders import PROJECT
from loopline.problems import Problem
from loopline.sidecars import Row, Sidecars, finder

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

log = logging.getLogger(__name__)

BESIDE = "labels.json"
NOT_THERE = "no such image in the source"


def project_title(labels: str) -> str | None:
    """Return the title of the Label Studio project that an order's labels name, or None for a file's name."""
    return labels.removeprefix(PROJECT).strip() if labels.startswith(PROJECT) else None


def take_project(
    store: Store, raw: RawDataset, *, client: "LabelStudio", title: str, problem: Problem
) -> LabeledDataset:
    """Take what people said since the last time, and return every image that has a label, with it.

    Where nobody has spoken, the labels.json beside the images holds, if there is one. A captured picture of the project
    counts once a person has labelled it.

    Raises DataError if there is no such project, and what the client raises; the mirror of before then stays, and so do
    all dataset versions. A project without labels gives a dataset without any.
    """
    project = client.find_project(title)
    if project is None:
        raise DataError(f"Label Studio at {client.url} has no project {title!r}; `loopline labels collect` makes it")
    snapshot = refresh(store, client, problem=raw.problem, project=project)
    heard = hear(documents(store, snapshot), problem, people=client.people())
    consensus = settle(heard.opinions)
    captured = {image: one.row for image, one in captured_images(documents(store, snapshot)).items()}
    verdicts = _verdicts(heard, consensus)
    rows, unlabelled_count = _rows(store, raw, verdicts=verdicts, captured=captured, problem=problem)
    opened = heard.open_counts
    log.info(
        "label_sync: %d opinions of %d people, %d skips, %d drafts, %d annotations refused",
        len(heard.opinions),
        len(consensus.annotators),
        opened[SKIPPED],
        opened[DRAFT],
        len(heard.refusals),
    )
    return publish_labels(
        store,
        raw,
        rows,
        unlabelled_count=unlabelled_count,
        agreement=consensus.agreement.exact_share if consensus.agreement else None,
        label_project=title,
        label_snapshot=snapshot,
    )


def labels_beside(store: Store, raw: RawDataset, *, problem: Problem) -> dict[str, Row]:
    """Return the usable rows of the labels.json beside the images, by image, labels in normal form; none without it."""
    rows = [row for row in _rows_beside(store, raw, problem=problem) if not row["rejected"]]
    return {row["image_sha256"]: row | {"label": problem.normalise_label(row["label"])} for row in rows}


def _rows_beside(store: Store, raw: RawDataset, *, problem: Problem) -> list[Row]:
    sidecars = Sidecars(store, raw.source)
    texts = sidecars.texts_if_any(BESIDE) or {}
    return file_rows(texts, images_by_key(store, raw), sidecars, normalise=problem.normalise_label) if texts else []


def _rows(
    store: Store, raw: RawDataset, *, verdicts: Mapping[str, Row], captured: Mapping[str, Row], problem: Problem
) -> tuple[list[Row], int]:
    """Return a row for each image that has a label or a verdict, and how many usable images have none.

    A captured picture has a row where a person gave a verdict, and for nothing else.
    """
    images = _accepted(images_by_key(store, raw))
    sidecars, find = Sidecars(store, raw.source), finder(row["key"] for row in images.values())
    facts, splits = sidecars.facts(find), sidecars.splits(find)
    rows = [row for row in _rows_beside(store, raw, problem=problem) if row["image_sha256"] not in verdicts]
    for image, verdict in verdicts.items():
        row = dict.fromkeys(SCHEMA.names) | {"key": image, "image_sha256": image} | verdict
        known = image in images
        elsewhere = captured.get(image, {"rejected": NOT_THERE})
        rows.append(row | (image_facts(images[image], facts=facts, splits=splits) if known else elsewhere))
    rows.sort(key=lambda row: (row["key"], row["label"] or ""))
    return rows, len(images.keys() - {row["image_sha256"] for row in rows})


def _verdicts(heard: Heard, consensus: Consensus) -> dict[str, Row]:
    """Return label, annotators and the reason for rejection by image: what was judged unusable never trains."""
    refused: defaultdict[str, list[str]] = defaultdict(list)
    for refusal in heard.refusals:
        refused[refusal.image_sha256].append(refusal.reason)
    found: dict[str, Row] = {image: {"rejected": min(reasons)} for image, reasons in refused.items()}
    found |= {image: _settled(settled) for image, settled in consensus.images.items()}
    return found | {image: {"rejected": judgement} for image, judgement in heard.unusable.items()}


def _settled(settled: Settled) -> Row:
    texts = sorted({opinion.text for opinion in settled.opinions})
    conflict = f"annotators disagree: {' | '.join(texts)}" if settled.conflict else None
    return {"label": settled.text, "annotator": ", ".join(settled.annotators), "rejected": conflict}


def _accepted(by_key: Mapping[str, Row]) -> Mapping[str, Row]:
    """Return the usable images by their digest; of one that stands under several keys, the first."""
    found: dict[str, Row] = {}
    for image in by_key.values():
        if not image["quarantine_reason"]:
            found.setdefault(image["image_sha256"], image)
    return found


def check_labels(labels: str) -> None:
    """Raise ConfigError for an order's labels that name a project without a name."""
    if project_title(labels) == "":
        raise ConfigError(f"labels {labels!r} name no project; write {PROJECT}handwriting, or the name of a file")
