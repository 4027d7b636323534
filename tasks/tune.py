"""Find the recipe. What learns runs in processes of its own: one that runs out of memory ends only its trial."""

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from prefect.deployments import run_deployment

from loopline.contracts import DatasetVersion, Study
from loopline.orders import FitPlan
from loopline.problems import load_problem
from loopline.settings import Settings
from tasks.caching import source_digests, step
from tasks.places import store
from tasks.showing import log, progress

if TYPE_CHECKING:
    from loopline.winning import Winner

SOURCES = (
    "loopline/tuning.py",
    "loopline/winning.py",
    "loopline/studies.py",
    "loopline/sampling.py",
    "loopline/space.py",
    "loopline/learning.py",
    "loopline/dataset.py",
    "tasks/trials.py",
)


@step(sources=SOURCES)
def tune(dataset: DatasetVersion, plan: FitPlan) -> Study:
    """Try recipes until the budget is used up, going on with the trials of an earlier, killed or smaller search."""
    from loopline.space import search_space
    from loopline.studies import busy_seconds, open_storage
    from loopline.tuning import begin, conduct
    from loopline.winning import conclude

    settings, problem = Settings(), load_problem(dataset.problem)
    price, sources = settings.train.price_per_hour, source_digests(SOURCES, problem.name)
    storage = open_storage(settings.tune, home=settings.folder)
    study = begin(problem, dataset, plan, sources=sources, storage=storage)
    job = {
        "study": study.study_name,
        "dataset": dataset.model_dump(mode="json"),
        "plan": plan.model_dump(mode="json"),
        "threads": settings.train.threads or max(1, (os.cpu_count() or 1) // settings.tune.workers),
    }
    _call_pool(settings, job)
    show = progress(f"Search on {dataset.name}")
    conduct(
        study,
        plan,
        space=search_space(problem, plan),
        workers=settings.tune.workers,
        start=lambda number: _start(job | {"worker": number}),
        price_per_hour=price,
        on_progress=lambda done, count: show(done / count),
    )
    winner = conclude(study, problem, plan, price_per_hour=price)
    return _told(study.study_name, winner, busy_seconds=busy_seconds(study))


def _call_pool(settings: Settings, job: dict[str, Any]) -> None:
    """Start workers on the pool; they are not waited for: whatever they do is in the storage."""
    for number in range(settings.tune.pool_workers):
        name = settings.tune.deployment or "run-trials/gpu"
        run_deployment(name, parameters={"job": job | {"worker": settings.tune.workers + number}}, timeout=0)


def _start(job: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tasks.trials"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(f"{json.dumps(job)}\n")
    process.stdin.flush()  # and left open: the worker ends when it closes, so with this process
    return process


def _told(name: str, winner: "Winner", *, busy_seconds: float) -> Study:
    counts = ", ".join(f"{count} {state}" for state, count in winner.counts.items())
    log().info("tune: %s; ended by its %s; best: %s", counts, winner.stopped_by, winner.best)
    history = winner.history.model_dump_json().encode()
    return Study(
        name=name,
        recipe=winner.recipe,
        best=winner.best,
        trial_counts=winner.counts,
        stopped_by=winner.stopped_by,
        history=store().publish(history, f"studies/{name}", suffix=".json"),
        busy_seconds=busy_seconds,
    )
