"""Choose what to label next: by our policies against chance, at equal label counts, by annotators who know the truth.

python -m benchmarks.acquisition [SEEDS] [FOLDER]

On the sample lines, or on the lines of a folder with images/, labels.json and splits.json. Every model takes the same
number of steps, so that more labels are not more learning; the test lines are the same throughout.
"""

import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks.reference import load
from benchmarks.training import MACHINE, PROBLEM, sample_lines
from loopline.acquisition import rank
from loopline.learning import fit, load_system
from loopline.orders import LabelPolicy
from loopline.problems import Sample
from loopline.serving import Predictor, system_run

COUNTS = (100, 200, 300, 400, 500)  # labels
POOL, VAL, TEST = 1500, 100, 300  # lines to choose from, to choose the epoch by, to judge by
STEPS, BATCH_LINES = 1000, 8
RECIPE = {"channels": 16, "hidden": 64, "layers": 1, "batch_size": BATCH_LINES}
SEEDS = 3
POLICIES = {
    "chance": LabelPolicy(uncertain=0, different=0, random=1),
    "uncertain": LabelPolicy(uncertain=1, different=0, random=0),
    "mixed": LabelPolicy(),
}


@dataclass(frozen=True)
class Lines:
    """What there is to label, and what judges."""

    pool: dict[str, Sample]
    val: list[Sample]
    test: list[Sample]


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    jobs = [(name, seed) for seed in range(seeds) for name in POLICIES]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        curves = dict(zip(jobs, pool.map(partial(curve, folder=folder), jobs), strict=True))
    print(f"test CER, % ({seeds} seeds)  " + "".join(f"{count:>8}" for count in COUNTS))
    for name in POLICIES:
        for seed in range(seeds):
            print(f"{name:10} seed {seed}          " + "".join(f"{100 * cer:8.2f}" for cer in curves[name, seed]))
        means = (statistics.fmean(curves[name, seed][at] for seed in range(seeds)) for at in range(len(COUNTS)))
        print(f"{name:10} mean            " + "".join(f"{100 * cer:8.2f}" for cer in means))


def curve(job: tuple[str, int], *, folder: Path | None) -> list[float]:
    """Label, learn and choose again; return the test CER at each count."""
    name, seed = job
    lines = _lines(folder)
    labelled = Random(seed).sample(sorted(lines.pool), COUNTS[0])  # noqa: S311  # no secret
    found: list[float] = []
    for count in COUNTS:
        waiting = sorted(lines.pool.keys() - set(labelled))
        cer, order = _round([lines.pool[image] for image in labelled], lines, policy=POLICIES[name], waiting=waiting)
        found.append(cer)
        print(f"{name} seed {seed}: {count} labels, CER {cer:.2%}", file=sys.stderr, flush=True)
        labelled += order[: COUNTS[1] - COUNTS[0]]
    return found


def _round(
    train: Sequence[Sample], lines: Lines, *, policy: LabelPolicy, waiting: Sequence[str]
) -> tuple[float, list[str]]:
    """Learn from what is labelled; return the test CER, and what to label next."""
    recipe = PROBLEM.make_recipe({**RECIPE, "epochs": max(1, STEPS * BATCH_LINES // len(train)), "patience": 1000})
    vocabulary = PROBLEM.vocabulary(sample.label for sample in train)
    with TemporaryDirectory() as place:
        weights = Path(place) / "best.safetensors"
        fit(
            PROBLEM,
            recipe,
            vocabulary=vocabulary,
            train=train,
            val=lines.val,
            seed=1,
            checkpoint=Path(place) / "last.ckpt",
            weights=weights,
            machine=MACHINE,
            progress=False,
        )
        system = load_system(PROBLEM, recipe, vocabulary=vocabulary, weights=weights)
    reader = Predictor(PROBLEM, recipe, vocabulary=vocabulary, run=system_run(system))
    answers = reader.read([sample.pixels() for sample in lines.test])
    tallies = [PROBLEM.tally(line.label, answer.text)["cer"] for line, answer in zip(lines.test, answers, strict=True)]
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
    splits = {name: load(folder, name) for name in ("train", "validation", "test")} if folder else sample_lines()
    pool = {str(number): sample for number, sample in enumerate(splits["train"][:POOL])}
    return Lines(pool, splits["validation"][:VAL], splits["test"][:TEST])


if __name__ == "__main__":
    main()
