"""Learn. What learns is imported when a step runs: a cached one must not wait seconds for torch."""

import json
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from loopline.contracts import DatasetVersion, FitPlan, TrainedModel
from loopline.dataset import load_lines
from loopline.problems import load_problem
from loopline.runs import RunFolder, run_digest
from loopline.settings import Settings
from tasks.caching import source_digests, step
from tasks.places import cache, runs, store

if TYPE_CHECKING:
    from loopline.learning import Epoch

SOURCES = ("loopline/learning.py", "loopline/dataset.py")


@step(sources=SOURCES)
def train(dataset: DatasetVersion, plan: FitPlan) -> TrainedModel:
    """Train the plan's recipe, going on from the last whole epoch of an interrupted run."""
    from loopline.learning import fit

    problem, objects = load_problem(dataset.problem), store()
    recipe = problem.make_recipe(plan.recipe)
    run = RunFolder(objects, run_digest(dataset, plan, source_digests(SOURCES, problem.name)), runs=runs())
    if (epoch := run.resume()) is not None:
        get_run_logger().info("train: resumes after epoch %d of %d", epoch + 1, recipe.epochs)
    lines = load_lines(objects, dataset, cache=cache()).splits
    artifact = create_progress_artifact(0.0, description=f"Training on {dataset.name}")

    def on_epoch(epoch: "Epoch") -> None:
        run.keep(epoch.number, improved=epoch.improved)
        if isinstance(artifact, UUID):
            update_progress_artifact(artifact, 100 * (epoch.number + 1) / epoch.planned)

    learnt = fit(
        problem,
        recipe,
        vocabulary=dataset.vocabulary,
        train=lines["train"],
        val=lines["val"],
        seed=plan.seed,
        checkpoint=run.checkpoint,
        weights=run.weights,
        machine=Settings().train,
        minutes=plan.minutes,
        on_epoch=on_epoch,
    )
    weights, curve = run.finish("\n".join(json.dumps(metrics) for metrics in learnt.curve))
    return TrainedModel(
        dataset=dataset,
        recipe=recipe.model_dump(),
        seed=plan.seed,
        checkpoint=weights,
        val_metrics={problem.monitor: learnt.val_metrics[problem.monitor]},
        epochs=learnt.epochs,
        curve=curve,
        train_seconds=learnt.train_seconds,
        device=learnt.device,
    )
