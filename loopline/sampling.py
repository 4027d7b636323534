"""How a search proposes recipes and ends bad ones early: Optuna's samplers and pruners by name."""

from typing import Any

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

STARTUP_SHARE, LEAST_STARTUP, MOST_STARTUP = 0.25, 3, 10  # of the trials: drawn at random before a sampler learns
WARM_UP_SHARE = 0.3  # of a trial's epochs: CTC learns nothing visible before
LEAST_RIVALS = 3  # trials that a median needs
HALVINGS = 3  # ASHA and Hyperband keep one of so many


def make_sampler(name: str, *, seed: int, trials: int) -> BaseSampler:
    """Return a sampler by its name."""
    startup = int(min(max(STARTUP_SHARE * trials, LEAST_STARTUP), MOST_STARTUP))
    if name == "tpe":
        return TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True)
    if name == "gp":
        return GPSampler(seed=seed, n_startup_trials=startup)
    if name == "cmaes":
        return OwnCmaEs(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
    return RandomSampler(seed=seed)  # a grid's points are queued with their values


def make_pruner(name: str, *, epochs: int) -> BasePruner:
    """Return a pruner by its name."""
    warm_up = max(1, round(WARM_UP_SHARE * epochs))
    if name == "median":
        return MedianPruner(n_startup_trials=LEAST_RIVALS, n_warmup_steps=warm_up)
    if name == "hyperband":
        return HyperbandPruner(min_resource=warm_up, max_resource=max(epochs, warm_up), reduction_factor=HALVINGS)
    if name == "asha":
        return SuccessiveHalvingPruner(min_resource=warm_up, reduction_factor=HALVINGS)
    return NopPruner()


class OwnCmaEs(CmaEsSampler):
    """CMA-ES (Hansen and Ostermeier 2001) that never reads its state from the storage, where Optuna pickles it.

    Each process holds its own; a new process replays the generations that it finds, one a trial.
    """

    _own: Any = None

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        return self._own

    def _init_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        self._own = super()._init_optimizer(*args, **kwargs)
        return self._own
