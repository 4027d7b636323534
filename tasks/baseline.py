"""What a model has to beat."""

from loopline.contracts import Baseline, DatasetVersion
from loopline.dataset import load_lines
from loopline.evaluation import count
from loopline.problems import Answer, load_problem
from tasks.caching import step
from tasks.places import cache, store


@step(sources=("loopline/dataset.py", "loopline/evaluation.py", "loopline/judging.py"))
def baseline(dataset: DatasetVersion) -> Baseline:
    """Judge the problem's simplest honest method on the test split."""
    problem = load_problem(dataset.problem)
    lines = load_lines(store(), dataset, cache=cache()).splits
    texts = problem.baseline(lines["train"], lines["test"])
    judgement = count(problem, lines["test"], answers=[Answer(text, 1.0) for text in texts])
    return Baseline(name=problem.baseline_name, metrics=judgement.metrics)
