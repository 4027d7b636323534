"""Give a model its version, and tell the world."""

from uuid import NAMESPACE_URL, uuid5

from prefect.events import emit_event
from prefect.logging import get_run_logger

from loopline.contracts import Artifact, HeldBack, ModelReady, PackagedModel, Verdict
from tasks.caching import step
from tasks.places import registry, store, workspace


@step(sources=("loopline/registry.py",))
def announce(packaged: PackagedModel, verdict: Verdict, page: Artifact) -> ModelReady | HeldBack:
    """Register the package under the next version, as champion if it passed, and emit loopline.model.ready for it.

    The registry knows each package once, and the event's id follows from the package: repeated, nothing happens twice.
    """
    kind = ModelReady if verdict.passed else HeldBack
    problem = packaged.report.model.dataset.problem
    draft = kind(problem=problem, version="", packaged=packaged, verdict=verdict, page=page)
    with workspace() as folder:
        archive = store().fetch(packaged.archive, folder / "package.zip")
        judged = registry().commit_model(draft, archive)
    get_run_logger().info("announce: %s %s is %s", judged.problem, judged.version, judged.outcome)
    if isinstance(judged, ModelReady):
        emit_event(
            "loopline.model.ready",
            resource={
                "prefect.resource.id": f"loopline.model.{judged.problem}",
                "prefect.resource.name": judged.version,
            },
            payload=_payload(judged),
            id=uuid5(NAMESPACE_URL, f"loopline.model.ready/{judged.packaged.archive.sha256}"),
        )
    return judged


def _payload(judged: ModelReady) -> dict[str, object]:
    report = judged.packaged.report
    return {
        "problem": judged.problem,
        "version": judged.version,
        "package_uri": store().url(judged.packaged.archive.uri),
        "package_sha256": judged.packaged.archive.sha256,
        "dataset_version": report.model.dataset.name,
        "metrics": report.metrics,
        "verdict": judged.verdict.model_dump(mode="json"),
    }
