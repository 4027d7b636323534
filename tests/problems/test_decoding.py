"""Decoding: the search is the exact sum over paths where nothing is given up, and language mends what is ambiguous."""

import itertools
import math
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pytest

from loopline.contracts import Decoding
from loopline.errors import ConfigError
from loopline.problems import load_problem
from loopline.problems.handwriting.alphabet import BLANK
from loopline.problems.handwriting.decoding import Beam, search
from loopline.problems.handwriting.ngrams import EDGE, ORDER, START, count_ngrams, next_prob

PROBLEM = load_problem("handwriting")
ENDLESS = 1 << 30
BEAM = Decoding(name="beam", values=Beam(width=8, weight=0.5, bonus=0.5).model_dump())
LogProbs = npt.NDArray[np.float32]


def random_line(frame_count: int, class_count: int, *, seed: int) -> LogProbs:
    probs_TC = np.random.default_rng(seed).dirichlet(np.full(class_count, 0.7), size=frame_count)
    return np.log(probs_TC).astype(np.float32)


def spelt(text: str, vocabulary: str, *, sure: float = 0.98) -> LogProbs:
    """A line that says each character in one frame, with a blank before and after."""
    classes = [BLANK] + [number for character in text for number in (1 + vocabulary.index(character), BLANK)]
    probs_TC = np.full((len(classes), len(vocabulary) + 1), (1 - sure) / len(vocabulary), dtype=np.float32)
    probs_TC[np.arange(len(classes)), classes] = sure
    return np.log(probs_TC)


def sum_over_paths(log_probs_TC: LogProbs, vocabulary: str) -> dict[str, float]:
    """Add up the probability of every path, by the text that it spells."""
    found: defaultdict[str, float] = defaultdict(float)
    frame_count, class_count = log_probs_TC.shape
    for path in itertools.product(range(class_count), repeat=frame_count):
        text = "".join(vocabulary[number - 1] for number, _ in itertools.groupby(path) if number != BLANK)
        found[text] += math.exp(sum(log_probs_TC[frame, number] for frame, number in enumerate(path)))
    return found


def shares(weights: dict[str, float]) -> dict[str, float]:
    return {text: weight / sum(weights.values()) for text, weight in weights.items()}


@pytest.mark.parametrize("seed", range(4))
def test_a_search_that_gives_nothing_up_is_the_sum_over_all_paths(seed: int) -> None:
    log_probs_TC = random_line(6, 4, seed=seed)
    found = search(log_probs_TC, "abc", width=ENDLESS, weight=lambda before, character: 1.0, rivalry=0)
    assert shares(found) == pytest.approx(sum_over_paths(log_probs_TC, "abc"), abs=1e-6)


def test_every_path_of_a_text_is_weighed_with_the_texts_characters_once_each() -> None:
    def weight(before: str, character: str) -> float:
        return 0.3 if before[-1] == character else 2.0 if character == "b" else 0.7

    log_probs_TC = random_line(6, 3, seed=9)
    expected = {
        text: prob * math.prod(weight((START + text)[at : at + ORDER - 1], text[at]) for at in range(len(text)))
        for text, prob in sum_over_paths(log_probs_TC, "ab").items()
    }
    found = search(log_probs_TC, "ab", width=ENDLESS, weight=weight, rivalry=0)
    assert shares(found) == pytest.approx(shares(expected), abs=1e-6)


def test_frames_that_are_blank_beyond_doubt_change_nothing() -> None:
    line_TC = random_line(6, 4, seed=3)
    blank_TC = np.log(np.array([[0.9991, 0.0003, 0.0003, 0.0003]] * 50, dtype=np.float32))
    short, long = (
        search(np.concatenate([line_TC, blank_TC[:count], line_TC]), "abc", width=50, weight=lambda *_: 1.0)
        for count in (1, 50)
    )
    assert shares(short) == pytest.approx(shares(long))


def test_language_mends_an_ambiguous_character_and_leaves_clear_ones() -> None:
    vocabulary = "aiquv"
    language = PROBLEM.language(["qui", "qua", "via", "qui", "va"] * 5)
    log_probs_TC = spelt("qvi", vocabulary)
    log_probs_TC[3, [1 + vocabulary.index("u"), 1 + vocabulary.index("v")]] = np.log([0.45, 0.5])
    best_path, beam = (
        PROBLEM.decoder(decoding, vocabulary=vocabulary, language=language) for decoding in (Decoding(), BEAM)
    )
    assert (best_path(log_probs_TC).text, beam(log_probs_TC).text) == ("qvi", "qui")
    assert beam(spelt("qvi", vocabulary, sure=0.9999)).text == "qvi"


def test_a_search_is_as_sure_as_its_text_is_beside_all_others() -> None:
    decode = PROBLEM.decoder(BEAM, vocabulary="ab", language=PROBLEM.language(["ab", "ba"]))
    clear, doubtful = spelt("ab", "ab", sure=0.9999), spelt("ab", "ab", sure=0.9999)
    doubtful[1, 1:] = np.log(0.5)
    doubtful[3, 1:] = np.log(0.5)
    assert decode(clear).confidence > 0.99
    assert 0.25 < decode(doubtful).confidence < 0.6


@pytest.mark.parametrize("decoding", PROBLEM.decodings(), ids=str)
def test_every_decoding_reads_plain_lines_and_empty_ones(decoding: Decoding) -> None:
    language = PROBLEM.language(["40071", "1223"])
    decode = PROBLEM.decoder(decoding, vocabulary="0123456789", language=language)
    for text in ("40071", "1122", ""):
        answer = decode(spelt(text, "0123456789", sure=0.999))
        assert answer.text == text
        assert 0 < answer.confidence <= 1


def test_the_first_decoding_is_the_simplest_and_needs_no_language() -> None:
    assert PROBLEM.decodings()[0] == Decoding()
    assert PROBLEM.decoder(Decoding(), vocabulary="ab", language=None)(spelt("ba", "ab")).text == "ba"


def test_a_line_that_says_nothing_at_all_is_still_answered() -> None:
    uniform_TC = np.full((30, 501), -math.log(501), dtype=np.float32)
    vocabulary = [chr(0x4E00 + number) for number in range(500)]
    decode = PROBLEM.decoder(BEAM, vocabulary=vocabulary, language=PROBLEM.language(vocabulary))
    assert 0 < decode(uniform_TC).confidence <= 1


@pytest.mark.parametrize("context", [START, EDGE * (ORDER - 2) + "q", "quoi", "zzzz", "éq u"])
def test_the_probabilities_of_what_may_follow_add_up_to_one(context: str) -> None:
    labels = ["quoi", "quand", "une équipe", "q"]
    characters = sorted(set("".join(labels)))
    prob = next_prob(count_ngrams(labels), class_count=len(characters) + 1)
    assert sum(prob(context, character) for character in [*characters, EDGE]) == pytest.approx(1)


def test_what_followed_often_is_probable_and_what_never_did_is_possible() -> None:
    prob = next_prob(count_ngrams(["quoi", "quand", "qatar"]), class_count=12)
    assert prob("\n\n\nq", "u") > prob("\n\n\nq", "a") > prob("\n\n\nq", "o") > 0


def test_the_same_labels_give_the_same_language() -> None:
    assert PROBLEM.language(["ab", "é"]) == PROBLEM.language(["é", "ab"])


@pytest.mark.parametrize(
    ("decoding", "language", "reason"),
    [
        (Decoding(name="oracle"), b"{}", "there is no decoder 'oracle'; choose greedy or beam"),
        (BEAM, None, "decoder 'beam' needs the language"),
        (Decoding(name="beam", values={"width": 0, "weight": 1, "bonus": 0}), b"{}", "width: input should be greater"),
    ],
)
def test_a_decoding_that_cannot_be_is_named(decoding: Decoding, language: bytes | None, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        PROBLEM.decoder(decoding, vocabulary="ab", language=language)
