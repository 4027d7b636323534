"""Show a person what came of a run: the report page, its pictures on the flow run, and the tracker."""

import json
from base64 import b64encode

from loopline.contracts import Artifact, PackagedModel, Verdict
from loopline.packaging import lineage
from loopline.pages import gather_page, write_page
from loopline.problems import load_problem
from loopline.report import WORST_COUNT, Page, pictures
from loopline.runs import keep_logs
from loopline.settings import Settings
from tasks.caching import step
from tasks.places import cache, store, workspace
from tasks.showing import link, table


@step(
    sources=(
        "loopline/pages.py",
        "loopline/report.py",
        "loopline/report.html.j2",
        "loopline/report_style.j2",
        "loopline/report_macros.j2",
        "loopline/report_judgement.j2",
        "loopline/report_lines.j2",
        "loopline/report_making.j2",
        "loopline/curves.py",
        "loopline/painting.py",
        "loopline/templates.py",
        "loopline/thumbnails.py",
        "loopline/study_plots.py",
        "loopline/scales.py",
        "loopline/provenance.py",
        "loopline/mistakes.py",
        "loopline/measures.py",
        "loopline/dataset.py",
    )
)
def report(packaged: PackagedModel, verdict: Verdict) -> Artifact:
    """Write the report page, put its main pictures on the flow run, and tell the tracker."""
    objects, problem = store(), load_problem(packaged.report.model.dataset.problem)
    page = gather_page(objects, problem, packaged=packaged, verdict=verdict, cache=cache())
    written = write_page(objects, page)
    table(_gallery(page), key="pictures", description="Curves, calibration, search")
    link(objects.url(written.uri), key="report", text="Report page")
    _track(page, objects.read_artifact(written))
    return written


def _gallery(page: Page) -> str:
    return "\n\n".join(
        f"**{drawing.title}** {drawing.caption}\n\n"
        f"![{drawing.title}](data:image/svg+xml;base64,{b64encode(drawing.picture.encode()).decode()})"
        for drawing in pictures(page).values()
    )


def _track(page: Page, html: bytes) -> None:
    """Continue the run's record with its judgement: figures, page, lineage, the worst lines."""
    from loopline.tracking import track

    settings, judged = Settings(), page.packaged.report
    run = judged.model.run.rsplit("/", 1)[-1]
    with workspace() as folder:
        with track(
            settings.comet,
            home=settings.folder,
            run=run,
            kind="evaluation",
            name=f"judged on {judged.model.dataset.name}",
            folder=folder,
            params={"decoding": judged.decoding.name, "champion": judged.champion.version if judged.champion else ""},
        ) as tracking:
            tracking.metrics(judged.metrics | judged.figures | {"latency_ms": page.packaged.latency_ms}, step=0)
            tracking.fact("verdict", "ready" if page.verdict.passed else "held back")
            tracking.asset("report.html", html)
            tracking.asset("lineage.json", json.dumps(lineage(page.packaged), ensure_ascii=False).encode())
            for number, line in enumerate(page.lines[:WORST_COUNT], start=1):
                tracking.image(f"worst-{number}: {line.truth} read as {line.text}.png", line.image_png)
        keep_logs(store(), folder, prefix=judged.model.run)
