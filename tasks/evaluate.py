"""Judge a trained model on unseen lines."""

from loopline.contracts import Baseline, EvaluationReport, Opponent, TrainedModel
from loopline.evaluation import evaluate_model, opponent_of, summary
from loopline.problems import load_problem
from tasks.caching import step
from tasks.places import cache, registry, store, workspace
from tasks.showing import table


@step()
def opponent(model: TrainedModel) -> Opponent | None:
    """Name the champion that this model has to measure up to: for one that is in the registry, the one it met then."""
    places, problem = registry(), model.dataset.problem
    for report in (found.judged.packaged.report for found in places.models(problem)):
        if report.model.digest == model.digest:
            return report.champion
    champion = places.champion(problem)
    if champion is None:
        return None
    return opponent_of(champion.judged)


@step(
    sources=(
        "loopline/evaluation.py",
        "loopline/judging.py",
        "loopline/behaving.py",
        "loopline/calibration.py",
        "loopline/slicing.py",
        "loopline/decoding.py",
        "loopline/details.py",
        "loopline/serving.py",
        "loopline/dataset.py",
        "loopline/manifest.py",
    )
)
def evaluate(model: TrainedModel, floor: Baseline, champion: Opponent | None) -> EvaluationReport:
    """Read the test split with the trained weights, beside the baseline and the champion."""
    problem = load_problem(model.dataset.problem)
    with workspace() as folder:
        report = evaluate_model(
            store(), problem, model=model, floor=floor, opponent=champion, folder=folder, cache=cache()
        )
    table(summary(report), key="evaluation", description=f"{report.sample_count} unseen lines")
    return report
