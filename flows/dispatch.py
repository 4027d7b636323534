"""Where a flow runs: in this process, or as a deployment on the pool that has what it needs."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, get_type_hints

from prefect import Flow
from prefect.deployments import run_deployment
from prefect.logging import get_run_logger
from pydantic import TypeAdapter

from loopline.errors import ConfigError
from loopline.settings import Settings

ATTEMPTS = 4  # of a run whose machine is taken away; each goes on from the last checkpoint

P = ParamSpec("P")
R = TypeVar("R")


def on(machine: str, flow: Flow[P, R]) -> Callable[P, R]:
    """Return the flow to call in this process, or a call of its deployment where the settings name one.

    fit-model/gpu stands for the deployment `gpu` of any flow. Both return the flow's own type, and raise what the flow
    raised. A deployment's run that crashes, as one on a spot machine may, is asked for again.
    """
    deployments = {"gpu": Settings().prefect.gpu_deployment}
    if machine not in deployments:
        raise ConfigError(f"no kind of machine is called {machine!r}; choose from: {', '.join(deployments)}")
    name = deployments[machine]
    call = flow if name is None else _deployed(f"{flow.name}/{name.rpartition('/')[-1]}", flow)
    returned: TypeAdapter[R] = TypeAdapter(get_type_hints(flow.fn)["return"])
    # What comes from a deployment, or from a run that is taken up after this part of it was complete, is plain JSON.
    return lambda *args, **kwargs: returned.validate_python(call(*args, **kwargs))


def _deployed(name: str, flow: Flow[P, R]) -> Callable[P, Any]:
    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        parameters: dict[str, Any] = flow.serialize_parameters(dict(kwargs))
        for attempt in range(ATTEMPTS):
            run: Any = run_deployment(name, parameters=parameters, as_subflow=True)
            if not run.state.is_crashed():
                break
            get_run_logger().warning("%s crashed (attempt %d of %d)", name, attempt + 1, ATTEMPTS)
        return run.state.result()

    return call
