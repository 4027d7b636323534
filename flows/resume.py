"""Take up a run that failed: what `loopline resume` starts. Takes its id or name; prints what is to be done as JSON.

A run of a deployment is scheduled again, under its id, and any worker takes it up. A run of a terminal has no worker:
its flow and what was asked of it are printed, to be run anew. What finished is found in the cache in either case.
"""

import sys
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled

from flows.answering import answer
from loopline.errors import ConfigError


def resume() -> dict[str, object]:
    """Look for the run; return what was scheduled, or what is to be run anew."""
    with get_client(sync_client=True) as client:
        return _resumed(client, _find(client, sys.argv[1]))


def _find(client: SyncPrefectClient, named: str) -> FlowRun:
    try:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(named)]))
    except ValueError:
        wanted = FlowRunFilter(name=FlowRunFilterName(any_=[named]))
    runs = client.read_flow_runs(flow_run_filter=wanted, limit=2)
    if len(runs) != 1:
        raise ConfigError(
            f"{'no run is' if not runs else 'several runs are'} called {named}; take the id from its page"
        )
    return runs[0]


def _resumed(client: SyncPrefectClient, run: FlowRun) -> dict[str, object]:
    if run.parent_task_run_id:
        raise ConfigError(f"{run.name} is a part of another run; resume that one")
    if run.state is None or not run.state.is_final() or run.state.is_completed():
        state = run.state.name if run.state else "without a state"
        raise ConfigError(f"{run.name} is {state}; only what failed, crashed or was cancelled can be resumed")
    if run.deployment_id:
        client.set_flow_run_state(run.id, Scheduled(), force=True)
        return {"scheduled": run.name}
    return {"flow": client.read_flow(run.flow_id).name.replace("-", "_"), "parameters": run.parameters}


if __name__ == "__main__":
    sys.exit(answer(resume))
