"""The table of contents of the system: from images to a model that may serve."""

from prefect import flow

from flows.dispatch import on
from loopline.contracts import DatasetVersion, EvaluationReport, FitPlan, HeldBack, ModelReady, Order
from tasks.accept import accept
from tasks.announce import announce
from tasks.baseline import baseline
from tasks.caching import RESULTS
from tasks.evaluate import evaluate, opponent
from tasks.gate import gate
from tasks.ingest import ingest
from tasks.label_sync import label_sync
from tasks.package import package_model
from tasks.train import train
from tasks.version import version


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def build_model(order: Order) -> ModelReady | HeldBack:
    """Images in, a model ready to serve out; or the reasons why the gate holds it back."""
    requirements = accept(order)
    raw = ingest(order.problem, order.source)
    labeled = label_sync(raw, order.labels)
    dataset = version(labeled, order.split)
    report = on("gpu", fit_model)(dataset=dataset, plan=order.plan)
    packaged = package_model(report)
    verdict = gate(packaged, requirements)
    return announce(packaged, verdict)


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def fit_model(dataset: DatasetVersion, plan: FitPlan) -> EvaluationReport:
    """The part that wants a GPU: learn, and judge on unseen lines beside a simple baseline and the champion."""
    floor = baseline(dataset)
    model = train(dataset, plan)
    return evaluate(model, floor, opponent(model))
