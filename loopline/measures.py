"""How a figure is called, written and compared wherever a person reads it. One not known here stays a number."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A figure that people know by a name. The unit "%" turns a fraction into percent, "yes" a 1 into a word."""

    label: str
    short: str
    meaning: str
    lower_is_better: bool
    unit: str = "%"


def _distance(what: str) -> Measure:
    return Measure(what, what, "distance from the test lines: 0 alike, 1 apart", lower_is_better=True, unit="")


MEASURES = {
    "cer": Measure("Character error rate", "CER", "edits per 100 characters", lower_is_better=True),
    "wer": Measure("Word error rate", "WER", "edits per 100 words", lower_is_better=True),
    "line_accuracy": Measure("Line accuracy", "Lines right", "lines without a mistake", lower_is_better=False),
    "calibration_error": Measure(
        "Calibration error", "ECE", "how far confidence is from the share of right answers", lower_is_better=True
    ),
    "unchanged": Measure("Answer unchanged", "Unchanged", "lines whose answer stays the same", lower_is_better=False),
    "beats_baseline": Measure("Beats the baseline", "Beats it", "", lower_is_better=False, unit="yes"),
    "latency_ms": Measure("Latency", "Latency", "median of a 1,024 px line", lower_is_better=True, unit="ms"),
    "latency_p99_ms": Measure("Slowest latency", "p99", "1 line in 100 is slower", lower_is_better=True, unit="ms"),
    "memory_mb": Measure("Peak memory", "Memory", "", lower_is_better=True, unit="MB"),
    "size_mb": Measure("Package size", "Size", "", lower_is_better=True, unit="MB"),
    "train_minutes": Measure("Training time", "Training", "", lower_is_better=True, unit="min"),
    "cost": Measure("Cost", "Cost", "in your currency", lower_is_better=True, unit=""),
    "answers_per_hour": Measure("Answers an hour", "Answers", "", lower_is_better=False, unit="/h"),
    "failure_share": Measure("Failed", "Failed", "requests that the service could not answer", lower_is_better=True),
    "refused_share": Measure("Refused", "Refused", "requests that were themselves wrong", lower_is_better=True),
    "unsure_share": Measure("Unsure", "Unsure", "answers under the least confidence", lower_is_better=True),
    "corrected_share": Measure("Corrected", "Corrected", "answers that their users corrected", lower_is_better=True),
    "p50_ms": Measure("Median time", "p50", "from request to answer", lower_is_better=True, unit="ms"),
    "p95_ms": Measure("Slow answers", "p95", "1 in 20 takes longer", lower_is_better=True, unit="ms"),
    "drift_confidence": _distance("Confidence"),
    "drift_width": _distance("Width"),
    "drift_height": _distance("Height"),
    "drift_ink": _distance("Ink"),
    "drift_contrast": _distance("Contrast"),
    "drift_characters": _distance("Characters read"),
    "drift_embedding": _distance("How lines look to the model"),
}
ADDED = "_added"  # ending of a figure that says by how much another one rose
_NUMBER = re.compile(r"[-+]?\d[\d.]*(?:e[-+]?\d+)?")


def find(key: str) -> Measure | None:
    """Return what is known of a figure by its own name, or by its last word: digits_cer is a CER."""
    key = key.removeprefix("val_").removesuffix(ADDED)
    endings = [name for name in MEASURES if key == name or key.endswith(f"_{name}")]
    return MEASURES[max(endings, key=len)] if endings else None


def is_rate(key: str) -> bool:
    """Tell whether a figure is a fraction, and is read in percent."""
    measure = find(key)
    return measure is not None and measure.unit == "%"


def unit(key: str) -> str:
    """Return a figure's unit; "" for one not known."""
    measure = find(key)
    return measure.unit if measure else ""


def label(key: str) -> str:
    """Name a figure in words: "Character error rate", "Digits: character error rate"."""
    measure, bare = find(key), key.removeprefix("val_")
    if measure is None:
        return _words(bare)
    if bare in MEASURES:
        return measure.label
    name = next(name for name, known in MEASURES.items() if known is measure)
    added = " added" if bare.endswith(ADDED) else ""
    return f"{_words(bare.removesuffix(ADDED).removesuffix(f'_{name}'))}: {_lowered(measure.label)}{added}"


def short(key: str) -> str:
    """Name a figure as a table's head does."""
    measure = find(key)
    return measure.short if measure and key.removeprefix("val_") in MEASURES else label(key)


def shown(value: float, key: str) -> str:
    """Write a figure with its unit and with as many digits as a person compares."""
    measure = find(key)
    if key.endswith(ADDED):
        return shown_difference(value, key)
    if measure is None or not measure.unit:
        return f"{value:.4g}"
    if measure.unit == "%":
        return f"{100 * value:.{2 if abs(value) < 0.0995 else 1}f}\u202f%"
    if measure.unit == "yes":
        return "yes" if value >= 1 else "no"
    return f"{value:.3g}\u202f{measure.unit}" if abs(value) < 100 else f"{value:,.0f}\u202f{measure.unit}"


def shown_difference(difference: float, key: str) -> str:
    """Write how far one figure is from another, with its sign; for a rate in percentage points."""
    text = f"{100 * difference:+.2f} points" if is_rate(key) else f"{difference:+.3g}"
    return text.replace("-", "\u2212")


def shown_bound(bound: str, key: str) -> str:
    """Write a requirement's bound with the figure's unit: "at most 0.1" is "at most 10 %" of a rate."""
    measure = find(key)
    if measure is None or not measure.unit:
        return bound
    if measure.unit == "yes":
        return "required"
    factor, ending = 100 if measure.unit == "%" else 1, " points" if key.endswith(ADDED) else f"\u202f{measure.unit}"
    return _NUMBER.sub(lambda found: f"{factor * float(found[0]):.6g}{ending}", bound)


def bounds(bound: str) -> list[float]:
    """Return the numbers in a requirement's bound."""
    return [float(found) for found in _NUMBER.findall(bound)]


def verdict(interval_95: tuple[float, float], key: str) -> str:
    """Judge a difference by its interval: "better", "worse" or "no clear difference"; "" for an unknown figure."""
    measure = find(key)
    if measure is None:
        return ""
    low, high = interval_95
    if low <= 0 <= high:
        return "no clear difference"
    return "better" if (high < 0) == measure.lower_is_better else "worse"


def _words(key: str) -> str:
    return key.replace("_", " ").strip().capitalize()


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
