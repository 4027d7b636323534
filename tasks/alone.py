"""A step without Prefect: by its name, what it takes as JSON on standard input, its outcome as JSON on standard output.

What Kubeflow's components start.
The functions are the tasks' own. What follows from content is kept under the key that Prefect's results have, in
results/alone/, and not computed again.
"""

import inspect
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, get_type_hints

from prefect import Task
from pydantic import TypeAdapter, ValidationError

import tasks.accept
import tasks.announce
import tasks.baseline
import tasks.evaluate
import tasks.gate
import tasks.ingest
import tasks.label_sync
import tasks.package
import tasks.report
import tasks.train
import tasks.tune
import tasks.version
from loopline.contracts import (
    Artifact,
    Baseline,
    DatasetVersion,
    EvaluationReport,
    HeldBack,
    LabeledDataset,
    ModelReady,
    Opponent,
    PackagedModel,
    RawDataset,
    Study,
    TrainedModel,
    Verdict,
)
from loopline.errors import ConfigError, LooplineError, wrong_values
from loopline.orders import Order, Requirements
from tasks.caching import ByContent
from tasks.places import store

KEPT = "results/alone"
log = logging.getLogger("loopline")
P = ParamSpec("P")
R = TypeVar("R")


def accept(order: Order) -> Requirements:
    """Look at the order."""
    return _done(tasks.accept.accept, order=order)


def ingest(order: Order) -> RawDataset:
    """Take in what lies in the source."""
    return _done(tasks.ingest.ingest, problem=order.problem, source=order.source)


def label_sync(raw: RawDataset, order: Order) -> LabeledDataset:
    """Join images and labels."""
    return _done(tasks.label_sync.label_sync, raw=raw, labels=order.labels)


def version(labeled: LabeledDataset, order: Order) -> DatasetVersion:
    """Freeze a dataset version."""
    return _done(tasks.version.version, labeled=labeled, split=order.split)


def baseline(dataset: DatasetVersion) -> Baseline:
    """Judge what has to be beaten."""
    return _done(tasks.baseline.baseline, dataset=dataset)


def tune(dataset: DatasetVersion, order: Order) -> Study | None:
    """Find a recipe, where the order asks for a search."""
    return _done(tasks.tune.tune, dataset=dataset, plan=order.plan) if order.plan.search else None


def train(dataset: DatasetVersion, order: Order, study: Study | None) -> TrainedModel:
    """Learn."""
    return _done(tasks.train.train, dataset=dataset, plan=order.plan, study=study)


def opponent(model: TrainedModel) -> Opponent | None:
    """Name the champion."""
    return _done(tasks.evaluate.opponent, model=model)


def evaluate(model: TrainedModel, floor: Baseline, champion: Opponent | None) -> EvaluationReport:
    """Judge on unseen lines."""
    return _done(tasks.evaluate.evaluate, model=model, floor=floor, champion=champion)


def package_model(report: EvaluationReport) -> PackagedModel:
    """Make the model answer anywhere."""
    return _done(tasks.package.package_model, report=report)


def gate(packaged: PackagedModel, requirements: Requirements) -> Verdict:
    """Decide whether it may serve."""
    return _done(tasks.gate.gate, packaged=packaged, requirements=requirements)


def report(packaged: PackagedModel, verdict: Verdict) -> Artifact:
    """Write the page."""
    return _done(tasks.report.report, packaged=packaged, verdict=verdict)


def announce(packaged: PackagedModel, verdict: Verdict, page: Artifact) -> ModelReady | HeldBack:
    """Give the model its version."""
    return _done(tasks.announce.announce, packaged=packaged, verdict=verdict, page=page)


STEPS: tuple[Callable[..., Any], ...] = (
    *(accept, ingest, label_sync, version, baseline, tune, train),
    *(opponent, evaluate, package_model, gate, report, announce),
)


def run(name: str, given: dict[str, str]) -> str:
    """Run a step with contracts as JSON; return its outcome as JSON. ConfigError for what it does not take."""
    steps = {step.__name__: step for step in STEPS}
    if name not in steps:
        raise ConfigError(f"no step is called {name!r}; choose from: {', '.join(steps)}")
    hints = get_type_hints(steps[name])
    returned = hints.pop("return")
    if given.keys() != hints.keys():
        raise ConfigError(f"{name} takes {', '.join(hints)}, and was given {', '.join(given) or 'nothing'}")
    try:
        inputs = {one: TypeAdapter(hints[one]).validate_json(document) for one, document in given.items()}
    except ValidationError as error:
        raise ConfigError(f"{name} can't read what it was given: {wrong_values(error)}") from None
    return TypeAdapter(returned).dump_json(steps[name](**inputs)).decode()


def _done(task: Task[P, R], *args: P.args, **inputs: P.kwargs) -> R:
    """Return what a task's function returns; from results/, if it follows from content and was computed before."""
    if not isinstance(task.cache_policy, ByContent):
        return task.fn(*args, **inputs)
    adapter: TypeAdapter[R] = TypeAdapter(inspect.signature(task.fn, eval_str=True).return_annotation)
    place, objects = f"{KEPT}/{task.cache_policy.key(task.name, inputs)}.json", store()
    if objects.exists(place):
        log.info("%s: computed before", task.name)
        return adapter.validate_json(objects.read(place))
    outcome = task.fn(*args, **inputs)
    objects.write(place, adapter.dump_json(outcome))
    return outcome


def main() -> int:
    """Run the step that the first argument names; return the exit code."""
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not stand in the outcome
    try:
        answers.write(run(sys.argv[1], json.load(sys.stdin)))
    except LooplineError as error:
        print(f"loopline: {error}", file=sys.stderr)  # noqa: T201
        return 1
    answers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
