"""Find labels that are probably wrong, and let people look at them again."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from loopline.checking import check_again
from loopline.contracts import DatasetVersion, Suspects
from loopline.errors import DataError
from loopline.orders import CheckPlan
from loopline.problems import load_problem
from loopline.runs import run_digest
from loopline.settings import Settings
from loopline.suspects import judge_dataset, read_suspects, recipe_of
from loopline.suspicions import keep_suspicions
from tasks.caching import source_digests, step
from tasks.places import cache, label_studio, registry, store, workspace
from tasks.showing import log, progress

if TYPE_CHECKING:
    pass

SOURCES = (
    "loopline/suspects.py",
    "loopline/doubt.py",
    "loopline/folds.py",
    "loopline/learning.py",
    "loopline/serving.py",
    "loopline/dataset.py",
    "loopline/manifest.py",
)


@step()
def newest_dataset(plan: CheckPlan) -> DatasetVersion:
    """Return the newest dataset version; ConfigError for a plan that can't be met, DataError before the first."""
    recipe_of(load_problem(plan.problem), plan)
    datasets = registry().datasets(plan.problem)
    if not datasets:
        raise DataError(f"there is no dataset of {plan.problem} yet whose labels could be checked; run `loopline run`")
    return datasets[-1]


@step(sources=SOURCES)
def find_suspects(dataset: DatasetVersion, plan: CheckPlan) -> Suspects:
    """Judge every label by a model that has not learnt from it; a killed run repeats no fold that was finished."""
    problem, show = load_problem(dataset.problem), progress(f"Judging the labels of {dataset.name}")
    with workspace() as folder:
        return judge_dataset(
            store(),
            problem,
            dataset=dataset,
            plan=plan,
            machine=Settings().train,
            place=f"suspects/{run_digest(dataset, plan, source_digests(SOURCES, problem.name))}",
            folder=folder,
            cache=cache(),
            on_epoch=lambda fold, epoch: show((fold + (epoch.number + 1) / epoch.planned) / plan.folds),
        )


@step()
def queue_suspects(suspects: Suspects, plan: CheckPlan) -> int:
    """Keep these as the newest suspects and mark the tasks of the project; return how many want another opinion."""
    objects, problem = store(), load_problem(suspects.dataset.problem)
    rows = read_suspects(objects, suspects)
    keep_suspicions(objects, suspects, rows=rows, most=plan.most, now=datetime.now(UTC))
    title = plan.project or suspects.dataset.labeled.label_project
    if title is None:
        told = "suspects: the labels of %s came from a file, so nobody is asked; name a project where people check"
        log().info(told, suspects.dataset.name)
        return 0
    raw = suspects.dataset.labeled.raw
    count = check_again(objects, label_studio(), raw=raw, problem=problem, title=title)
    log().info("suspects: %d tasks of %s want another opinion", count, title)
    return count
