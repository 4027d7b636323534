"""The model card: what a stranger must know before using a model (Mitchell et al. 2019), as Markdown.

It travels inside the package, whose bytes follow from the model alone: no dates, addresses, machines or costs here.
"""

from collections.abc import Iterable, Sequence

from loopline.contracts import EvaluationReport
from loopline.details import Details
from loopline.measures import label, short, shown, shown_difference, verdict
from loopline.scales import SLICE_COUNT, behaviour_tracks, slice_tables

ANSWERED_SHARES = (1.0, 0.95, 0.9, 0.8)  # of the lines; what an abstaining service is usually weighed at
LEFT = ":--"
RIGHT = "--:"


def card(report: EvaluationReport, details: Details) -> str:
    """Return the card of a judged model; what was not measured is left out."""
    parts = [
        _head(report),
        _section("How good it is", _figures(report)),
        _section("Beside the champion", _champion(report)),
        _section("Where it is good, and where not", _parts(report, details)),
        _section("How sure it is", _certainty(report, details)),
        _section("What must not matter", _behaviours(report, details)),
        _section("What it is for", _use(report)),
        _section("How it was made", _making(report)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: EvaluationReport) -> str:
    model, sizes = report.model, report.model.dataset.split_sizes
    return (
        f"# {model.dataset.problem}\n\n"
        f"Trained on {sizes['train']:,} lines, best of {model.epochs} epochs by {sizes['val']:,} validation lines; "
        f"judged on {report.sample_count:,} {report.split} lines it had never seen."
    )


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _figures(report: EvaluationReport) -> str:
    rows = [
        (
            label(key),
            shown(value, key),
            _range(report.interval_95.get(key), key),
            shown(report.baseline_metrics[key], key) if key in report.baseline_metrics else "",
        )
        for key, value in report.metrics.items()
    ]
    return _table(("figure", "value", "95 % interval", "baseline"), rows) + (
        "\n\nThe baseline is the simplest honest method on the same lines. "
        "The interval says what other lines of the same kind might have given."
    )


def _champion(report: EvaluationReport) -> str:
    if not (report.champion and report.champion_metrics and report.difference_95):
        return ""
    rows = [
        (label(key), shown(report.champion_metrics[key], key), _difference(report.difference_95[key], key))
        for key in report.metrics
        if key in report.champion_metrics and key in report.difference_95
    ]
    return _table(("figure", f"champion {report.champion.version}", "difference, 95 % interval"), rows)


def _parts(report: EvaluationReport, details: Details) -> str:
    metrics = list(report.metrics)
    sets = [
        (f"only {_words(found.name)}", f"{found.line_count:,}", *_cells(found.metrics, metrics))
        for found in details.minimum_sets
    ]
    slices = [
        (f"{found.name} {found.value}", f"{found.sample_count:,}", *_cells(found.metrics, metrics))
        for parts in slice_tables(report.slices, metrics[0]).values()
        for found in parts[:SLICE_COUNT]
    ]
    return _table(("lines", "count", *map(short, metrics)), [*sets, *slices])


def _certainty(report: EvaluationReport, details: Details) -> str:
    metric, said = next(iter(report.metrics)), []
    if "calibration_error" in report.figures:
        error = shown(report.figures["calibration_error"], "calibration_error")
        said.append(f"Its confidence is off by {error} on average (expected calibration error).")
    points = {
        min(details.abstention, key=lambda point, share=share: abs(point.answered_share - share))  # type: ignore[misc]
        for share in ANSWERED_SHARES
        if details.abstention
    }
    rows = [
        (f"{100 * point.answered_share:.0f} %", f"{point.confidence:.3f}", shown(point.metric, metric))
        for point in sorted(points, key=lambda point: -point.answered_share)
    ]
    if rows:
        said.append("If only the lines it is surest of are answered:")
        said.append(_table(("lines answered", "confidence of at least", short(metric)), rows))
    return "\n\n".join(said)


def _behaviours(report: EvaluationReport, details: Details) -> str:
    tracks = behaviour_tracks(report, details.behaviours)
    rows = [
        (
            _words(part.found.name),
            f"{part.found.line_count:,}",
            shown(part.unchanged.value, part.unchanged.key),
            part.added,
        )
        for part in tracks
    ]
    return _table(("each line", "count", "answer unchanged", f"{short(next(iter(report.metrics)))} added"), rows)


def _use(report: EvaluationReport) -> str:
    vocabulary = "".join(report.model.dataset.vocabulary)
    fence = "``" if "`" in vocabulary else "`"
    return (
        f"It spells {len(vocabulary):,} characters and no others: {fence} {vocabulary} {fence}\n\n"
        "Not for text that its training lines do not resemble: several lines in one image, print, other scripts. "
        "A confidence is no proof: have a person look where an error is dear."
    )


def _making(report: EvaluationReport) -> str:
    model = report.model
    values = ", ".join(f"{name} {value}" for name, value in sorted(report.decoding.values.items()))
    facts = [
        f"Dataset `{model.dataset.digest}`, weights `{model.checkpoint.sha256}`, seed {model.seed}.",
        "Recipe: " + ", ".join(f"{name} {value}" for name, value in sorted(model.recipe.items())) + ".",
        f"Decoding: {report.decoding.name}{f' ({values})' if values else ''}.",
    ]
    if model.study:
        counts = ", ".join(f"{count} {state}" for state, count in model.study.trial_counts.items())
        facts.append(f"The recipe was found by the search `{model.study.name}` ({counts}).")
    return "\n".join(f"- {fact}" for fact in facts)


def _cells(metrics: dict[str, float], names: Iterable[str]) -> list[str]:
    return [shown(metrics[name], name) if name in metrics else "" for name in names]


def _range(interval: tuple[float, float] | None, key: str) -> str:
    return f"{shown(interval[0], key)} to {shown(interval[1], key)}" if interval else ""


def _difference(interval: tuple[float, float], key: str) -> str:
    said = verdict(interval, key)
    text = f"{shown_difference(interval[0], key)} to {shown_difference(interval[1], key)}"
    return f"{text}: {said}" if said else text


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; "" without rows."""
    if not rows:
        return ""
    lines = [head, [LEFT, *[RIGHT] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
