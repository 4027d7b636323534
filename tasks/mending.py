"""Tell the living runs from the dead: every run of ours sends heartbeats for as long as its process lives."""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.runtime import flow_run
from prefect.states import Crashed

from tasks.caching import step
from tasks.showing import log

TAG = "loopline"  # of each of our deployments and of their runs
HEARTBEAT = "prefect.flow-run.heartbeat"
SILENCE_SECONDS = 150  # five heartbeats; a machine that is short of memory may miss some
MOST_RUNS = 200  # at once; the rest is for the next time


@step()
def end_dead_runs(silence_seconds: int) -> int:
    """Call runs crashed that have run for so long without a heartbeat in that time; return how many there were."""
    since = datetime.now(UTC) - timedelta(seconds=silence_seconds)
    ours = FlowRunFilterTags(all_=[TAG])
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=_type(StateType.RUNNING), tags=ours), limit=MOST_RUNS
        )
        dead = [run for run in found if str(run.id) != str(flow_run.id) and not _lives(client, run, since=since)]
        for run in dead:
            client.set_flow_run_state(run.id, Crashed(message=f"no heartbeat for {silence_seconds} s"), force=True)
            log().warning("mend_runs: %s was called crashed: it ran, and gave no sign of life", run.name)
        _end_parts(client, ours)
    return len(dead)


def _end_parts(client: SyncPrefectClient, ours: FlowRunFilterTags) -> None:
    """Call the flows crashed, too, that crashed runs had called in their own process; a pool's machine works on."""
    crashed = FlowRunFilter(state=_type(StateType.CRASHED), tags=ours)
    newest = client.read_flow_runs(flow_run_filter=crashed, sort=FlowRunSort.START_TIME_DESC, limit=MOST_RUNS)
    if not newest:
        return
    parents = FlowRunFilterParentFlowRunId(any_=[run.id for run in newest])
    parts = FlowRunFilter(state=_type(StateType.RUNNING), parent_flow_run_id=parents)
    for part in client.read_flow_runs(flow_run_filter=parts, limit=MOST_RUNS):
        if part.deployment_id is None:
            client.set_flow_run_state(part.id, Crashed(message="the run that called it crashed"), force=True)


def _type(state: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=[state]))


def _lives(client: SyncPrefectClient, run: FlowRun, *, since: datetime) -> bool:
    if run.state is None or run.state.timestamp > since:
        return True
    beats = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        occurred=EventOccurredFilter(since=since),
    )
    return bool(client.read_events(filter=beats, limit=1).events)
