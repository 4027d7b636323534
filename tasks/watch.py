"""The steps of watching a model in service."""

from datetime import UTC, datetime

from loopline import watching
from loopline.clients.pushgateway import push
from loopline.contracts import HeldBack, ModelReady
from loopline.judging import check_watched_bounds
from loopline.known_lines import read_known_lines
from loopline.orders import WatchPlan
from loopline.problems import load_problem
from loopline.settings import Settings
from loopline.traffic_window import drop_files, read_window
from loopline.watch_contracts import KnownLines, Quiet, Watched
from loopline.watch_page import summary, write_page
from loopline.watch_records import Record, history, keep
from loopline.watch_truth import read_truth
from tasks.caching import step
from tasks.places import registry, store
from tasks.showing import link, log, table
from tasks.telling import tell


@step()
def in_service(plan: WatchPlan) -> ModelReady | HeldBack | Quiet:
    """Return the model that answers at the plan's target; where nothing was released, the champion."""
    problem = load_problem(plan.problem)
    check_watched_bounds(plan.requirements or problem.requirements(), metrics=problem.tally("", "").keys())
    models = registry().models(plan.problem)
    for stage in (plan.target, "champion"):
        for model in models:
            if stage in model.stages:
                return model.judged
    return _quiet(plan, f"{plan.problem} has no model in service; `loopline run` builds one")


@step(sources=("loopline/known_lines.py", "loopline/images.py", "loopline/traffic.py", "loopline/serving.py"))
def read_known(model: ModelReady | HeldBack) -> KnownLines:
    """Have the model read its test lines as its users' are read."""
    return read_known_lines(store(), model)


@step()
def look_at_traffic(model: ModelReady | HeldBack, known: KnownLines, plan: WatchPlan) -> Watched | Quiet:
    """Judge what came since the last look, tell it if the model drifts, and be done with it.

    Until the record is written the rows stay, so that whatever is killed is repeated; after it they are never counted.
    """
    objects, versions = store(), registry()
    last = next(iter(history(objects, known.package_sha256, most=1)), None)
    window = read_window(objects, known.package_sha256, but=set(last.taken) if last else set())
    if window is None or window.counts.answers < plan.least_answers:
        count = window.counts.answers if window else 0
        return _quiet(plan, f"{count} new answers of {model.version} are too few; {plan.least_answers} are asked for")
    datasets = versions.datasets(plan.problem)
    found = watching.judge(
        objects,
        load_problem(plan.problem),
        window=window,
        truth=read_truth(objects, window.corrected, model=model, newest=datasets[-1] if datasets else None),
        known=known,
        model=model,
        plan=plan,
        before=last.watched if last else None,
    )
    if found.drifting:
        tell(objects, watching.drift_told(found, model))
    keep(objects, Record(watched=found, taken=tuple(window.files)), now=datetime.now(UTC))
    drop_files(objects, window.files)
    return found


@step()
def show(found: Watched) -> None:
    """Draw the page with all windows, and put the newest one's gauges where people and Prometheus look."""
    objects, address = store(), Settings().watch.pushgateway
    windows = [record.watched for record in history(objects, found.package_sha256)]
    page = write_page(objects, windows)
    table(summary(found), key="watch", description="The traffic, and what it is held against")
    link(objects.url(page.uri), key="watch-page", text="Page about the model in service")
    if address:
        push(address, found)
    log().info("watch: %s", watching.sentence(found))


def _quiet(plan: WatchPlan, reason: str) -> Quiet:
    log().info("watch: %s", reason)
    return Quiet(problem=plan.problem, reason=reason)
