"""Runs of a schedule that piled up while no server or worker was up: the first to begin stands for all of them."""

from datetime import UTC, datetime
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled

MOST_RUNS = 200  # at once; the next run takes the rest


def drop_overdue(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the scheduled runs that are due and would look at the same world; what people and events asked for stays.

    A hook for `on_running`. A run that waits for its slot is scheduled, too.
    """
    if flow_run.deployment_id is None:
        return
    due = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[flow_run.deployment_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    said: State[Any] = Cancelled(message=f"{flow_run.name} has begun since, and does the same")
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=due, limit=MOST_RUNS):
            if run.auto_scheduled and run.id != flow_run.id and run.parameters == flow_run.parameters:
                client.set_flow_run_state(run.id, said, force=True)
