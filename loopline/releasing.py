"""How a model is tried before it answers everybody: lines whose answers are known, then a share of the live pictures.

Whether it loses lines that the one in service reads is judged by McNemar's exact test (McNemar 1947, Psychometrika 12):
of the lines that only one of them reads right, as many should fall to each.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from loopline.client import Client
from loopline.clients.store import Store
from loopline.contracts import Metrics, ModelReady
from loopline.errors import ConfigError, FinalError, LooplineError
from loopline.event_contracts import ModelReleased, ModelRolledBack
from loopline.events import Fact, fact
from loopline.laptop_target import LaptopTarget
from loopline.ledger import RegisteredModel
from loopline.manifest import read_manifest
from loopline.nuclio_target import NuclioTarget
from loopline.orders import ReleasePlan
from loopline.registry import Registry
from loopline.release_contracts import Candidate, Released, RolledBack, Trial
from loopline.routes import Pair
from loopline.settings import Settings

SURE = 0.01  # p-value under which lost lines are no chance
WARM_LINES = 3  # read first, and not counted
SLOWER, SLOWER_SECONDS = 2.0, 0.05  # times the other's p95, and so much more, is slow
LESS_SURE = 0.2  # of confidence from 0 to 1, on the same pictures
MOST_FAILED = 0.02  # share of live pictures that the candidate alone fails on; one may be chance
FEW = 10  # live pictures that are too few to compare
POLL_SECONDS = 0.5
OVERTIME_SECONDS = 60  # after which a trial whose release was killed is over


Place = LaptopTarget | NuclioTarget


def target(settings: Settings, name: str) -> Place:
    """Return a place where models answer, by its name; ConfigError for an unknown one."""
    known: dict[str, Callable[[Settings], Place]] = {LaptopTarget.name: LaptopTarget, NuclioTarget.name: NuclioTarget}
    if name not in known:
        raise ConfigError(f"no target is called {name!r}; choose from: {', '.join(known)}")
    return known[name](settings)


def stand_up(place: Place, candidate: Candidate) -> Trial:
    """Start the candidate beside what answers."""
    try:
        place.deploy(candidate.judged.packaged)
    except ConfigError:  # the place's own fault
        raise
    except FinalError as error:
        return Trial(reasons=(f"it did not start: {str(error).partition(';')[0]}",))
    return Trial()


@dataclass(frozen=True)
class _Read:
    """Which known lines were read right, and how long each took; a line that got no answer is not right."""

    right: Sequence[bool]
    seconds: Sequence[float]
    failures: Sequence[str]

    @property
    def p95(self) -> float:
        return float(np.quantile(self.seconds, 0.95)) if self.seconds else 0.0


def read_known_lines(store: Store, place: Place, candidate: Candidate, plan: ReleasePlan) -> Trial:
    """Have test lines read by the candidate and by what answers now, over HTTP as anyone's are, and compare."""
    judged = read_manifest(store, candidate.judged.packaged.report.worst).to_pylist()
    lines = sorted(judged, key=lambda line: line["image_sha256"])[: plan.known_lines]
    pictures = [store.read(f"blobs/{line['image_sha256']}") for line in lines]
    truths = [line["truth"] for line in lines]
    promised = _Read([line["text"] == line["truth"] for line in lines], [], [])
    with place.client(candidate=True) as client:
        found = _read(client, pictures, truths)
    figures: Metrics = {"known_lines": len(lines), "right": sum(found.right), "promised_right": sum(promised.right)}
    figures |= {"p95_ms": 1000 * found.p95}
    reasons = _failures(found) + _lost(found, promised, plan, where="where it was judged")
    if candidate.previous and candidate.previous != candidate.judged.version:
        with place.client(candidate=False) as client:
            now = _read(client, pictures, truths)
        figures |= {"previous_right": sum(now.right), "previous_p95_ms": 1000 * now.p95}
        reasons += _lost(found, now, plan, where=f"by {candidate.previous}")
        reasons += _slow(found.p95, now.p95)
    return Trial(figures=figures, reasons=tuple(reasons))


def answer_a_share(place: Place, plan: ReleasePlan, *, tell: Callable[[str], object] = lambda _: None) -> Trial:
    """Give the candidate its share of the live pictures until enough were compared, or the time is over."""
    if not isinstance(place, LaptopTarget):
        tell(
            f"at {place.name} nobody holds answers to live pictures against each other, so that the known lines decide"
        )
        return Trial()
    place.split(plan.share, shadow=plan.shadow, seconds=plan.trial_seconds + OVERTIME_SECONDS)
    deadline = time.monotonic() + plan.trial_seconds
    while True:
        pairs = place.pairs()
        trial = compare(pairs, plan)
        if trial.reasons or len(pairs) >= plan.least_answers or time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    if len(pairs) < plan.least_answers:
        tell(f"{len(pairs)} live pictures came in {plan.trial_seconds:g} s, so that the known lines decide")
    return trial


def compare(pairs: Sequence[Pair], plan: ReleasePlan) -> Trial:
    """Hold the candidate's answers to live pictures against those of what is in service."""
    alone = [pair for pair in pairs if pair.trial.failed and not pair.live.failed]
    trial = Trial(figures={"live_pictures": len(pairs), "live_failures": len(alone)})
    if len(alone) > max(1, MOST_FAILED * len(pairs)):
        reason = f"it failed on {len(alone)} of {len(pairs)} live pictures, and the one in service did not"
        trial += Trial(reasons=(reason,))
    both = [pair for pair in pairs if pair.agree is not None]
    return trial + _compare_read(both, plan) if len(both) >= min(FEW, plan.least_answers) else trial


def _compare_read(both: Sequence[Pair], plan: ReleasePlan) -> Trial:
    agreement = float(np.mean([pair.agree for pair in both]))
    sides = [pair.trial for pair in both], [pair.live for pair in both]
    p95, before_p95 = (float(np.quantile([one.seconds for one in side], 0.95)) for side in sides)
    sure, before_sure = (float(np.mean([one.confidence or 0.0 for one in side])) for side in sides)
    figures = {"agreement": agreement, "live_p95_ms": 1000 * p95, "live_confidence": sure}
    figures |= {"previous_live_p95_ms": 1000 * before_p95, "previous_live_confidence": before_sure}
    reasons = _slow(p95, before_p95)
    if agreement < plan.least_agreement and sure <= before_sure:  # a much better model reads otherwise, and is surer
        share = f"{plan.least_agreement:.0%} are asked for"
        reasons.append(f"both read {agreement:.0%} of {len(both)} live pictures alike, {share}")
    if sure < before_sure - LESS_SURE:
        reasons.append(f"its confidence on live pictures is {sure:.2f}, that of the one in service {before_sure:.2f}")
    return Trial(figures=figures, reasons=tuple(reasons))


def conclude(registry: Registry, place: Place, candidate: Candidate, trial: Trial) -> Released | RolledBack:
    """Let the candidate answer everybody, or nobody, and note it in the registry; repeated, nothing happens twice."""
    judged, previous = candidate.judged, candidate.previous
    named = {"problem": judged.problem, "version": judged.version, "target": candidate.target}
    if trial.reasons:
        place.withdraw()
        registry.withdraw(judged.problem, judged.version, target=candidate.target, restored=previous)
        return RolledBack(**named, restored=previous, reasons=trial.reasons, figures=trial.figures)
    place.promote(judged.packaged)
    noted = registry.release(judged.problem, judged.version, target=candidate.target)
    before = noted if previous == judged.version else previous  # it answered already if an earlier run was killed
    return Released(**named, previous=before if before != judged.version else None, figures=trial.figures)


def roll_back(models: Sequence[RegisteredModel], place: Place) -> tuple[ModelReady, str]:
    """Let what answered before answer again, at once; return the model that no longer does, and the version that does.

    Where that was done and the registry was not told, nothing is done but to return the same again. ConfigError if
    nothing stands ready, or what does is in no registry.
    """
    tags = {one.judged.packaged.bento_tag: number for number, one in enumerate(models)}
    now, before = tags.get(place.standing() or "", -1), tags.get(place.ready() or "", len(models))
    noted = next((number for number, one in enumerate(models) if place.name in one.stages), -1)
    if before < now:
        place.roll_back()
    elif 0 <= now < noted:
        now, before = noted, now
    taken = models[now].judged if before < now else None
    if not isinstance(taken, ModelReady):
        raise ConfigError(f"no earlier version of the registry stands ready at {place.name}; release the one you want")
    return taken, models[before].judged.version


def told_of(judged: ModelReady, end: Released | RolledBack) -> Fact:
    """Return the fact that a model answers at a target, or does not."""
    sha256, resource = judged.packaged.archive.sha256, f"loopline.model.{judged.problem}"
    shared = {"problem": end.problem, "target": end.target, "version": end.version, "package_sha256": sha256}
    key = f"{end.target}/{sha256}"
    if isinstance(end, Released):
        released = ModelReleased.model_validate({**shared, "previous": end.previous, "figures": end.figures})
        return fact("loopline.model.released", released, key=key, resource=resource, name=judged.version)
    more = {"restored": end.restored, "reasons": end.reasons, "figures": end.figures}
    rolled_back = ModelRolledBack.model_validate({**shared, **more})
    return fact("loopline.model.rolled_back", rolled_back, key=key, resource=resource, name=judged.version)


def _read(client: Client, pictures: Sequence[bytes], truths: Sequence[str]) -> _Read:
    right, seconds, failures = list[bool](), list[float](), list[str]()
    for number, (picture, truth) in enumerate(
        zip([*pictures[:WARM_LINES], *pictures], [*truths[:WARM_LINES], *truths], strict=True)
    ):
        start, text = time.perf_counter(), None
        try:
            text = client.read(picture).text
        except LooplineError as error:
            if number >= WARM_LINES:
                failures.append(str(error).partition(";")[0])
        if number >= WARM_LINES:
            right.append(text == truth)
            seconds.append(time.perf_counter() - start)
    return _Read(right, seconds, failures)


def _failures(found: _Read) -> list[str]:
    if not found.failures:
        return []
    return [f"{len(found.failures)} of {len(found.right)} known lines got no answer, such as: {found.failures[0]}"]


def _lost(found: _Read, other: _Read, plan: ReleasePlan, *, where: str) -> list[str]:
    pairs = list(zip(found.right, other.right, strict=True))
    lost, won = sum(there and not here for here, there in pairs), sum(here and not there for here, there in pairs)
    if lost - won <= plan.most_lost * len(pairs) or binomtest(lost, lost + won, alternative="greater").pvalue >= SURE:
        return []
    right = f"it reads {sum(found.right)} of {len(pairs)} known lines right"
    return [f"{right}, and {sum(other.right)} were read right {where}"]


def _slow(p95: float, other: float) -> list[str]:
    if p95 <= SLOWER * other + SLOWER_SECONDS:
        return []
    return [f"it answers within {1000 * p95:.0f} ms (p95), the one in service within {1000 * other:.0f} ms"]
