"""Decide whether a package may serve."""

from loopline.contracts import PackagedModel, Verdict
from loopline.judging import judge, verdict_table
from loopline.orders import Requirements
from loopline.problems import load_problem
from tasks.caching import step
from tasks.showing import log, table


@step(sources=("loopline/judging.py",))
def gate(packaged: PackagedModel, requirements: Requirements) -> Verdict:
    """Hold the requirements, and the champion, against what was measured."""
    problem = load_problem(packaged.report.model.dataset.problem)
    verdict = judge(packaged, requirements, higher_is_better=problem.higher_is_better)
    table(verdict_table(verdict), key="verdict", description="Requirements against measurements")
    log().info("gate: %s", "passed" if verdict.passed else "held back: " + "; ".join(verdict.reasons))
    return verdict
