"""Offer images to people."""

from loopline.capture_contracts import Captures
from loopline.captured_images import read_chosen
from loopline.contracts import Offer, RawDataset
from loopline.evaluation import open_champion, opponent_of
from loopline.guessing import Guesser
from loopline.manifest import read_manifest
from loopline.offering import offer as offer_images
from loopline.orders import LabelPlan
from loopline.problems import load_problem
from loopline.settings import Settings
from tasks.caching import step
from tasks.places import label_studio, registry, store


@step()
def offer(raw: RawDataset, plan: LabelPlan, captures: Captures | None = None) -> Offer:
    """Make the images without a label tasks of the plan's project, the most useful first, each with a guess."""
    objects, problem, settings = store(), load_problem(raw.problem), Settings()
    champion = registry().champion(problem.name)
    datasets = registry().datasets(problem.name)
    labelled = read_manifest(objects, datasets[-1].manifest).to_pylist() if datasets else []
    guesser = None
    if champion:
        opponent = opponent_of(champion.judged)
        predictor = open_champion(objects, opponent, problem=problem)
        guesser = Guesser(objects, problem, version=opponent.version, predictor=predictor)
    return offer_images(
        objects,
        label_studio(),
        raw=raw,
        plan=plan,
        problem=problem,
        guesser=guesser,
        labelled=[row["image_sha256"] for row in labelled if not row["rejected"]],
        shown_from=settings.shown_store(),
        captured=read_chosen(objects, captures) if captures else (),
    )
