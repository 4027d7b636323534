"""A model's report, to look at: one HTML file that asks nothing of the network and shows a person what a model can do.

What is shown is decided here, how it looks in report.html.j2 and what that includes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopline import mistakes, provenance, scales
from loopline.contracts import EvaluationReport, PackagedModel, Verdict
from loopline.curves import abstention, learning_curves, reliability
from loopline.details import Details, History, Trial
from loopline.mistakes import LineResult
from loopline.painting import Drawing
from loopline.study_plots import complete_trials, study_drawings
from loopline.templates import environment

WORST_COUNT = 12  # lines: what a person looks at, and every one brings its image along
SUREST_COUNT = 6
PAIR_COUNT = 12
TRIAL_COUNT = 8

HEADINGS = {
    "verdict": "What was asked of it",
    "figures": "How good it is",
    "parts": "Where it is good, and where not",
    "certainty": "How sure it is",
    "behaviours": "What must not matter",
    "reads": "What it reads",
    "worst": "Its worst lines",
    "surest": "Sure, and wrong",
    "confusions": "What it confuses",
    "decoding": "How it decodes",
    "running": "What it takes to run",
    "learning": "How it learnt",
    "search": "How its recipe was found",
    "origin": "What it comes from",
}
SAMPLERS = {"tpe": "TPE", "gp": "a Gaussian process", "random": "chance", "grid": "a grid", "cmaes": "CMA-ES"}
ENDINGS = {
    "trials": "all trials were run",
    "minutes": "its minutes were used up",
    "cost": "its money was used up",
    "grid": "every point of the grid was tried",
}


@dataclass(frozen=True)
class Page:
    """Everything that a report shows. A row of the curve may hold its `epoch`, 1 being the first."""

    packaged: PackagedModel
    verdict: Verdict
    curve: Sequence[Mapping[str, float]]
    lines: Sequence[LineResult]
    rejected: Mapping[str, int]
    details: Details
    history: History | None
    higher_is_better: frozenset[str] = frozenset()

    @property
    def report(self) -> EvaluationReport:
        """The judgement of the model."""
        return self.packaged.report

    @property
    def metric(self) -> str:
        """The problem's first metric."""
        return next(iter(self.report.metrics))


def render(page: Page) -> str:
    """Return the page; what there is no data for is left out."""
    dataset = page.report.model.dataset
    parts = _judgement(page) | _lines(page) | _making(page)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            title=f"{dataset.problem}, trained on {dataset.name.rsplit('/', 1)[-1]}",
            sections=_sections(page, parts),
            **parts,
        )
    )


def pictures(page: Page) -> dict[str, Drawing]:
    """Return the main drawings by name: curve, reliability and tuning, as far as there is data for them.

    `Drawing.picture` is an SVG file; title and caption say what it shows.
    """
    drawings = {
        "curve": _curves(page)[-1:],
        "reliability": _certainty(page)[:1],
        "tuning": study_drawings(page.history)[:1] if page.history else [],
    }
    return {name: found[0] for name, found in drawings.items() if found}


def _judgement(page: Page) -> dict[str, Any]:
    return {
        "checks": [scales.check(finding) for finding in page.verdict.findings],
        "headlines": [scales.headline(page.report, key) for key in page.report.metrics],
        "slice_tables": scales.slice_tables(page.report.slices, page.metric),
        "slice_count": scales.SLICE_COUNT,
        "minimum_sets": scales.set_tracks(page.details.minimum_sets, page.metric),
        "certainty": _certainty(page),
        "behaviours": scales.behaviour_tracks(page.report, page.details.behaviours),
    }


def _lines(page: Page) -> dict[str, Any]:
    wrong = [line for line in page.lines if line.edit_count]
    confused = mistakes.confusions(wrong)
    return {
        "mistake_count": len(wrong),
        "worst": sorted(wrong, key=lambda line: (-line.edit_count, -line.confidence, line.key))[:WORST_COUNT],
        "surest": sorted(wrong, key=lambda line: (-line.confidence, line.key))[:SUREST_COUNT],
        "right": mistakes.spread(page.lines),
        "confusions": confused,
        "pairs": sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:PAIR_COUNT],
        "involved": mistakes.involved(confused),
        "truth_counts": Counter(character for line in page.lines for character in line.truth),
    }


def _making(page: Page) -> dict[str, Any]:
    return {
        "latencies": scales.latency_tracks(page.packaged.footprint.latencies),
        "curves": _curves(page),
        "study_drawings": study_drawings(page.history) if page.history else [],
        "trials": _best_trials(page.history),
        "failures": _failures(page.history),
        "endings": ENDINGS,
        "samplers": SAMPLERS,
        "lineage": provenance.lineage(page.report),
        "spent": provenance.spent(page.report),
        "digests": provenance.digests(page.packaged),
        "rejected": sorted(page.rejected.items(), key=lambda item: (-item[1], item[0])),
    }


def _sections(page: Page, parts: Mapping[str, Any]) -> dict[str, str]:
    """Return the sections that have something to show, by the name that a link finds them by."""
    filled = {
        "verdict": parts["checks"],
        "reads": parts["right"],
        "parts": parts["slice_tables"] or parts["minimum_sets"],
        "certainty": parts["certainty"],
        "behaviours": parts["behaviours"],
        "worst": page.lines,
        "surest": parts["surest"],
        "confusions": parts["confusions"],
        "decoding": len(page.details.decodings) > 1,
        "learning": parts["curves"],
        "search": page.history,
    }
    return {name: heading for name, heading in HEADINGS.items() if filled.get(name, True)}


def _curves(page: Page) -> list[Drawing]:
    return learning_curves(page.curve, page.metric, higher_is_better=page.metric in page.higher_is_better)


def _certainty(page: Page) -> list[Drawing]:
    drawings = (
        reliability(page.details.reliability, page.report.figures.get("calibration_error")),
        abstention(page.details.abstention, page.metric),
    )
    return [drawing for drawing in drawings if drawing]


def _best_trials(history: History | None) -> list[Trial]:
    ended = complete_trials(history) if history else []
    return sorted(ended, key=lambda trial: (trial.objectives, trial.number))[:TRIAL_COUNT]


def _failures(history: History | None) -> list[tuple[str, int]]:
    """Count why trials failed, the most frequent reason first."""
    return Counter(trial.error for trial in (history.trials if history else ()) if trial.error).most_common()
