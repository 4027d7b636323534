"""Suspects: what models make of labels that they have not learnt from, on made-up probabilities and on real lines."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from loopline.doubt import rank
from loopline.orders import CheckPlan
from loopline.problems import Sample, load_problem
from loopline.problems.handwriting.samples import Line, draw_lines
from loopline.settings import TrainSettings
from loopline.suspects import judge_all, judge_lines, recipe_of

PROBLEM = load_problem("handwriting")
RECIPE = PROBLEM.make_recipe({})
MACHINE = TrainSettings(accelerator="cpu", threads=1)
SIZES = {"channels": 8, "hidden": 32, "layers": 1, "batch_size": 8, "learning_rate": 0.01, "shortcut": 0.5}
CALM = {"augment": 0.0, "wear": 0.0, "dropout": 0.0}
PLANTED = {7: "swapped", 41: "changed", 88: "dropped", 130: "swapped", 171: "changed", 222: "dropped"}


def line(label: str, *, width_px: int = 64) -> Sample:
    name = hashlib.sha256(f"{label} {width_px}".encode()).hexdigest()
    return Sample(name, lambda: np.full((32, width_px), 230, np.uint8), label, width_px, 32, key=label)


def network_that_reads(text: str, vocabulary: str, *, sure: float = 0.9) -> Any:
    """What runs a network that reads the same on every line: a character a frame, each followed by a blank."""
    classes = [part for character in text for part in (1 + vocabulary.index(character), 0)]

    def run(fed: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        count, frame_count = len(fed["widths"]), fed["ink"].shape[2] // 4
        probs_BTC = np.full((count, frame_count, len(vocabulary) + 1), (1 - sure) / len(vocabulary))
        said = (classes + [0] * frame_count)[:frame_count]
        probs_BTC[:, np.arange(frame_count), said] = sure
        return np.log(probs_BTC).astype(np.float32)

    return run


def judge(labels: Sequence[str], text: str, *, vocabulary: str = "0123456789") -> dict[str, Any]:
    run = network_that_reads(text, vocabulary)
    samples = [line(label, width_px=64 + 16 * number) for number, label in enumerate(labels)]
    found = judge_lines(PROBLEM, RECIPE, run=run, vocabulary=vocabulary, samples=samples, fold=1)
    return {judged.label: judged for judged in found}


def test_a_label_is_doubted_the_more_the_further_it_is_from_what_the_model_reads() -> None:
    found = judge(["4071", "4077", "9999"], "4071")
    assert {judged.text for judged in found.values()} == {"4071"}
    assert found["4071"].score == 0
    assert 0 < found["4077"].score < found["9999"].score
    assert {judged.fold for judged in found.values()} == {1}


def test_a_label_with_a_character_that_was_never_taught_is_left_out_with_the_reason() -> None:
    found = judge(["40q1", "401"], "401", vocabulary="014")
    assert found["40q1"].unjudged == "not taught by the other folds: q"
    assert found["401"].unjudged is None


def test_a_line_too_narrow_for_the_recipe_is_left_out_with_the_reason(tmp_path: Path) -> None:
    samples = [*(line(str(number)) for number in range(4)), line("0" * 40)]
    plan = CheckPlan(recipe=SIZES, epochs=1, folds=2)
    found = judge_all(PROBLEM, samples, plan=plan, machine=MACHINE, folder=tmp_path)
    assert len(found) == 5
    assert [judged.unjudged for judged in found if judged.label == "0" * 40] == ["too narrow for this recipe"]


def test_epochs_are_the_plans_and_patience_lasts_as_long_unless_it_is_set() -> None:
    recipe = recipe_of(PROBLEM, CheckPlan(epochs=33, recipe={"epochs": 7, "height_px": 48}))
    assert (recipe.epochs, recipe.patience, recipe.height_px) == (33, 33, 48)
    assert recipe_of(PROBLEM, CheckPlan(recipe={"patience": 5})).patience == 5


def mistaken(label: str, kind: str) -> str:
    at = next(place for place in range(1, len(label) - 1) if label[place] != label[place + 1])
    if kind == "swapped":
        return label[:at] + label[at + 1] + label[at] + label[at + 2 :]
    if kind == "dropped":
        return label[:at] + label[at + 1 :]
    return label[:at] + str((int(label[at]) + 3) % 10) + label[at + 1 :]


def sample_line(number: int, drawn: Line) -> Sample:
    height_px, width_px = drawn.pixels.shape
    label = mistaken(drawn.text, PLANTED[number]) if number in PLANTED else drawn.text
    name = hashlib.sha256(str(number).encode()).hexdigest()
    return Sample(name, lambda: drawn.pixels, label, width_px, height_px, key=str(number))


def test_planted_wrong_labels_rank_above_right_ones(tmp_path: Path) -> None:
    plan = CheckPlan(recipe=SIZES | CALM, epochs=55, folds=2)
    samples = [sample_line(number, drawn) for number, drawn in enumerate(islice(draw_lines(seed=1), 240))]
    judged = judge_all(PROBLEM, samples, plan=plan, machine=MACHINE, folder=tmp_path)
    order, suspect_count = rank(judged)
    places = [place for place, line in enumerate(order) if int(line.key) in PLANTED]
    assert fmean(places) < len(order) / 6, "by chance it would be half"
    assert sorted(places)[-2] < len(order) / 3, "one in six may hide among the lines that are hard to read"
    assert 0 < suspect_count < len(order) / 4, "half of the lines are misread, and they do not flood the list"
