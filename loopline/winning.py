"""What a search came to: the recipe that won, why the search ended, and every trial of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna

from loopline.contracts import Scalar
from loopline.details import History, Trial
from loopline.errors import DataError
from loopline.orders import FitPlan
from loopline.problems import Problem
from loopline.space import search_space
from loopline.studies import exceeded, history, is_over, slot_count

CLEAR_LOSS = 0.1  # share of the best CER that a faster recipe may cost where latency counts too


@dataclass(frozen=True)
class Winner:
    """The recipe of a search's best trial, why the search ended, and all its trials."""

    recipe: dict[str, Scalar]
    best: dict[str, float]
    counts: dict[str, int]
    stopped_by: str
    history: History


def conclude(study: optuna.Study, problem: Problem, plan: FitPlan, *, price_per_hour: float) -> Winner:
    """Choose the winner; DataError if no trial came to an end, with the first reason."""
    search, count = plan.search, slot_count(plan, search_space(problem, plan))
    assert search is not None
    found = history(study, plan, monitor=problem.monitor, count=count)
    last = {trial.slot: trial for trial in found.trials}
    counts = Counter(trial.state for trial in last.values())
    complete = [trial for trial in last.values() if trial.state == "complete"]
    if not complete:
        raise DataError(_no_winner(last, counts))
    best = _choose(complete)
    assert best.objectives is not None
    all_tried = "grid" if search.sampler == "grid" and count != search.trials else "trials"
    over = None if is_over(study, count) else exceeded(study, search, price_per_hour=price_per_hour)
    return Winner(
        recipe=problem.make_recipe({**plan.recipe, **best.values}).model_dump(),
        best=dict(zip(found.objectives, best.objectives, strict=True)),
        counts={name: counts[name] for name in ("complete", "pruned", "failed")},
        stopped_by=over or all_tried,
        history=found,
    )


def _choose(complete: Sequence[Trial]) -> Trial:
    """Return the trial with the best first objective; where latency counts, the fastest that is nearly as good."""
    ranked = sorted(complete, key=lambda trial: (trial.objectives, trial.number))
    best = ranked[0].objectives
    assert best is not None
    if len(best) == 1:
        return ranked[0]
    near = [trial for trial in ranked if trial.objectives and trial.objectives[0] <= best[0] * (1 + CLEAR_LOSS)]
    return min(near, key=lambda trial: trial.objectives[1] if trial.objectives else 0.0)


def _no_winner(last: Mapping[int, Trial], counts: Mapping[str, int]) -> str:
    if counts.get("failed") == len(last) and last:
        first = next(iter(last.values()))
        return f"all {len(last)} trials of the search failed, the first because: {first.error}"
    return (
        f"no trial of the search came to its end: {counts.get('pruned', 0)} pruned, {counts.get('failed', 0)} failed; "
        "give it more time, or choose --pruner none"
    )
