"""Look at an order before anything is spent on it."""

from loopline.contracts import Order, Requirements
from loopline.judging import check_bounds
from loopline.problems import load_problem
from tasks.caching import step


@step()
def accept(order: Order) -> Requirements:
    """Return the requirements that hold: the order's, else the problem's own; ConfigError for what can't be met."""
    problem = load_problem(order.problem)
    problem.make_recipe(order.plan.recipe)
    requirements = order.requirements or problem.requirements()
    check_bounds(requirements, metrics=problem.tally("", "").keys())
    return requirements
