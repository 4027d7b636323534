"""The table of contents of the system: from images to a model that may serve."""

from prefect import flow

from flows.dispatch import on
from loopline.contracts import DatasetVersion, EvaluationReport, HeldBack, ModelReady
from loopline.orders import FitPlan, Order
from tasks.accept import accept
from tasks.announce import announce
from tasks.baseline import baseline
from tasks.caching import RESULTS
from tasks.evaluate import evaluate, opponent
from tasks.gate import gate
from tasks.ingest import ingest
from tasks.label_sync import label_sync
from tasks.overdue import drop_overdue
from tasks.package import package_model
from tasks.report import report
from tasks.train import train
from tasks.trials import Job, take_trials
from tasks.tune import tune
from tasks.version import version


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json", on_running=[drop_overdue])
def build_model(order: Order) -> ModelReady | HeldBack:
    """Images in, a model ready to serve out; or the reasons why the gate holds it back."""
    requirements = accept(order)
    raw = ingest(order.problem, order.source)
    labeled = label_sync(raw, order.labels)
    dataset = version(labeled, order.split)
    judged = on("gpu", fit_model)(dataset=dataset, plan=order.plan)
    packaged = package_model(judged)
    verdict = gate(packaged, requirements)
    page = report(packaged, verdict)
    return announce(packaged, verdict, page)


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def fit_model(dataset: DatasetVersion, plan: FitPlan) -> EvaluationReport:
    """The part that wants a GPU: find a recipe, learn, judge on unseen lines beside a baseline and the champion."""
    floor = baseline(dataset)
    study = tune(dataset, plan) if plan.search else None
    model = train(dataset, plan, study)
    return evaluate(model, floor, opponent(model))


@flow
def run_trials(job: Job) -> None:
    """Work on a search that another machine began, until nothing is left of it."""
    take_trials(job)
