"""From log-probabilities to text: the best path, or a search that also knows which characters follow which."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loopline.contracts import Decoding
from loopline.errors import ConfigError, wrong_values
from loopline.problems import Answer, Decode
from loopline.problems.handwriting.alphabet import BLANK, greedy
from loopline.problems.handwriting.ngrams import EDGE, ORDER, START, count_ngrams, next_prob

# T frames, C classes

Texts = dict[str, tuple[float, float]]  # text: weight of its paths that end in blank, of those that end in a character
Weight = Callable[[str, str], float]  # (the four characters before, the next one) -> factor of a text that goes on so

WEIGHTS = ((0.15, 0.3), (0.3, 0.8), (0.4, 1.2), (0.5, 1.6))  # of the language, and the bonus a character needs for it
RIVALRY = 1e-2  # a text or character this much less probable than the best is given up; 1e-3: twice the time, same CER
KEPT_WEIGHTS = 1 << 16  # factors that a decoder remembers: some 20 MB at most


class Frame(NamedTuple):
    """The probabilities that count in one frame."""

    best: float
    blank: float
    characters: list[tuple[str, float]]


class Beam(BaseModel):
    """Values of the decoder "beam"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=1, description="Texts kept from frame to frame.")
    weight: float = Field(ge=0, description="Power of the language's probability; 0: it does not count.")
    bonus: float = Field(description="Logarithm of what each character multiplies; makes up for its probability.")


def language(labels: Sequence[str]) -> bytes:
    """Learn from training labels which characters follow which, as JSON."""
    return count_ngrams(labels)


def decodings() -> list[Decoding]:
    """Return what to choose from, the simplest first: the best path, then ever more trust in the language."""
    beams = [Beam(width=12, weight=weight, bonus=bonus) for weight, bonus in WEIGHTS]
    return [Decoding(), *(Decoding(name="beam", values=beam.model_dump()) for beam in beams)]


def decoder(decoding: Decoding, *, vocabulary: Sequence[str], language: bytes | None) -> Decode:
    """Return the function that reads one line from its log-probabilities, (T, C).

    Its confidence is how sure it is that the whole line is right: for "greedy" the product of the probabilities of the
    characters on the best path, for "beam" the text's share of the weight of all texts kept to the end.
    ConfigError for a decoding that is none of `decodings`, or for a "beam" without language.
    """
    if decoding.name == "greedy":
        return lambda log_probs_TC: Answer(*greedy(log_probs_TC, vocabulary))
    if decoding.name != "beam":
        raise ConfigError(f"there is no decoder {decoding.name!r}; choose greedy or beam")
    if language is None:
        raise ConfigError("decoder 'beam' needs the language that was learnt from the training labels")
    try:
        beam = Beam.model_validate(decoding.values)
    except ValidationError as error:
        raise ConfigError(f"the values of decoder 'beam' do not hold: {wrong_values(error)}") from None
    weight = _weight(beam, language=language, class_count=len(vocabulary) + 1)
    return lambda log_probs_TC: _likeliest(
        search(log_probs_TC, vocabulary, width=beam.width, weight=weight), weight=weight
    )


def search(
    log_probs_TC: npt.NDArray[np.float32],
    vocabulary: Sequence[str],
    *,
    width: int,
    weight: Weight,
    rivalry: float = RIVALRY,
) -> dict[str, float]:
    """Return the likeliest texts and their weights: the sum over a text's paths, times the weight of its characters.

    CTC prefix beam search (Hannun et al. 2014, arXiv:1408.2873). The weights are up to one common factor. With an
    endless width and a rivalry of 0 it is the exact sum over all paths.
    """
    texts: Texts = {START: (1.0, 0.0)}
    for frame in _frames(log_probs_TC, vocabulary, rivalry=rivalry):
        found = _extend(texts, frame, weight=weight, least=rivalry * frame.best)
        best = max(a + b for a, b in found.values())
        kept = [(text, (a / best, b / best)) for text, (a, b) in found.items() if a + b > rivalry * best]
        if len(kept) > width:
            kept = sorted(kept, key=lambda item: -sum(item[1]))[:width]
        texts = dict(kept)
    return {text.removeprefix(START): sum(weights) for text, weights in texts.items()}


def _extend(texts: Texts, frame: Frame, *, weight: Weight, least: float) -> Texts:
    """Return what the texts become in one frame; a text of no more than the least weight is not begun."""
    found: Texts = {}
    for text, (after_blank, after_character) in texts.items():
        total, last = after_blank + after_character, text[-1]
        begun = found.get(text)
        staying = begun[1] if begun else 0.0
        for character, prob in frame.characters:
            if character == last:
                staying += after_character * prob
                added = after_blank * prob
            else:
                added = total * prob
            if added > least:
                longer = text + character
                ends = found.get(longer, (0.0, 0.0))
                found[longer] = ends[0], ends[1] + added * weight(text[1 - ORDER :], character)
        found[text] = total * frame.blank, staying
    return found


def _frames(log_probs_TC: npt.NDArray[np.float32], vocabulary: Sequence[str], *, rivalry: float) -> Iterator[Frame]:
    """Yield each frame; of several in a row that are blank beyond doubt only the first, which says the same."""
    probs_TC = np.exp(log_probs_TC)
    best_T1 = probs_TC.max(axis=1, keepdims=True)
    tried_TC = probs_TC >= rivalry * best_T1
    tried_TC[:, BLANK] = False
    characters: list[list[tuple[str, float]]] = [[] for _ in probs_TC]
    frames, classes = np.nonzero(tried_TC)
    for at, number, prob in zip(frames.tolist(), classes.tolist(), probs_TC[tried_TC].tolist(), strict=True):
        characters[at].append((vocabulary[number - 1], prob))
    doubtful = True
    for frame in map(Frame, best_T1[:, 0].tolist(), probs_TC[:, BLANK].tolist(), characters):
        if frame.characters or doubtful:
            yield frame
        doubtful = bool(frame.characters)


def _weight(beam: Beam, *, language: bytes, class_count: int) -> Weight:
    prob = next_prob(language, class_count=class_count)

    @lru_cache(KEPT_WEIGHTS)
    def weight(context: str, character: str) -> float:
        return math.exp(beam.weight * math.log(prob(context, character)) + beam.bonus)

    return weight


def _likeliest(weights: dict[str, float], *, weight: Weight) -> Answer:
    """Return the text of the most weight, now that it is known to end there."""
    ended = {text: value * weight((START + text)[1 - ORDER :], EDGE) for text, value in weights.items()}
    best = max(ended, key=lambda text: ended[text])
    return Answer(best, ended[best] / sum(ended.values()))
