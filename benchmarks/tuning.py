"""Search for a recipe on the sample lines: pruned TPE against plain random search, and two workers against one.

python -m benchmarks.tuning samplers [SEEDS]
python -m benchmarks.tuning workers

Compute is counted in seconds of the CPU, which other programs on the machine change little; a network of eight
channels keeps a trial short. Goals: TPE reaches the best of a random search of equal trials with at most half of its
compute; two workers try at least 1.6 times as many recipes in an hour as one, each with one thread.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna

from benchmarks.training import MACHINE, PROBLEM, sample_lines
from loopline.contracts import Scalar
from loopline.learning import fit
from loopline.orders import FitPlan, SearchPlan
from loopline.settings import TuneSettings
from loopline.space import search_space
from loopline.studies import open_storage, open_study
from loopline.tuning import TrialRun, conduct, work

FIXED: dict[str, Scalar] = {"channels": 8, "layers": 1, "epochs": 6}
SPACE: dict[str, tuple[Scalar, ...]] = {
    "learning_rate": (3e-4, 3e-2),
    "batch_size": (8, 64),
    "hidden": (32, 96),
    "augment": (0, 1),
    "dropout": (0, 0.4),
}
TRIALS, WORKER_TRIALS = 12, 12
SEEDS = 5


@dataclass
class Compute:
    """What each trial cost, in seconds of the CPU, and what it reached."""

    spent: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)

    def until(self, value: float) -> float | None:
        """Return what was spent until a value was reached, or None."""
        return next((spent for spent, best in zip(self.spent, self.best, strict=True) if best <= value), None)


def main() -> None:
    if sys.argv[1] == "worker":
        take_trials(Path(sys.argv[2]), sys.argv[3], number=int(sys.argv[4]))
    elif sys.argv[1] == "workers":
        compare_workers()
    else:
        compare_samplers(int(sys.argv[2]) if len(sys.argv) > 2 else SEEDS)


def compare_samplers(seeds: int) -> None:
    """Print, seed by seed, what TPE needed to reach the best of the random search."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        shares = []
        for seed, (plain, ours) in enumerate(pool.map(both, range(seeds)), start=1):
            needed = ours.until(plain.best[-1])
            shares.append((needed or ours.spent[-1]) / plain.spent[-1])
            reached = f"there after {shares[-1]:.2f} of that" if needed else "never there"
            print(
                f"seed {seed}: random {plain.best[-1]:.2%} for {plain.spent[-1]:.0f} s; TPE {ours.best[-1]:.2%} for "
                f"{ours.spent[-1]:.0f} s, {reached}",
                flush=True,
            )
    print(f"median {statistics.median(shares):.2f}, from {min(shares):.2f} to {max(shares):.2f}; goal 0.5")


def both(seed: int) -> tuple[Compute, Compute]:
    """Run both searches with one seed."""
    return search(seed, sampler="random", pruner="none"), search(seed, sampler="tpe", pruner="median")


def search(seed: int, *, sampler: str, pruner: str) -> Compute:
    """Search in this process."""
    compute = Compute()
    asked = plan(seed, trials=TRIALS, sampler=sampler, pruner=pruner)
    with TemporaryDirectory() as folder:
        study = opened(Path(folder), "search", asked)
        learn = learner(asked)
        start = time.process_time()

        def run(trial: TrialRun) -> Sequence[float]:
            value = float("inf")
            try:
                (value,) = learn(trial)
                return (value,)
            finally:
                compute.spent.append(time.process_time() - start)
                compute.best.append(min([value, *compute.best[-1:]]))

        work(study, PROBLEM, plan=asked, price_per_hour=0, seed=seed, run=run)
    return compute


def compare_workers() -> None:
    """Print how many trials an hour one worker does, and two."""
    rates = []
    for workers in (1, 2):
        with TemporaryDirectory() as folder:
            asked = plan(1, trials=WORKER_TRIALS, sampler="random", pruner="none")
            study = opened(Path(folder), "workers", asked)
            conduct(
                study,
                asked,
                space=search_space(PROBLEM, asked),
                workers=workers,
                start=starter(Path(folder)),
                price_per_hour=0,
            )
            trials = study.get_trials()
            begun = min(trial.datetime_start for trial in trials if trial.datetime_start)
            ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
            rates.append(3600 * len(trials) / (ended - begun).total_seconds())
            print(f"{workers} workers, one thread each: {rates[-1]:.0f} trials an hour", flush=True)
    print(f"{rates[1] / rates[0]:.2f} times as many; goal 1.6")


def starter(folder: Path) -> Callable[[int], "subprocess.Popen[str]"]:
    """Return what starts a worker."""
    command = [sys.executable, "-m", "benchmarks.tuning", "worker", str(folder), "workers"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return lambda number: subprocess.Popen(
        [*command, str(number)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def take_trials(folder: Path, name: str, *, number: int) -> None:
    """Be a worker."""
    asked = plan(1, trials=WORKER_TRIALS, sampler="random", pruner="none")
    study = optuna.load_study(study_name=name, storage=open_storage(TuneSettings(), home=folder))
    learn = learner(asked)
    work(study, PROBLEM, plan=asked, price_per_hour=0, seed=number, run=learn)


def plan(seed: int, *, trials: int, **how: Any) -> FitPlan:
    """Return a plan in which only the space of this benchmark is searched."""
    rest = PROBLEM.make_recipe(FIXED).model_dump(exclude=set(SPACE))
    return FitPlan(recipe=rest, seed=seed, search=SearchPlan(trials=trials, space=SPACE, **how))


def opened(folder: Path, name: str, asked: FitPlan) -> optuna.Study:
    """Open a study in a folder."""
    space = search_space(PROBLEM, asked)
    base = PROBLEM.make_recipe(asked.recipe).model_dump()
    return open_study(open_storage(TuneSettings(), home=folder), name, space=space, base=base, plan=asked)


def learner(asked: FitPlan) -> Callable[[TrialRun], Sequence[float]]:
    """Return what fits a trial's recipe on the sample lines."""
    lines = sample_lines()
    vocabulary = PROBLEM.vocabulary(sample.label for sample in lines["train"])

    def learn(trial: TrialRun) -> Sequence[float]:
        with TemporaryDirectory() as folder:
            learnt = fit(
                PROBLEM,
                trial.recipe,
                vocabulary=vocabulary,
                train=lines["train"],
                val=lines["validation"],
                seed=asked.seed,
                checkpoint=Path(folder) / "last.ckpt",
                weights=Path(folder) / "best.safetensors",
                machine=MACHINE,
                on_epoch=trial.on_epoch,
            )
        return (learnt.val_metrics[PROBLEM.monitor],)

    return learn


if __name__ == "__main__":
    main()
