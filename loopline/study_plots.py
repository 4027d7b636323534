"""What a search for a recipe went through: Optuna's own plots, of studies rebuilt from its history."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loopline.details import History, Trial
from loopline.measures import label, shown, unit
from loopline.painting import (
    ACCENT,
    FONT_PT,
    MUTED,
    RIVAL,
    SIZE_IN,
    Drawing,
    count_whole,
    legend,
    plain_text,
    scale,
    style,
    write_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

LEAST_TRIALS = 4  # complete ones; a forest grown on fewer says nothing of what mattered
IMPORTANCE_SEED = 0  # of that forest
STATES = {"complete": "COMPLETE", "pruned": "PRUNED"}  # any other came to nothing


def study_drawings(history: History) -> list[Drawing]:
    """Draw the search: the Pareto front of two objectives, its progress, the trials' courses, and what mattered.

    What the trials are too few for is left out.
    """
    ended = complete_trials(history)
    drawings = [_pareto(history)] if len(history.objectives) == 2 and ended else []
    drawings += [_progress(history, ended)] if ended else []
    drawings += [_courses(history)] if any(len(trial.epochs) > 1 for trial in history.trials) else []
    if len(history.space) > 1 and len(ended) >= LEAST_TRIALS and len({_first(trial) for trial in ended}) > 1:
        drawings.append(_importance(history))
    return drawings


def complete_trials(history: History) -> list[Trial]:
    """Return the trials that ran to their end, in the order in which they began."""
    return [trial for trial in history.trials if trial.state == "complete" and trial.objectives]


def rebuild(history: History, *, objective_count: int) -> "Study":
    """Return Optuna's study, in memory, of the first objective or of all of them."""
    import optuna

    from loopline.space import distributions

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
        study = optuna.create_study(directions=["minimize"] * objective_count)
        optuna.logging.set_verbosity(verbosity)
        space = distributions(history.space)
        study.add_trials([_frozen(trial, space, objective_count=objective_count) for trial in history.trials])
    return study


def _frozen(trial: Trial, space: Mapping[str, "BaseDistribution"], *, objective_count: int) -> "FrozenTrial":
    import optuna

    return optuna.create_trial(
        state=optuna.trial.TrialState[STATES.get(trial.state, "FAIL")],
        values=trial.objectives[:objective_count] if trial.state == "complete" and trial.objectives else None,
        params=trial.values,
        distributions={name: space[name] for name in trial.values},
        intermediate_values=trial.epochs if objective_count == 1 else {},
    )


def _progress(history: History, ended: Sequence[Trial]) -> Drawing:
    from optuna.visualization.matplotlib import plot_optimization_history

    name, values = history.objectives[0], [_first(trial) for trial in ended]
    with _plotting():
        axes = plot_optimization_history(rebuild(history, objective_count=1))
        for dots in axes.collections:
            dots.set(color=MUTED, sizes=[22], label="a trial")
        for best in axes.lines:
            best.set(color=ACCENT, alpha=1, linewidth=2, drawstyle="steps-post", label="the best until then")
        scale(axes, values)
        count_whole(axes.xaxis)
        write_unit(axes.yaxis, unit(name))
        style(axes, x="trial", y=label(name).lower())
        legend(axes)
        caption = (
            "Only trials that ran to their end have a dot. The best value went from "
            f"{shown(values[0], name)} to {shown(min(values), name)}."
        )
        return _drawing("How the search went", caption, axes)


def _courses(history: History) -> Drawing:
    from optuna.visualization.matplotlib import plot_intermediate_values

    name = history.objectives[0]
    states = {f"Trial{place}": trial.state for place, trial in enumerate(history.trials)}
    with _plotting():
        axes = plot_intermediate_values(rebuild(history, objective_count=1))
        for line in axes.lines:
            pruned = states.get(str(line.get_label())) == "pruned"
            line.set(color=RIVAL if pruned else ACCENT, alpha=0.9 if pruned else 0.6, linewidth=1.4, markersize=4)
            line.set(linestyle=(0, (2, 2)) if pruned else "-", label="ended early" if pruned else "ran to its end")
        values = [value for trial in history.trials for value in trial.epochs.values()]
        scale(axes, values)
        count_whole(axes.xaxis)
        write_unit(axes.yaxis, unit(name))
        style(axes, x="epoch", y=label(name).lower())
        legend(axes)
        pruned_count = sum(trial.state == "pruned" for trial in history.trials)
        pruned_text = f" The pruner ({history.pruner}) ended {pruned_count} that fell behind." if pruned_count else ""
        return _drawing("How the trials learnt", f"One line for each trial.{pruned_text}", axes)


def _importance(history: History) -> Drawing:
    """Draw functional ANOVA's importances (Hutter, Hoos and Leyton-Brown 2014)."""
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    study = rebuild(history, objective_count=1)
    with _plotting():
        axes = plot_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=IMPORTANCE_SEED))
        for bar in axes.patches:
            bar.set_color(ACCENT)
        for text in axes.texts:
            text.set(color=MUTED, text=f"\u00a0{text.get_text()}", fontsize=FONT_PT)
        axes.set_yticks(axes.get_yticks(), [tick.get_text().replace("_", " ") for tick in axes.get_yticklabels()])
        axes.set_xticks([])
        style(axes, x="")
        axes.grid(visible=False)
        legend(axes)
        caption = (
            f"How much of the differences in {label(history.objectives[0]).lower()} between the trials each value "
            "explains; all together 1 (fANOVA). With few trials, a hint and no more."
        )
        return _drawing("What mattered in the recipe", caption, axes)


def _pareto(history: History) -> Drawing:
    from optuna.visualization.matplotlib import plot_pareto_front

    with _plotting():
        names = [label(name).lower() for name in history.objectives]
        axes = plot_pareto_front(rebuild(history, objective_count=2), target_names=names)
        for dots in axes.collections:
            is_front = dots.get_label() == "Best Trial"
            dots.set(color=ACCENT if is_front else MUTED, sizes=[42 if is_front else 22])
            dots.set_label("on the front" if is_front else "beaten by another")
        for axis, name in zip((axes.xaxis, axes.yaxis), history.objectives, strict=True):
            write_unit(axis, unit(name))
        style(axes, x=names[0], y=names[1])
        legend(axes)
        caption = (
            f"Each dot is a trial. Those on the front can't be bettered in {names[0]} without losing in {names[1]}."
        )
        return _drawing("What can be had for what (Pareto front)", caption, axes)


@contextmanager
def _plotting() -> Iterator[None]:
    """Let Optuna plot through pyplot, without a display, and leave nothing of it behind."""
    import optuna
    from matplotlib import pyplot as plt

    plt.switch_backend("agg")
    with plain_text(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
    plt.close("all")


def _drawing(title: str, caption: str, axes: "Axes") -> Drawing:
    figure: Any = axes.figure
    figure.set_size_inches(SIZE_IN)
    figure.set_layout_engine("constrained")
    return Drawing(title, caption, figure)


def _first(trial: Trial) -> float:
    return trial.objectives[0] if trial.objectives else float("nan")
