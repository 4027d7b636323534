"""Take up a run that failed: what `loopline resume` starts. Prints what is to be done as JSON.

Takes the run's id or name, and the step from which on it is to be repeated, if what finished is not to be believed.

A run of a deployment is scheduled again, under its id, and any worker takes it up. A run of a terminal has no worker:
its flow and what was asked of it are printed, to be run anew. What finished is found in the cache in either case.
"""

import sys
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterParentTaskRunId,
)
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.states import Pending, Scheduled

from flows.answering import answer
from loopline.errors import ConfigError
from tasks.caching import forget_results


def resume() -> dict[str, object]:
    """Look for the run; return what was scheduled, or what is to be run anew."""
    with get_client(sync_client=True) as client:
        return _resumed(client, _find(client, sys.argv[1]), step=sys.argv[2] if sys.argv[2:] else None)


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


def _resumed(client: SyncPrefectClient, run: FlowRun, *, step: str | None) -> dict[str, object]:
    if run.parent_task_run_id:
        raise ConfigError(f"{run.name} is a part of another run; resume that one")
    if run.state is None or not run.state.is_final() or (run.state.is_completed() and step is None):
        state = run.state.name if run.state else "without a state"
        raise ConfigError(f"{run.name} is {state}; only what failed, crashed or was cancelled can be resumed")
    if step:
        _forget_from(client, run, step)
    if run.deployment_id:
        client.set_flow_run_state(run.id, Scheduled(), force=True)
        return {"scheduled": run.name}
    return {"flow": client.read_flow(run.flow_id).name.replace("-", "_"), "parameters": run.parameters}


def _steps(client: SyncPrefectClient, run: FlowRun) -> list[TaskRun]:
    """Return the steps of a run and of the flows it called, in the order in which they began."""
    found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    calls = FlowRunFilterParentTaskRunId(any_=[one.id for one in found])
    for called in client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_task_run_id=calls)):
        found += _steps(client, called)
    return sorted((one for one in found if one.start_time), key=lambda one: str(one.start_time))


def _forget_from(client: SyncPrefectClient, run: FlowRun, name: str) -> None:
    """Forget the results of a step and of all after it; ConfigError for a step that never ran."""
    steps = _steps(client, run)
    names = [step.name.rpartition("-")[0] for step in steps]
    if name not in names:
        raise ConfigError(f"no step {name} was begun there; choose from: {', '.join(dict.fromkeys(names))}")
    repeated = steps[names.index(name) :]
    kept = [getattr(step.state.data, "storage_key", None) for step in repeated if step.state]
    forget_results([key for key in kept if key])  # an edge keeps none
    for part in {step.flow_run_id for step in repeated if step.flow_run_id} - {run.id}:
        client.set_flow_run_state(part, Pending(message=f"to be repeated from {name} on"), force=True)


if __name__ == "__main__":
    sys.exit(answer(resume))
