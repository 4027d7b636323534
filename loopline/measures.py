"""How a metric is called, written and compared wherever a person reads it. A metric not known here stays a number."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """A metric that is a fraction, and is read in percent."""

    label: str
    short: str
    meaning: str
    lower_is_better: bool


RATES = {
    "cer": Rate("Character error rate", "CER", "edits per 100 characters", lower_is_better=True),
    "wer": Rate("Word error rate", "WER", "edits per 100 words", lower_is_better=True),
    "line_accuracy": Rate("Line accuracy", "Lines right", "lines without a mistake", lower_is_better=False),
}


def label(key: str) -> str:
    """Name a metric in words."""
    return RATES[key].label if key in RATES else key.replace("_", " ").capitalize()


def shown(value: float, key: str) -> str:
    """Write a metric with its unit and with as many digits as a person compares."""
    if key not in RATES:
        return f"{value:.4g}"
    return f"{100 * value:.{2 if abs(value) < 0.0995 else 1}f}\u202f%"


def shown_difference(difference: float, key: str) -> str:
    """Write how far one metric is from another, with its sign; for a rate in percentage points."""
    text = f"{100 * difference:+.2f} points" if key in RATES else f"{difference:+.3g}"
    return text.replace("-", "\u2212")


def verdict(interval_95: tuple[float, float], key: str) -> str:
    """Judge a difference by its interval: "better", "worse" or "no clear difference"; "" for an unknown metric."""
    if key not in RATES:
        return ""
    low, high = interval_95
    if low <= 0 <= high:
        return "no clear difference"
    return "better" if (high < 0) == RATES[key].lower_is_better else "worse"
