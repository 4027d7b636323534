"""Find a recipe: trials of one study, run by workers that share nothing but its storage."""

import json
import logging
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from loopline import errors
from loopline.contracts import DatasetVersion, Scalar
from loopline.errors import ConfigError, LooplineError, UnreachableError
from loopline.orders import FitPlan
from loopline.problems import Problem
from loopline.sampling import make_pruner, make_sampler
from loopline.settings import TrainSettings
from loopline.space import Space, distributions, grid, search_space
from loopline.studies import (
    ENDED,
    RETRIES,
    SURPLUS,
    WORDS,
    bury_the_dead,
    exceeded,
    is_free,
    is_over,
    open_study,
    slot_count,
    slots,
    study_name,
)

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
LAST_EPOCH_SECONDS = 60  # a worker is given to end its epoch when the budget is used up
TIE = 1e-3  # of the loss, for the pruner: until a network answers anything, only its loss tells it from others
FORESEEN = 3  # a worker's exit code, with the sentence on its standard output


@dataclass(frozen=True)
class TrialRun:
    """What one trial has to do: fit the recipe, report each epoch, and return what is to be small."""

    number: int
    recipe: Any
    on_epoch: Callable[[Any], None]


def check_search(problem: Problem, plan: FitPlan, *, machine: TrainSettings) -> None:
    """Raise ConfigError for a search that can't be, before anything is spent on it."""
    if plan.search is None:
        return
    space = search_space(problem, plan)
    if plan.search.sampler == "grid":
        grid(space, seed=plan.seed)
    if plan.search.cost is not None and not machine.price_per_hour:
        raise ConfigError("the search has a budget of money, but LOOPLINE_TRAIN__PRICE_PER_HOUR is 0; set the price")
    if plan.search.latency and plan.search.sampler == "cmaes":
        raise ConfigError("cmaes searches for one objective only; choose tpe, gp, random or grid where latency counts")


def work(
    study: optuna.Study,
    problem: Problem,
    *,
    plan: FitPlan,
    price_per_hour: float,
    seed: int,
    run: Callable[[TrialRun], Sequence[float]],
) -> None:
    """Take slot after slot until none waits or the budget is used up. A trial that fails is noted, and work goes on."""
    search, space = plan.search, search_space(problem, plan)
    assert search is not None
    epochs, count = _recipe(problem, plan, {}).epochs, slot_count(plan, space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = make_sampler(search.sampler, seed=seed, trials=count)
        study.pruner = make_pruner("none" if search.latency else search.pruner, epochs=epochs)

        def objective(trial: optuna.Trial) -> Sequence[float]:
            if trial.user_attrs.get("slot", count) >= count:
                trial.set_user_attr(SURPLUS, True)
                raise LooplineError("this order has no such slot, or another worker took it")
            return _try(trial, problem, plan=plan, space=space, price_per_hour=price_per_hour, run=run)

        while is_free(study, count) and not exceeded(study, search, price_per_hour=price_per_hour):
            study.optimize(objective, n_trials=1, catch=(Exception,), callbacks=[_log])


def conduct(
    study: optuna.Study,
    plan: FitPlan,
    *,
    space: Space,
    workers: int,
    start: Callable[[int], subprocess.Popen[str]],
    price_per_hour: float,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Keep workers at work until every slot has ended or the budget is used up; one that dies is replaced.

    Raises what a worker foresaw, LooplineError if workers die without end, UnreachableError if the storage goes away.
    """
    search, count = plan.search, slot_count(plan, space)
    assert search is not None
    crew: dict[int, subprocess.Popen[str]] = {}
    deaths, clock, begun = 0, study.user_attrs.get("clock_seconds", 0.0), time.monotonic()
    try:
        while not is_over(study, count) and not exceeded(study, search, price_per_hour=price_per_hour):
            bury_the_dead(study)
            deaths += _dismiss(crew)
            if deaths > (RETRIES + 1) * count + workers:
                raise LooplineError(f"study {study.study_name}: {deaths} workers died; their last words are above")
            for number in range(workers):
                if number not in crew and is_free(study, count):
                    crew[number] = start(number)
            study.set_user_attr("clock_seconds", clock + time.monotonic() - begun)
            on_progress(sum(trial.state in ENDED for trial in slots(study, count).values()), count)
            time.sleep(POLL_SECONDS)
        _finish(study, crew)
    except (OperationalError, StorageInternalError) as error:
        raise UnreachableError(
            f"the storage of study {study.study_name} went away while it was searched; nothing that ended is lost: "
            "bring it back and run again"
        ) from error
    finally:
        for process in crew.values():
            process.kill()
            process.wait()


def begin(
    problem: Problem, dataset: DatasetVersion, plan: FitPlan, *, sources: Mapping[str, str], storage: RDBStorage
) -> optuna.Study:
    """Open the study of a plan, or go on with it; raises what search_space and open_study raise."""
    space = search_space(problem, plan)
    name = study_name(dataset, plan, space=space, sources=sources)
    return open_study(storage, name, space=space, base=problem.make_recipe(plan.recipe).model_dump(), plan=plan)


def _try(
    trial: optuna.Trial,
    problem: Problem,
    *,
    plan: FitPlan,
    space: Space,
    price_per_hour: float,
    run: Callable[[TrialRun], Sequence[float]],
) -> Sequence[float]:
    search, begun = plan.search, time.monotonic()
    assert search is not None
    recipe = _recipe(problem, plan, _suggest(trial, space))
    trial.set_user_attr("seed", plan.seed)

    curve: dict[int, float] = {}

    def on_epoch(epoch: Any) -> None:
        curve[epoch.number + 1] = epoch.metrics[problem.monitor]
        trial.set_user_attr("seconds", round(time.monotonic() - begun, 3))
        trial.set_user_attr("curve", curve)
        if not search.latency:
            trial.report(curve[epoch.number + 1] + TIE * epoch.metrics["train_loss"], step=epoch.number + 1)
        if exceeded(trial.study, search, price_per_hour=price_per_hour):
            raise optuna.TrialPruned("the budget is used up")
        if not search.latency and epoch.number + 1 < epoch.planned and trial.should_prune():
            raise optuna.TrialPruned

    try:
        return run(TrialRun(trial.number, recipe, on_epoch))
    except optuna.TrialPruned:
        raise
    except Exception as error:
        trial.set_user_attr("error", str(error) or type(error).__name__)
        raise


def _recipe(problem: Problem, plan: FitPlan, values: Mapping[str, Scalar]) -> Any:
    recipe = problem.make_recipe({**plan.recipe, **values})
    epochs = plan.search.epochs if plan.search else None
    return recipe if epochs is None else problem.make_recipe({**plan.recipe, **values, "epochs": epochs})


def _suggest(trial: optuna.Trial, space: Space) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    for name, found in distributions(space).items():
        if isinstance(found, CategoricalDistribution):
            values[name] = trial.suggest_categorical(name, found.choices)  # type: ignore[assignment]
        elif isinstance(found, IntDistribution):
            values[name] = trial.suggest_int(name, found.low, found.high, step=found.step, log=found.log)
        elif isinstance(found, FloatDistribution):
            values[name] = trial.suggest_float(name, found.low, found.high, log=found.log)
    return values


def _log(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    if SURPLUS in trial.user_attrs:
        return
    curve: dict[str, float] = trial.user_attrs.get("curve", {})
    values = trial.values if trial.state == TrialState.COMPLETE else list(curve.values())[-1:]
    told = trial.user_attrs.get("error") or ", ".join(f"{value:.4g}" for value in values)
    log.info("trial %d %s: %s after %d epochs", trial.number, WORDS[trial.state], told, len(curve))


def _dismiss(crew: dict[int, subprocess.Popen[str]]) -> int:
    """Let go the workers that ended; return how many died, and raise what one foresaw."""
    deaths = 0
    for number in [number for number, process in crew.items() if process.poll() is not None]:
        process = crew.pop(number)
        if process.returncode == FORESEEN:
            assert process.stdout is not None
            told = json.loads(process.stdout.read())
            raise getattr(errors, told["kind"])(told["sentence"])
        deaths += process.returncode != 0
    return deaths


def _finish(study: optuna.Study, crew: Mapping[int, subprocess.Popen[str]]) -> None:
    """Wait for the workers to end; what still runs then is pruned."""
    deadline = time.monotonic() + LAST_EPOCH_SECONDS
    while study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for process in crew.values():
        process.kill()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
