"""Where the parts of a large step are worked on: in its own process, or mapped over a Dask cluster, by a setting.

Each part is a task of its own, submitted from within the step through Prefect's Dask task runner. So a cluster is asked
for, or started, only while a step has parts for it.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar

from prefect import Task
from prefect.events.worker import EventsWorker
from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogWorker

from loopline.contracts import Contract
from loopline.errors import ConfigError, UnreachableError
from loopline.settings import Settings

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner

R = TypeVar("R")

AHEAD = 256  # parts under way at once: as many workers stay busy, and what is lent to them is read soon
LOCAL = "local:"
HERE = "127.0.0.1:0"  # any free port


@contextmanager
def spread(work: Task[..., R]) -> Iterator[Callable[[Iterable[Contract]], Iterator[R]] | None]:
    """Lend a `map` of the task over the cluster that the settings name; None where they name none.

    What a part raised is raised. UnreachableError if the cluster lost a part, ConfigError if it can't take one.
    """
    place = Settings().scale.dask
    if place is None:
        yield None
        return
    runner = _runner(place)
    with ExitStack() as cluster:  # left with the last part, or with the first failure
        yield partial(_mapped, cluster, runner, work, place=place)


def _runner(place: str) -> "DaskTaskRunner":
    try:
        import dask
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise ConfigError(
            f"LOOPLINE_SCALE__DASK is {place}, and {error.name} is not installed; "
            "pip install 'loopline[dask]', or unset it"
        ) from None
    logging.getLogger("distributed").setLevel(logging.WARNING)
    if not place.startswith(LOCAL):
        return DaskTaskRunner(address=place)
    # One thread each: decoding holds Python's lock, and a part reads with many threads by itself.
    one_each = {"n_workers": int(place.removeprefix(LOCAL)), "threads_per_worker": 1, "processes": True}
    dask.config.set({"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "warning"})
    return DaskTaskRunner(cluster_kwargs={**one_each, "dashboard_address": HERE})


def _mapped(
    cluster: ExitStack, runner: "DaskTaskRunner", work: Task[..., R], parts: Iterable[Contract], *, place: str
) -> Iterator[R]:
    (name,) = signature(work.fn).parameters
    waiting: deque[PrefectFuture[R]] = deque()
    cluster.enter_context(runner)
    for part in parts:
        waiting.append(_answered(partial(runner.submit, work, {name: part}), place=place))
        if len(waiting) == AHEAD:
            yield _outcome(waiting.popleft(), place=place)
    if waiting and place.startswith(LOCAL):
        cluster.callback(runner.client.run, _tell)
    while waiting:
        yield _outcome(waiting.popleft(), place=place)
    cluster.close()


async def _tell() -> None:
    """Send Prefect's server what became of tasks, and what they logged, before the process is ended."""
    for worker in (EventsWorker, APILogWorker):
        said = worker.drain_all(at_exit=False)
        if not isinstance(said, tuple):
            await said


def _outcome(future: Any, *, place: str) -> Any:
    # What the cluster itself fails in is raised by Dask's future; what the part raised is in the state that it brings.
    return _answered(future.wrapped_future.result, place=place).result()


def _answered(ask: Callable[[], R], *, place: str) -> R:
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    try:
        return ask()
    except (CancelledError, CommClosedError, KilledWorker, OSError, TimeoutError) as error:
        raise UnreachableError(
            f"the Dask cluster {place} did not answer, or lost its workers ({error}); check that it runs, and its log"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"the Dask cluster {place} can't take the work ({type(error).__name__}: {error}); "
            "its workers need this version of Loopline, and this run's settings"
        ) from error
