"""Make a trained model answer anywhere."""

from loopline.clients.bento import build_bento
from loopline.contracts import EvaluationReport, PackagedModel
from loopline.packaging import package
from loopline.problems import load_problem
from loopline.settings import Settings
from tasks.caching import step
from tasks.places import cache, store, workspace


@step(
    sources=(
        "loopline/packaging.py",
        "loopline/quantization.py",
        "loopline/footprint.py",
        "loopline/card.py",
        "loopline/serving.py",
        "loopline/evaluation.py",
        "loopline/judging.py",
        "loopline/images.py",
        "loopline/clients/bento.py",
        "deployments/bento",
    )
)
def package_model(report: EvaluationReport) -> PackagedModel:
    """Export, check that the package answers as the model did, measure it, keep it, build its Bento."""
    objects, problem = store(), load_problem(report.model.dataset.problem)
    with workspace() as folder:
        made = package(objects, problem, report=report, folder=folder, cache=cache())
    archive = objects.put(made.archive, f"packages/{made.sha256}.zip")
    with workspace() as folder:
        home = Settings().folder / "bentoml"
        tag = build_bento(made.archive, problem.name, version=archive.sha256[:12], home=home, folder=folder)
    return PackagedModel(
        report=report,
        archive=archive,
        onnx=objects.put(made.network, f"packages/{made.sha256}.onnx"),
        weights=made.weights,
        metrics=made.judged.metrics,
        interval_95=made.judged.intervals,
        bento_tag=tag,
        size_bytes=archive.size_bytes,
        latency_ms=made.latency_ms,
        footprint=made.footprint,
    )
