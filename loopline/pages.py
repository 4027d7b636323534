"""The report page of a packaged model: gathers from the store what it shows, and puts it there."""

import json
import logging
from pathlib import Path
from typing import Any

from loopline.clients.store import Store
from loopline.contracts import Artifact, PackagedModel, Verdict
from loopline.dataset import load_lines
from loopline.details import Details, History
from loopline.errors import IntegrityError
from loopline.manifest import read_manifest
from loopline.mistakes import LineResult
from loopline.problems import Problem, Sample
from loopline.report import Page, render

log = logging.getLogger(__name__)


def write_page(store: Store, page: Page) -> Artifact:
    """Render the report and store it under reports/, named by its content: a package may be judged again."""
    html = render(page).encode()
    log.info("report: %d lines, %.2f MB", len(page.lines), len(html) / 1e6)
    return store.publish(html, "reports", suffix=".html")


def gather_page(store: Store, problem: Problem, *, packaged: PackagedModel, verdict: Verdict, cache: Path) -> Page:
    """Read from the store what a report shows; lines come without their pictures, which are decoded when shown.

    Raises IntegrityError if a judged line is not in the dataset it was judged on.
    """
    report = packaged.report
    model = report.model
    lines = load_lines(store, model.dataset, cache=cache)
    samples = {(sample.image_sha256, sample.key): sample for sample in lines.splits[report.split]}
    judged = read_manifest(store, report.worst).to_pylist()
    return Page(
        packaged=packaged,
        verdict=verdict,
        curve=[json.loads(line) for line in store.read_artifact(model.curve).decode().splitlines()],
        lines=[_line(row, samples, metric=next(iter(report.metrics))) for row in judged],
        rejected=lines.rejected,
        details=Details.model_validate_json(store.read_artifact(report.details)),
        history=History.model_validate_json(store.read_artifact(model.study.history)) if model.study else None,
        higher_is_better=problem.higher_is_better,
    )


def _line(row: dict[str, Any], samples: dict[tuple[str, str], Sample], *, metric: str) -> LineResult:
    sample = samples.get((row["image_sha256"], row["key"]))
    if sample is None:
        raise IntegrityError(
            f"line {row['key']} was judged, but is not in its dataset; judge the model on that dataset again"
        )
    return LineResult(
        key=row["key"],
        truth=row["truth"],
        text=row["text"],
        confidence=row["confidence"],
        edit_count=int(row[f"{metric}_errors"]),
        group=row["group"],
        source=row["source"],
        pixels=sample.pixels,
        champion_text=row.get("champion_text"),
    )
