"""`loopline labels check`: suspects of the newest dataset version, found once, told in a table."""

from pathlib import Path

import pytest
from laptops import TINY, Laptop, Outcome


@pytest.fixture(scope="module")
def alone(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    return laptop.apart(tmp_path_factory.mktemp("checked"), bucket="checked")


def check(laptop: Laptop, *options: str) -> Outcome:
    sets = [part for value in TINY for part in ("--set", value)]
    return laptop.call("labels", "check", "--epochs", "1", "--folds", "2", *sets, *options)


def test_labels_are_checked_once_there_is_a_dataset_and_judged_once(alone: Laptop, lines: Path) -> None:
    early = check(alone)
    assert early.code == 1
    assert early.last_line == (
        "loopline: there is no dataset of handwriting yet whose labels could be checked; run `loopline run`"
    )
    assert alone.run(lines, epochs=1).code == 0

    first = check(alone)
    assert first.code == 0, first.log
    assert first.out.splitlines()[0] == "0 of 72 labels of dataset/handwriting/v1 are suspect"
    assert "the labels of dataset/handwriting/v1 came from a file, so nobody is asked" in first.log
    assert first.states["find_suspects"] == "Completed"

    again = check(alone, "--most", "3")
    assert (again.out, again.states["find_suspects"]) == (first.out, "Cached")


def test_a_plan_that_cannot_be_is_told_in_a_sentence(alone: Laptop) -> None:
    refused = check(alone, "--set", "learning_rate=9")
    assert refused.code == 2
    assert "learning_rate" in refused.last_line
    assert check(alone, "--most", "0").last_line.startswith("loopline: the plan does not hold: most")
