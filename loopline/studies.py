"""A search's record in Optuna's storage, that any number of workers share.

The budget of trials is laid out as numbered slots, queued when the study is opened. A worker takes a slot before it
trains; a slot whose worker was killed is queued once more. So a study can be killed, resumed, continued with a larger
budget, and worked on by many machines, and no trial is lost or counted twice.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from loopline.contracts import Contract, Scalar
from loopline.details import History, SearchDimension, Trial
from loopline.errors import AccessError, ConfigError, LooplineError, UnreachableError
from loopline.orders import FitPlan, SearchPlan
from loopline.settings import LAPTOP, TuneSettings
from loopline.space import Space, contains, grid, grid_size

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 20  # without a heartbeat a worker is taken for dead: four missed ones
CONNECT_SECONDS = 10
LOCK_SECONDS = 60  # SQLite has one writer at a time
MOST_SLOTS = 200  # of a search that time or money alone bounds
SURPLUS = "surplus"  # marks a try that ended at once: its slot was taken, or is beyond this order's budget
RETRIES = 1  # of a trial whose worker was killed; a second time it is likely the trial that kills
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
WORDS = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def study_name(dataset: Contract, plan: FitPlan, *, space: Space, sources: Mapping[str, str]) -> str:
    """Name a study by the content, the search space, what every trial has in common, and the code."""
    search = _search(plan)
    document = [
        dataset.digest,
        {name: dimension.model_dump() for name, dimension in space.items()},
        [plan.recipe, plan.seed, search.epochs, search.latency],
        dict(sources),
    ]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def open_storage(settings: TuneSettings, *, home: Path) -> RDBStorage:
    """Open the storage of all studies; one sentence, without the password, if that can't be done."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it would say, the workers say in one line
    url = settings.storage.get_secret_value()
    on_laptop = url == LAPTOP
    if on_laptop:
        home.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{home / 'studies.sqlite'}"
    arguments = {"timeout": LOCK_SECONDS} if url.startswith("sqlite") else {"connect_timeout": CONNECT_SECONDS}
    try:
        parsed = make_url(url)
        shown = parsed.render_as_string(hide_password=True)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = RDBStorage(
                parsed.render_as_string(hide_password=False),
                engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
    except (ArgumentError, NoSuchModuleError, ImportError, TypeError):
        raise ConfigError(
            "LOOPLINE_TUNE__STORAGE is no address of a database that is known here; "
            'write "laptop" or postgresql://user:password@host/database'
        ) from None
    except OperationalError as error:
        raise _unreachable(error, shown) from None
    if on_laptop:
        (home / "studies.sqlite").chmod(0o600)
    return storage


def open_study(
    storage: RDBStorage, name: str, *, space: Space, base: Mapping[str, Scalar], plan: FitPlan
) -> optuna.Study:
    """Open a study, or go on with it, and queue the slots that its budget adds.

    Raises ConfigError if the storage holds a study of this name with another space.
    """
    search = _search(plan)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["minimize"] * (2 if search.latency else 1),
        load_if_exists=True,
    )
    document = {key: dimension.model_dump(mode="json") for key, dimension in space.items()}
    if study.user_attrs.setdefault("space", document) != document:
        raise ConfigError(
            f"study {name} in the storage searches {', '.join(study.user_attrs['space'])} within other bounds; "
            "point LOOPLINE_TUNE__STORAGE to another database, or delete that study"
        )
    study.set_user_attr("space", document)
    _queue(study, space=space, base=base, plan=plan)
    return study


def slot_count(plan: FitPlan, space: Space) -> int:
    """Return how many slots a plan's budget has."""
    search = _search(plan)
    asked = search.trials or MOST_SLOTS
    return min(asked, grid_size(space)) if search.sampler == "grid" else asked


def slots(study: optuna.Study, count: int) -> dict[int, FrozenTrial]:
    """Return the last try of each of the first slots."""
    return {trial.user_attrs["slot"]: trial for trial in _tries(study) if trial.user_attrs["slot"] < count}


def is_free(study: optuna.Study, count: int) -> bool:
    """Tell whether one of the first slots waits for a worker."""
    return any(trial.state == TrialState.WAITING for trial in slots(study, count).values())


def is_over(study: optuna.Study, count: int) -> bool:
    """Tell whether the first slots have all ended."""
    return all(trial.state in ENDED for trial in slots(study, count).values())


def bury_the_dead(study: optuna.Study) -> None:
    """Fail the trials whose workers no longer give a sign, and queue their slots once more."""
    _note_the_silent(study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def _note_the_silent(study: optuna.Study) -> None:
    """Give the trials a heartbeat that began long ago and had none: Optuna never takes such a one for dead."""
    storage: Any = getattr(study._storage, "_backend", study._storage)  # behind Optuna's own cache
    late = datetime.now() - timedelta(seconds=GRACE_SECONDS)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    old = {trial._trial_id for trial in running if trial.datetime_start and trial.datetime_start < late}
    if not old:
        return
    with storage.engine.connect() as connection:
        heard = set(connection.scalars(text("SELECT trial_id FROM trial_heartbeats")))
    for silent in old - heard:
        storage.record_heartbeat(silent)


def exceeded(study: optuna.Study, search: SearchPlan, *, price_per_hour: float) -> str | None:
    """Name the part of the budget that time or money has ended, or None.

    The clock runs only while a search is conducted; money counts the seconds of every trial.
    """
    if search.minutes is not None and study.user_attrs.get("clock_seconds", 0.0) >= 60 * search.minutes:
        return "minutes"
    if search.cost is not None and busy_seconds(study) / 3600 * price_per_hour >= search.cost:
        return "cost"
    return None


def busy_seconds(study: optuna.Study) -> float:
    """Return how long all trials took together, killed ones included."""
    return float(sum(trial.user_attrs.get("seconds", 0.0) for trial in study.get_trials(deepcopy=False)))


def history(study: optuna.Study, plan: FitPlan, *, monitor: str, count: int) -> History:
    """Return what became of every trial in the first slots, in the order of their numbers."""
    search = _search(plan)
    tries = [t for t in _tries(study) if t.user_attrs["slot"] < count and t.state != TrialState.WAITING]
    return History(
        study=study.study_name,
        sampler=search.sampler,
        pruner="none" if search.latency else search.pruner,
        objectives=(monitor, "latency_ms") if search.latency else (monitor,),
        space={name: SearchDimension.model_validate(found) for name, found in study.user_attrs["space"].items()},
        trials=tuple(_told(trial) for trial in tries),
    )


def _tries(study: optuna.Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if "slot" in trial.user_attrs and SURPLUS not in trial.user_attrs]


def _search(plan: FitPlan) -> SearchPlan:
    if plan.search is None:
        raise LooplineError("this plan has no search")
    return plan.search


def _queue(study: optuna.Study, *, space: Space, base: Mapping[str, Scalar], plan: FitPlan) -> None:
    """Queue the slots that are not there yet: the plan's own recipe first, where it lies within the space."""
    count = slot_count(plan, space)
    known = slots(study, count)
    points = grid(space, seed=plan.seed) if _search(plan).sampler == "grid" else []
    own = {name: base[name] for name in space} if contains(space, base) else {}
    for slot in range(count):
        if slot not in known:
            values = points[slot] if points else own if slot == 0 else {}
            study.enqueue_trial(values, user_attrs={"slot": slot})


def _told(trial: FrozenTrial) -> Trial:
    tries: list[int] = trial.system_attrs.get("retry_history", [])  # what RetryHeartbeatStaleTrialCallback writes
    return Trial(
        number=trial.number,
        slot=trial.user_attrs["slot"],
        state=WORDS[trial.state],
        values=trial.params,
        seed=trial.user_attrs.get("seed", 0),
        objectives=tuple(trial.values) if trial.values and trial.state == TrialState.COMPLETE else None,
        epochs=trial.user_attrs.get("curve", {}),
        seconds=trial.user_attrs.get("seconds", 0.0),
        retry_of=tries[-1] if tries else None,
        error=_error(trial),
    )


def _error(trial: FrozenTrial) -> str | None:
    if trial.state != TrialState.FAIL:
        return None
    found: Any = trial.user_attrs.get("error")
    return str(found) if found else "its worker was killed, or the machine lost"


def _unreachable(error: OperationalError, shown: str) -> LooplineError:
    reason = str(error.orig).strip().splitlines()[0]
    if "authentication" in reason or "permission" in reason:
        return AccessError(f"the study storage {shown} refuses us; check user and password in LOOPLINE_TUNE__STORAGE")
    return UnreachableError(
        f"the study storage {shown} can't be reached ({reason}); check that it runs and LOOPLINE_TUNE__STORAGE"
    )
