"""How far an answer is from the truth, as (errors, out of) pairs that add up over a split."""

from rapidfuzz.distance import Levenshtein

Tally = dict[str, tuple[float, float]]


def tally(truth: str, text: str) -> Tally:
    """Return CER, WER and line accuracy of one line as numerator and denominator.

    A split's CER is the sum of edits over the sum of reference characters, never a mean of means.
    """
    words, read = truth.split(), text.split()
    return {
        "cer": (Levenshtein.distance(truth, text), len(truth)),
        "wer": (Levenshtein.distance(words, read), len(words)),
        "line_accuracy": (truth == text, 1),
    }
