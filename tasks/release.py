"""The steps of a release: each can be repeated, and none believes what an event says."""

from loopline import releasing
from loopline.errors import DataError
from loopline.orders import ReleasePlan
from loopline.release_contracts import Candidate, Released, RolledBack, Trial, Unchanged
from loopline.settings import Settings
from loopline.subscribing import confirmed
from tasks.caching import step
from tasks.places import registry, store
from tasks.showing import log
from tasks.telling import tell


@step()
def confirm(plan: ReleasePlan) -> Candidate | Unchanged:
    """Return the model that is to answer, as the registry knows it; Unchanged with the reason if there is none."""
    place = _place(plan.target)
    models = registry().models(plan.problem)
    try:
        judged = confirmed(models, plan.problem, version=plan.version, package_sha256=plan.package_sha256)
    except DataError as error:
        return _unchanged(plan, str(error))
    standing = place.standing()
    if standing and not standing.startswith(f"{plan.problem}:"):
        return _unchanged(plan, f"{plan.target} answers for {standing.partition(':')[0]}, and for one problem alone")
    previous = next((one.judged.version for one in models if one.judged.packaged.bento_tag == standing), None)
    noted = next((one.judged.version for one in models if plan.target in one.stages), None)
    if previous == noted == judged.version:
        return _unchanged(plan, f"{judged.version} answers there already")
    return Candidate(judged=judged, target=plan.target, previous=previous)


@step()
def stand_up(candidate: Candidate) -> Trial:
    """Start the candidate beside what answers."""
    return Trial() if _answers(candidate) else releasing.stand_up(_place(candidate.target), candidate)


@step()
def read_known_lines(candidate: Candidate, plan: ReleasePlan, trial: Trial) -> Trial:
    """Have it read lines whose answers are known."""
    if trial.reasons or _answers(candidate):
        return trial
    found = releasing.read_known_lines(store(), _place(candidate.target), candidate, plan)
    log().info("release: %s", found.figures)
    return trial + found


@step()
def answer_a_share(candidate: Candidate, plan: ReleasePlan, trial: Trial) -> Trial:
    """Have it answer a share of the live pictures, beside what answers now."""
    if trial.reasons or candidate.previous is None or _answers(candidate):
        return trial
    found = releasing.answer_a_share(_place(candidate.target), plan, tell=log().info)
    log().info("release: %s", found.figures)
    return trial + found


@step()
def conclude(candidate: Candidate, trial: Trial) -> Released | RolledBack:
    """Let it answer everybody, or nobody: there, in the registry, and to the world."""
    end = releasing.conclude(registry(), _place(candidate.target), candidate, trial)
    tell(store(), releasing.told_of(candidate.judged, end))
    log().info("release: %s %s %s", end.version, end.outcome, "; ".join(trial.reasons))
    return end


def _place(name: str) -> releasing.Place:
    return releasing.target(Settings(), name)


def _answers(candidate: Candidate) -> bool:
    """Tell whether an earlier run got so far that the candidate answers."""
    return candidate.previous == candidate.judged.version


def _unchanged(plan: ReleasePlan, reason: str) -> Unchanged:
    log().info("release: nothing to do: %s", reason)
    return Unchanged(problem=plan.problem, target=plan.target, reason=reason)
