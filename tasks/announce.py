"""Give a model its version, and tell the world."""

from loopline.contracts import Artifact, HeldBack, ModelReady, PackagedModel, Verdict
from tasks.caching import step
from tasks.places import registry, store, workspace
from tasks.showing import log
from tasks.telling import announcement, tell


@step(sources=("loopline/registry.py",))
def announce(packaged: PackagedModel, verdict: Verdict, page: Artifact) -> ModelReady | HeldBack:
    """Register the package under the next version, as champion if it passed, and tell that it is ready or held back.

    The registry knows each package once, and so does the outbox of events: repeated, nothing happens twice.
    """
    kind = ModelReady if verdict.passed else HeldBack
    problem = packaged.report.model.dataset.problem
    draft = kind(problem=problem, version="", packaged=packaged, verdict=verdict, page=page)
    objects = store()
    with workspace() as folder:
        archive = objects.fetch(packaged.archive, folder / "package.zip")
        judged = registry().commit_model(draft, archive)
    log().info("announce: %s %s is %s", judged.problem, judged.version, judged.outcome)
    tell(objects, announcement(objects, judged))
    return judged
