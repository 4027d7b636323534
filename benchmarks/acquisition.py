"""Choose what to label next: by our policies against chance, at equal label counts, by annotators who know the truth.

python -m benchmarks.acquisition [SEEDS] [FOLDER]

On the sample lines, or on the lines of a folder with images/, labels.json and splits.json, as real handwriting. Every
model takes the same number of steps, so that more labels are not more learning; the test lines are the same throughout.
On the sample lines each model begins anew. Real lines would take hours that way: there each goes on from the model that
chose, and the first, which all policies share, learns longer.
"""

import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.reference import load
from benchmarks.training import MACHINE, PROBLEM, sample_lines
from loopline.acquisition import rank
from loopline.contracts import Scalar
from loopline.learning import fit, load_system
from loopline.orders import LabelPolicy
from loopline.problems import Sample
from loopline.serving import Predictor, system_run

POOL, VAL, TEST = 1500, 60, 300  # lines to choose from, to choose the epoch by, to judge by
BATCH_LINES = 8
RECIPE: dict[str, Scalar] = {"channels": 16, "hidden": 64, "layers": 1, "batch_size": BATCH_LINES}
SEEDS = 3
POLICIES = {
    "chance": LabelPolicy(uncertain=0, different=0, random=1),
    "uncertain": LabelPolicy(uncertain=1, different=0, random=0),
    "mixed": LabelPolicy(),
}


@dataclass(frozen=True)
class Course:
    """How many labels there are when a model learns, and for how many steps it does."""

    counts: tuple[int, ...]
    first_steps: int
    steps: int
    goes_on: bool  # from the model before, or anew


SAMPLES = Course(counts=(100, 200, 300, 400, 500), first_steps=1000, steps=1000, goes_on=False)
REAL = Course(counts=(300, 500, 700), first_steps=2000, steps=750, goes_on=True)
MOST_RATIO = 12  # width to height of real lines: the wider ones would double the hours


@dataclass(frozen=True)
class Lines:
    """What there is to label, and what judges."""

    pool: dict[str, Sample]
    val: list[Sample]
    test: list[Sample]
    vocabulary: tuple[str, ...]


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    counts = (REAL if folder else SAMPLES).counts
    jobs = [(name, seed) for seed in range(seeds) for name in POLICIES]
    with TemporaryDirectory() as place, ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(begin, folder=folder, place=Path(place)), range(seeds)))
        curves = dict(zip(jobs, pool.map(partial(curve, folder=folder, place=Path(place)), jobs), strict=True))
    print(f"test CER, % ({seeds} seeds)  " + "".join(f"{count:>8}" for count in counts))
    for name in POLICIES:
        for seed in range(seeds):
            print(f"{name:10} seed {seed}          " + "".join(f"{100 * cer:8.2f}" for cer in curves[name, seed]))
        means = (statistics.fmean(curves[name, seed][at] for seed in range(seeds)) for at in range(len(counts)))
        print(f"{name:10} mean            " + "".join(f"{100 * cer:8.2f}" for cer in means))


def begin(seed: int, *, folder: Path | None, place: Path) -> None:
    """Train the model that all policies of a seed begin with."""
    lines, course = _lines(folder), REAL if folder else SAMPLES
    labelled = _first(lines, course, seed=seed)
    _learn([lines.pool[image] for image in labelled], lines, steps=course.first_steps, weights=place / f"{seed}")


def curve(job: tuple[str, int], *, folder: Path | None, place: Path) -> list[float]:
    """Choose, label and learn in turn; return the test CER at each count."""
    name, seed = job
    lines, course = _lines(folder), REAL if folder else SAMPLES
    labelled, weights, found = _first(lines, course, seed=seed), place / f"{seed}", list[float]()
    for count, following in pairwise((*course.counts, 0)):
        train = [lines.pool[image] for image in labelled]
        if found:
            before, weights = weights if course.goes_on else None, place / f"{seed}-{name}-{count}"
            _learn(train, lines, steps=course.steps, weights=weights, before=before)
        cer, order = _judge(train, lines, weights=weights, policy=POLICIES[name], labelled=labelled)
        found.append(cer)
        print(f"{name} seed {seed}: {count} labels, CER {cer:.2%}", file=sys.stderr, flush=True)
        labelled += order[: max(0, following - count)]
    return found


def _first(lines: Lines, course: Course, *, seed: int) -> list[str]:
    return Random(seed).sample(sorted(lines.pool), course.counts[0])  # noqa: S311  # no secret


def _learn(train: Sequence[Sample], lines: Lines, *, steps: int, weights: Path, before: Path | None = None) -> None:
    """Train, from new weights or from those of a model before."""

    def system(recipe: Any, vocabulary: Sequence[str]) -> Any:
        if before is None:
            return PROBLEM.system(recipe, vocabulary)
        return load_system(PROBLEM, recipe, vocabulary=vocabulary, weights=before).train()

    with TemporaryDirectory() as place:
        fit(
            replace(PROBLEM, system=system),
            PROBLEM.make_recipe({**RECIPE, "epochs": max(1, steps * BATCH_LINES // len(train)), "patience": 1000}),
            vocabulary=lines.vocabulary,
            train=train,
            val=lines.val,
            seed=1,
            checkpoint=Path(place) / "last.ckpt",
            weights=weights,
            machine=MACHINE,
            progress=False,
        )


def _judge(
    train: Sequence[Sample], lines: Lines, *, weights: Path, policy: LabelPolicy, labelled: Sequence[str]
) -> tuple[float, list[str]]:
    """Return the test CER, and what to label next."""
    recipe = PROBLEM.make_recipe(RECIPE)
    system = load_system(PROBLEM, recipe, vocabulary=lines.vocabulary, weights=weights)
    reader = Predictor(PROBLEM, recipe, vocabulary=lines.vocabulary, run=system_run(system))
    answers = reader.read([sample.pixels() for sample in lines.test])
    tallies = [PROBLEM.tally(line.label, answer.text)["cer"] for line, answer in zip(lines.test, answers, strict=True)]
    waiting = sorted(lines.pool.keys() - set(labelled))
    looks = dict(zip(waiting, reader.look([lines.pool[image].pixels() for image in waiting]), strict=True))
    order = rank(
        waiting,
        policy=policy,
        confidences={image: look.answer.confidence for image, look in looks.items()},
        embeddings={image: look.embedding for image, look in looks.items()},
        labelled=[look.embedding for look in reader.look([sample.pixels() for sample in train])],
    )
    return sum(errors for errors, _ in tallies) / sum(of for _, of in tallies), order


def _lines(folder: Path | None) -> Lines:
    splits = _real_lines(folder) if folder else sample_lines()
    pool = {str(number): sample for number, sample in enumerate(splits["train"][:POOL])}
    vocabulary = PROBLEM.vocabulary(sample.label for sample in pool.values())
    return Lines(pool, splits["validation"][:VAL], splits["test"][:TEST], vocabulary)


def _real_lines(folder: Path) -> dict[str, list[Sample]]:
    return {
        name: [line for line in load(folder, name) if line.width_px <= MOST_RATIO * line.height_px]
        for name in ("train", "validation", "test")
    }


if __name__ == "__main__":
    main()
