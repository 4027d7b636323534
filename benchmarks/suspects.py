"""Plant wrong labels among sample lines and look how many are found: precision and recall of the suspects.

nice -n 19 python -m benchmarks.suspects [EPOCHS] [SEED]

500 lines, of which 5 % get a label with a plausible mistake: a digit changed, two neighbours swapped, a digit dropped.
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.training import MACHINE, PROBLEM, sample_lines
from loopline.doubt import Judged, rank
from loopline.orders import CheckPlan
from loopline.problems import Sample
from loopline.suspects import judge_all

LINE_COUNT, WRONG_COUNT = 500, 25
DIGITS = "0123456789"


def main() -> None:
    epochs, seed = ([int(word) for word in sys.argv[1:]] + [CheckPlan().epochs, 1][len(sys.argv) - 1 :])[:2]
    samples, wrong = planted(seed)
    start = time.process_time()
    with TemporaryDirectory() as folder:
        judged = judge_all(
            PROBLEM, samples, plan=CheckPlan(epochs=epochs, seed=seed), machine=MACHINE, folder=Path(folder)
        )
    order, suspect_count = rank(judged)
    right = [line.text == line.label for line in order if line.image_sha256 not in wrong]
    print(f"seed {seed}, {epochs} epochs: {time.process_time() - start:.0f} s of the CPU, {LINE_COUNT} lines")
    print(f"of right labels {sum(right) / len(right):.1%} are read as they stand")
    show(f"first {WRONG_COUNT}", order[:WRONG_COUNT], wrong)
    show("suspects", order[:suspect_count], wrong)


def show(name: str, lines: Sequence[Judged], wrong: set[str]) -> None:
    """Print how many of the planted labels are among some lines, and how many of these are planted."""
    found = sum(line.image_sha256 in wrong for line in lines)
    print(f"{name}: {len(lines)} lines, precision {found / max(len(lines), 1):.0%}, recall {found / len(wrong):.0%}")


def planted(seed: int) -> tuple[list[Sample], set[str]]:
    """Return lines, some with a wrong label, and which these are."""
    random = np.random.default_rng(seed)
    samples = [named(sample, number) for number, sample in enumerate(sample_lines()["train"][:LINE_COUNT])]
    chosen = random.choice(LINE_COUNT, WRONG_COUNT, replace=False)
    for number in chosen:
        samples[number] = replace(samples[number], label=mistaken(samples[number].label, random))
    return samples, {samples[number].image_sha256 for number in chosen}


def named(sample: Sample, number: int) -> Sample:
    """Give a line a name; sample lines have none."""
    return replace(sample, image_sha256=hashlib.sha256(str(number).encode()).hexdigest(), key=f"{number:05}.png")


def mistaken(label: str, random: np.random.Generator) -> str:
    """Return the label with one plausible mistake."""
    at = int(random.integers(len(label)))
    swaps = [place for place in range(len(label) - 1) if label[place] != label[place + 1]]
    kind = random.choice(["changed", "swapped", "dropped"])
    if kind == "changed" or not swaps:
        return label[:at] + str(random.choice([digit for digit in DIGITS if digit != label[at]])) + label[at + 1 :]
    if kind == "dropped":
        return label[:at] + label[at + 1 :]
    at = int(random.choice(swaps))
    return label[:at] + label[at + 1] + label[at] + label[at + 2 :]


if __name__ == "__main__":
    main()
