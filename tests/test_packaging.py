"""A package holds all that an answer needs; its network in whole numbers is used only where it reads as well."""

import io
import json
import zipfile

import numpy as np
import packages
import pytest

from loopline.errors import IntegrityError
from loopline.evaluation import Judgement, count
from loopline.packaging import check_parity, loses_nothing
from loopline.problems import Answer, Pixels, Sample
from loopline.problems.handwriting.samples import draw_lines
from loopline.quantization import quantize
from loopline.serving import Predictor, onnx_run

PROBLEM = packages.PROBLEM


@pytest.fixture(scope="module")
def lines() -> list[Pixels]:
    return [line.pixels for line in draw_lines(seed=1, counts={"train": 12})]


@pytest.fixture(scope="module")
def small(lines: list[Pixels]) -> bytes:
    return quantize(packages.network(), [PROBLEM.inputs([line], packages.RECIPE) for line in lines])


def test_a_network_in_whole_numbers_is_smaller_and_says_nearly_the_same(small: bytes, lines: list[Pixels]) -> None:
    assert len(small) < 0.6 * len(packages.network())
    exact, rounded = onnx_run(packages.network()), onnx_run(small)
    for line in lines:
        fed = PROBLEM.inputs([line], packages.RECIPE)
        np.testing.assert_allclose(np.exp(rounded(fed)), np.exp(exact(fed)), atol=0.02)


def test_the_same_lines_give_the_same_bytes(small: bytes, lines: list[Pixels]) -> None:
    fed = (PROBLEM.inputs([line], packages.RECIPE) for line in lines)
    assert quantize(packages.network(), fed) == small


def test_a_package_answers_on_a_line_the_same_alone_and_among_others(small: bytes, lines: list[Pixels]) -> None:
    predictor = Predictor.open(packages.package(onnx=small))
    assert predictor.read(lines) == [predictor.read([line])[0] for line in lines]


def test_a_package_decodes_as_was_chosen_and_carries_the_language_for_it(lines: list[Pixels]) -> None:
    beam, language = PROBLEM.decodings()[-1], PROBLEM.language(["4071", "1223"])
    decode = PROBLEM.decoder(beam, vocabulary=packages.VOCABULARY, language=language)
    run = onnx_run(packages.network())
    ours = Predictor(PROBLEM, packages.RECIPE, vocabulary=packages.VOCABULARY, run=run, decode=decode, batch_lines=1)
    assert Predictor.open(packages.package(beam, language=language)).read(lines) == ours.read(lines)
    assert "language.json" not in zipfile.ZipFile(io.BytesIO(packages.package())).namelist()


def test_the_same_model_gives_the_same_archive() -> None:
    assert packages.package() == packages.package()


def test_a_package_that_does_not_say_how_to_decode_is_refused() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as changed:
        changed.writestr("model.json", json.dumps({"problem": "handwriting", "recipe": {}, "vocabulary": []}))
        changed.writestr("model.onnx", packages.network())
    with pytest.raises(IntegrityError, match="this is no model package: 'decoding'"):
        Predictor.open(archive.getvalue())


def judged(*wrong_counts: int) -> Judgement:
    """Ten-digit lines, each with so many wrong digits."""
    samples = [Sample(f"{n:064d}", np.ndarray, "1234567890", 10, 10) for n in range(len(wrong_counts))]
    answers = [Answer("x" * wrong + "1234567890"[wrong:], 0.9) for wrong in wrong_counts]
    return count(PROBLEM, samples, answers=answers)


@pytest.mark.parametrize(
    ("small", "used"),
    [
        (judged(*[0, 1, 2] * 20), True),
        (judged(*[1, 0, 2] * 20), True),
        (judged(*[0, 1, 2] * 19, 1, 1, 2), True),
        (judged(*[1, 1, 2] * 20), False),
        (judged(*[0, 0, 0] * 20), True),
    ],
    ids=["equal", "other lines wrong", "one edit more", "a third more", "better"],
)
def test_whole_numbers_are_used_if_their_loss_stays_within_the_interval(small: Judgement, used: bool) -> None:
    assert loses_nothing(PROBLEM, judged(*[0, 1, 2] * 20), small) is used


def test_a_model_without_an_error_may_lose_nothing() -> None:
    perfect = judged(*[0] * 20)
    assert loses_nothing(PROBLEM, perfect, perfect)
    assert not loses_nothing(PROBLEM, perfect, judged(*[0] * 19, 1))


def test_an_exact_package_that_answers_otherwise_is_not_published() -> None:
    ours = [Answer("12", 0.9), Answer("3", 0.8)]
    check_parity(ours, [Answer("12", 0.9), Answer("3", 0.8005)])
    for other in (Answer("4", 0.8), Answer("3", 0.7)):
        with pytest.raises(IntegrityError, match="line 1: the model reads '3'"):
            check_parity(ours, [Answer("12", 0.9), other])
