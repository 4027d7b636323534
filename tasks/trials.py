"""A worker of a search: takes trials from the shared storage until none is left.

`python -m tasks.trials` takes a job as a line of JSON on standard input, in a process of its own, so that a trial that
runs out of memory ends only itself. It ends when its standard input does. What it foresaw it writes as JSON on standard
output.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from loopline.contracts import DatasetVersion
from loopline.dataset import load_lines
from loopline.errors import LooplineError
from loopline.orders import FitPlan
from loopline.problems import Problem, Sample, load_problem
from loopline.runs import keep_logs
from loopline.settings import Settings, TrainSettings
from tasks.places import cache, store, workspace

if TYPE_CHECKING:
    from loopline.tuning import TrialRun

FAILED = 1  # exit code
MOST_WORKERS = 10_000  # keeps the seeds of workers apart


class Job(BaseModel):
    """What a worker must know: the study's name, what is learnt from, how, and which worker it is."""

    study: str
    dataset: DatasetVersion
    plan: FitPlan
    worker: int
    threads: int | None = None


def take_trials(job: Job) -> None:
    """Take trials of a study that `tune` opened, until no slot waits or its budget is used up."""
    import optuna

    from loopline.studies import open_storage
    from loopline.tuning import work

    settings, problem = Settings(), load_problem(job.dataset.problem)
    machine = settings.train.model_copy(update={"threads": job.threads or settings.train.threads})
    study = optuna.load_study(study_name=job.study, storage=open_storage(settings.tune, home=settings.folder))
    lines = load_lines(store(), job.dataset, cache=cache()).splits

    def run(trial: "TrialRun") -> Sequence[float]:
        return _learn(trial, job, problem=problem, lines=lines, machine=machine)

    work(
        study,
        problem,
        plan=job.plan,
        price_per_hour=machine.price_per_hour,
        seed=job.plan.seed + MOST_WORKERS * len(study.get_trials(deepcopy=False)) + job.worker,
        run=run,
    )


def _learn(
    trial: "TrialRun", job: Job, *, problem: Problem, lines: dict[str, list[Sample]], machine: TrainSettings
) -> Sequence[float]:
    """Fit a trial's recipe and return its objectives; its record is kept in runs/<study><number>."""
    from loopline.learning import fit, load_system
    from loopline.tracking import track

    settings, vocabulary, run = Settings(), job.dataset.vocabulary, f"{job.study}{trial.number:08d}"
    with workspace() as folder:
        weights = folder / "best.safetensors"
        try:
            with track(
                settings.comet,
                home=settings.folder,
                run=run,
                kind="trial",
                name=f"trial {trial.number} on {job.dataset.name}",
                folder=folder,
                params=trial.recipe.model_dump() | {"seed": job.plan.seed, "dataset": job.dataset.name},
                tags=(job.study,),
            ) as tracking:
                learnt = fit(
                    problem,
                    trial.recipe,
                    vocabulary=vocabulary,
                    train=lines["train"],
                    val=lines["val"],
                    seed=job.plan.seed,
                    checkpoint=folder / "last.ckpt",
                    weights=weights,
                    machine=machine,
                    logger=tracking.loggers,
                    progress=False,
                    on_epoch=trial.on_epoch,
                )
        finally:
            keep_logs(store(), folder, prefix=f"runs/{run}")
        value = learnt.val_metrics[problem.monitor]
        if job.plan.search is None or not job.plan.search.latency:
            return (value,)
        system = load_system(problem, trial.recipe, vocabulary=vocabulary, weights=weights)
    return value, _latency_ms(problem, trial.recipe, system=system, lines=lines["val"], vocabulary=vocabulary)


def _latency_ms(
    problem: Problem, recipe: Any, *, system: Any, lines: Sequence[Sample], vocabulary: Sequence[str]
) -> float:
    from loopline.footprint import latency, strip_of
    from loopline.judging import STATED_WIDTH_PX
    from loopline.packaging import export_onnx
    from loopline.serving import Predictor, onnx_run

    predictor = Predictor(
        problem, recipe, vocabulary=vocabulary, run=onnx_run(export_onnx(problem, recipe, system=system))
    )
    return latency(predictor, strip_of(line.pixels() for line in lines), width_px=STATED_WIDTH_PX).p50_ms


def main() -> int:
    """Work on the job of standard input; return the exit code."""
    from loopline.tuning import FORESEEN

    # What others print must not stand between the coordinator and our sentence.
    told, sys.stdout = sys.stdout, sys.stderr
    logging.basicConfig(format="%(asctime)s | %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("loopline").setLevel(logging.INFO)
    try:
        job = Job.model_validate_json(sys.stdin.readline())
        threading.Thread(target=_end_with_the_input, daemon=True).start()
        take_trials(job)
    except LooplineError as error:
        told.write(json.dumps({"kind": type(error).__name__, "sentence": str(error)}))
        return FORESEEN
    return 0


def _end_with_the_input() -> None:
    os.read(0, 1)  # not sys.stdin.read, whose lock would outlive this thread
    os._exit(FAILED)


if __name__ == "__main__":
    sys.exit(main())
