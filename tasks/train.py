"""Learn. What learns is imported when a step runs: a cached one must not wait seconds for torch."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loopline.contracts import DatasetVersion, Study, TrainedModel
from loopline.dataset import load_lines
from loopline.orders import FitPlan
from loopline.problems import Problem, load_problem
from loopline.runs import RunFolder, run_digest
from loopline.settings import Settings
from tasks.caching import source_digests, step
from tasks.places import cache, runs, store
from tasks.showing import log, progress

if TYPE_CHECKING:
    from loopline.learning import Epoch, Fit
    from loopline.tracking import Tracking

SOURCES = ("loopline/learning.py", "loopline/dataset.py", "tasks/ranks.py")


@step(sources=SOURCES)
def train(dataset: DatasetVersion, plan: FitPlan, study: Study | None) -> TrainedModel:
    """Train the recipe that won, or the plan's own, going on from the last whole epoch of an interrupted run."""
    from loopline.tracking import track

    settings, problem, objects = Settings(), load_problem(dataset.problem), store()
    recipe = problem.make_recipe(study.recipe if study else plan.recipe)
    plan = plan.model_copy(update={"recipe": recipe.model_dump(), "search": None})
    digest = run_digest(dataset, plan, source_digests(SOURCES, problem.name))
    run = RunFolder(objects, digest, runs=runs())
    if (epoch := run.resume()) is not None:
        log().info("train: resumes after epoch %d of %d", epoch + 1, recipe.epochs)
    with track(
        settings.comet,
        home=settings.folder,
        run=digest,
        kind="train",
        name=f"{dataset.name}, seed {plan.seed}",
        folder=run.path,
        params=recipe.model_dump() | {"seed": plan.seed, "dataset": dataset.name},
    ) as tracking:
        learnt = _learn(problem, recipe, dataset=dataset, plan=plan, run=run, tracking=tracking)
    weights, curve = run.finish("\n".join(json.dumps(metrics) for metrics in learnt.curve))
    seconds = learnt.train_seconds + (study.busy_seconds if study else 0)
    return TrainedModel(
        dataset=dataset,
        recipe=recipe.model_dump(),
        seed=plan.seed,
        checkpoint=weights,
        val_metrics={problem.monitor: learnt.val_metrics[problem.monitor]},
        epochs=learnt.epochs,
        study=study,
        curve=curve,
        run=run.prefix,
        experiment_url=tracking.url,
        train_seconds=learnt.train_seconds,
        device=learnt.device,
        cost=seconds / 3600 * settings.train.price_per_hour,
    )


def _learn(
    problem: Problem, recipe: Any, *, dataset: DatasetVersion, plan: FitPlan, run: RunFolder, tracking: "Tracking"
) -> "Fit":
    from loopline.learning import fit
    from tasks.ranks import fit_in_ranks

    machine = Settings().train
    common: dict[str, Any] = {
        "seed": plan.seed,
        "checkpoint": run.checkpoint,
        "weights": run.weights,
        "machine": machine,
        "minutes": plan.minutes,
        "logger": tracking.loggers,
        "on_epoch": _keeping(run, tracking, title=f"Training on {dataset.name}"),
    }
    if machine.devices * machine.nodes > 1:
        return fit_in_ranks(problem, recipe, dataset=dataset, **common)
    lines = load_lines(store(), dataset, cache=cache()).splits
    return fit(problem, recipe, vocabulary=dataset.vocabulary, train=lines["train"], val=lines["val"], **common)


def _keeping(run: RunFolder, tracking: "Tracking", *, title: str) -> Callable[["Epoch"], None]:
    show = progress(title)

    def on_epoch(epoch: "Epoch") -> None:
        # Lightning logs an epoch's figures only after this; a kill in between would lose them.
        tracking.metrics(epoch.metrics, epoch=epoch.number)
        run.keep(epoch.number, improved=epoch.improved)
        show((epoch.number + 1) / epoch.planned)

    return on_epoch
