"""One training run on several devices: a rank for each, started by torchrun, in processes of their own.

Lightning's own launcher would run this whole program, a flow, once for each device. `fit_in_ranks` is the side that
stays in the flow; `python -m torch.distributed.run ... -m tasks.ranks` is a rank. The first rank takes the job as a
line of JSON on standard input and reports on standard output; after each epoch it waits until the flow answers.
On several machines, which share LOOPLINE_HOME, the cluster sets torchrun's PET_ variables and starts the same ranks on
the other machines.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import psutil
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from pydantic import BaseModel
from torch.distributed.rendezvous import rendezvous

from loopline import errors
from loopline.contracts import DatasetVersion, Scalar
from loopline.dataset import load_lines
from loopline.errors import LooplineError
from loopline.learning import Epoch, Fit, fit
from loopline.problems import Problem, load_problem
from loopline.settings import TrainSettings
from tasks.places import cache, store

JOB = "loopline/job"  # key in torchrun's store, which all ranks reach


class Job(BaseModel):
    """What every rank must know."""

    dataset: DatasetVersion
    recipe: dict[str, Scalar]
    seed: int
    checkpoint: Path
    weights: Path
    machine: TrainSettings
    minutes: float | None


def fit_in_ranks(
    problem: Problem,
    recipe: Any,
    *,
    dataset: DatasetVersion,
    seed: int,
    checkpoint: Path,
    weights: Path,
    machine: TrainSettings,
    minutes: float | None = None,
    logger: Any = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fit:
    """Do what `learning.fit` does, on `machine.devices` times `machine.nodes` devices that share every batch.

    Each rank reads the dataset from this machine's cache. `logger` and `on_epoch` are called here. Raises what fit
    raises, and LooplineError if a rank dies.
    """
    job = Job(
        dataset=dataset,
        recipe=recipe.model_dump(),
        seed=seed,
        checkpoint=checkpoint.absolute(),
        weights=weights.absolute(),
        machine=machine,
        minutes=minutes,
    )
    load_lines(store(), dataset, cache=cache())  # once, before all ranks look for it
    loggers = logger if isinstance(logger, list) else [logger] if logger else []
    status = "failed"
    try:
        with _ranks(machine) as ranks:
            _tell(ranks, job.model_dump_json())
            learnt = _follow(ranks, loggers=loggers, on_epoch=on_epoch)
        status = "success"
    finally:
        for each in loggers:
            each.finalize(status)
    return learnt


def _follow(ranks: "subprocess.Popen[str]", *, loggers: list[Logger], on_epoch: Callable[[Epoch], None]) -> Fit:
    """Hand on what the first rank reports, until it has the result."""
    assert ranks.stdout is not None
    for line in ranks.stdout:
        report = json.loads(line)
        match report["kind"]:
            case "metrics":
                for logger in loggers:
                    logger.log_metrics(report["metrics"], report["step"])
            case "epoch":
                on_epoch(Epoch(**report["epoch"]))
                _tell(ranks, "go on")
            case "fit":
                return Fit(**report["fit"] | {"curve": tuple(report["fit"]["curve"])})
            case kind:
                raise getattr(errors, kind)(report["sentence"])
    raise LooplineError(
        f"a training process ended without a result (exit code {ranks.wait()}); its last words are in the log above"
    )


@contextmanager
def _ranks(machine: TrainSettings) -> Iterator["subprocess.Popen[str]"]:
    """Start this machine's ranks; wait for their end, and bring it about if the flow goes another way.

    Where torchrun has started this process as the first rank, it starts that rank alone: the others are there.
    """
    where = ["--standalone"] if machine.nodes == 1 else [f"--nnodes={machine.nodes}"]
    torchrun = ["-m", "torch.distributed.run", *where, f"--nproc-per-node={machine.devices}"]
    ranks = subprocess.Popen(
        [sys.executable, *([] if "RANK" in os.environ else torchrun), "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield ranks
    except BaseException:  # what is worth keeping is on disk; torchrun alone would wait for ranks that wait
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(ranks.pid).children(recursive=True):
                process.kill()
        raise
    finally:
        ranks.communicate()


def _tell(ranks: "subprocess.Popen[str]", line: str) -> None:
    assert ranks.stdin is not None
    with suppress(BrokenPipeError):  # then its output ends, too
        ranks.stdin.write(f"{line}\n")
        ranks.stdin.flush()


class _Reports(Logger):
    """What the first rank tells the flow, a line of JSON each: metrics, epochs, and the result."""

    name, version = "reports", None

    def __init__(self, output: IO[str]) -> None:
        self.output = output

    def write(self, kind: str, **report: Any) -> None:
        self.output.write(json.dumps({"kind": kind} | report) + "\n")
        self.output.flush()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.write("metrics", metrics=metrics, step=step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the flow has them."""

    def on_epoch(self, epoch: Epoch) -> None:
        self.write("epoch", epoch=asdict(epoch))
        if not sys.stdin.readline():
            raise LooplineError("the flow that started this training run is gone")


def main() -> int:
    """Learn as one rank of many; return the exit code."""
    reports = _Reports(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # what others print must not stand between the flow and our reports
    first = os.environ["RANK"] == "0"
    try:
        learnt = _learn(_job(first=first), reports=reports)
    except LooplineError as error:
        if not first:
            raise
        reports.write(type(error).__name__, sentence=str(error))
        return 1
    if first:
        reports.write("fit", fit=asdict(learnt))
    return 0


def _job(*, first: bool) -> Job:
    """Read the job from standard input on the first rank, from there on the others."""
    shared, _, _ = next(rendezvous("env://"))
    if first:
        shared.set(JOB, sys.stdin.readline())
    return Job.model_validate_json(shared.get(JOB))


def _learn(job: Job, *, reports: _Reports) -> Fit:
    problem = load_problem(job.dataset.problem)
    lines = load_lines(store(), job.dataset, cache=cache()).splits
    return fit(
        problem,
        problem.make_recipe(job.recipe),
        vocabulary=job.dataset.vocabulary,
        train=lines["train"],
        val=lines["val"],
        seed=job.seed,
        checkpoint=job.checkpoint,
        weights=job.weights,
        machine=job.machine,
        minutes=job.minutes,
        logger=reports,
        on_epoch=reports.on_epoch,
    )


if __name__ == "__main__":
    sys.exit(main())
