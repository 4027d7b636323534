"""Look at an order before anything is spent on it."""

from loopline import doctor
from loopline.clients.comet import check_comet
from loopline.evaluation import measurable, open_champion, opponent_of
from loopline.judging import check_bounds
from loopline.orders import Order, Requirements
from loopline.problems import load_problem
from loopline.project_labels import check_labels
from loopline.settings import Settings
from tasks.caching import step
from tasks.places import registry, store
from tasks.pools import check_deployment
from tasks.showing import in_a_run


@step()
def accept(order: Order) -> Requirements:
    """Return the requirements that hold: the order's, else the problem's own.

    Raises ConfigError for what can't be met or could not start, IntegrityError for a champion that can't be opened,
    UnreachableError for a storage of studies that doesn't answer.
    """
    problem, settings = load_problem(order.problem), Settings()
    problem.make_recipe(order.plan.recipe)
    doctor.quick(settings)
    if settings.prefect.gpu_deployment and in_a_run():  # without Prefect, nothing is sent to its pools
        check_deployment(f"fit-model/{settings.prefect.gpu_deployment.rpartition('/')[-1]}")
    check_comet(settings.comet)
    if order.plan.search:
        from loopline.studies import open_storage
        from loopline.tuning import check_search

        check_search(problem, order.plan, machine=settings.train)
        open_storage(settings.tune, home=settings.folder)
    check_labels(order.labels)
    requirements = order.requirements or problem.requirements()
    check_bounds(requirements, metrics=problem.tally("", "").keys(), figures=measurable(problem))
    if champion := registry().champion(problem.name):
        open_champion(store(), opponent_of(champion.judged), problem=problem)
    return requirements
