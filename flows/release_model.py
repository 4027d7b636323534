"""A model that is ready goes to where it is used: tried there first, and taken back if it is worse."""

from prefect import flow

from loopline.orders import ReleasePlan
from loopline.release_contracts import Released, RolledBack, Unchanged
from tasks.caching import RESULTS
from tasks.release import answer_a_share, conclude, confirm, read_known_lines, stand_up


@flow(persist_result=True, result_storage=RESULTS, result_serializer="json")
def release_model(plan: ReleasePlan) -> Released | RolledBack | Unchanged:
    """The champion answers at a target: tried on known lines and a share of the traffic, then for all or for none."""
    candidate = confirm(plan)
    if isinstance(candidate, Unchanged):
        return candidate
    trial = stand_up(candidate)
    trial = read_known_lines(candidate, plan, trial)
    trial = answer_a_share(candidate, plan, trial)
    return conclude(candidate, trial)
