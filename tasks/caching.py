"""When a step has to run again: never for the same content and the same code, and it says why when it does.

Prefect's own INPUTS + TASK_SOURCE sees only a task's own lines, which are few, and the whole of its inputs, addresses
and dates included. `ByContent` sees the inputs' digests and the syntax trees of the files that a step depends on.
"""

import ast
import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.filesystems import WritableFileSystem

from loopline import doctor
from loopline.contracts import Contract
from loopline.errors import DataError, UnreachableError
from loopline.manifest import compare_manifests
from loopline.settings import Settings
from tasks.places import store
from tasks.showing import log

P = ParamSpec("P")
R = TypeVar("R")
Leaves = dict[str, Any]  # "plan.recipe.epochs": 10

ROOT = Path(__file__).parent.parent
RESULTS = "store-results/loopline"  # block type slug and name
RETRY_SECONDS = [2, 10, 30]
MOST_REASONS = 3


class StoreResults(WritableFileSystem):
    """Prefect's results, in the store under results/. Holds no address and no key: they come from the settings."""

    _block_type_name = "Store results"
    _block_type_slug = "store-results"

    def read_path(self, path: str, **_: Any) -> bytes:  # type: ignore[override]
        """Read a result record; ValueError if there is none. Prefect passes how it would like to be called."""
        try:
            return store().read(f"results/{path}")
        except DataError as error:
            raise ValueError(str(error)) from None

    def write_path(self, path: str, content: bytes, **_: Any) -> None:  # type: ignore[override]
        """Write a result record."""
        store().write(f"results/{path}", content)


def forget_results(paths: list[str]) -> None:
    """Delete result records, so that their steps run again."""
    for path in paths:
        store().delete(f"results/{path}")


def keep_results_in_store() -> None:
    """Tell Prefect's server that results are kept in the store; every deployed run relies on it."""
    StoreResults().save(RESULTS.rsplit("/", 1)[-1], overwrite=True)


@dataclass
class ByContent(CachePolicy):
    """Identify a step's result by the digests of its inputs and the syntax trees of its sources."""

    sources: tuple[str, ...] = ()

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str:
        """Return the key under which results/ holds the result."""
        return self.key(task_ctx.task.name, inputs)

    def key(self, step: str, inputs: dict[str, Any]) -> str:
        """Name a step's result by what it follows from."""
        document = json.dumps({**_digests(inputs), **source_digests(self.sources, problem_of(inputs))}, sort_keys=True)
        return f"{step}-{hashlib.sha256(document.encode()).hexdigest()}"


def step(*, sources: tuple[str, ...] | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a function: an edge (never cached) without sources, a function of content with them.

    Sources are files or folders below the repository's root; the problem's folder always counts. What passes by itself
    is retried, what doesn't is not.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        # A problem's own files and the contracts decide every cached result.
        named = (
            None
            if sources is None
            else (*sources, "loopline/contracts.py", "loopline/orders.py", f"tasks/{_file(function)}")
        )
        make = task(
            name=function.__name__,
            cache_policy=NO_CACHE if named is None else ByContent(sources=named),
            persist_result=named is not None,
            result_storage=RESULTS if named is not None else None,
            result_serializer="json",
            retries=len(RETRY_SECONDS),
            retry_delay_seconds=RETRY_SECONDS,  # type: ignore[arg-type]
            retry_condition_fn=passes_by_itself,
        )
        return make(_naming_a_full_disk(function if named is None else _telling_why(function, named)))

    return decorate


def passes_by_itself(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a failure is worth a retry."""
    try:
        state.result()
    except UnreachableError:
        return True
    except Exception:
        return False
    return False


def problem_of(inputs: dict[str, Any]) -> str:
    """Find the problem that the inputs are about."""
    leaves = {name.rsplit(".", 1)[-1]: value for name, value in _leaves(inputs).items()}
    return str(leaves["problem"])


@lru_cache
def source_digests(sources: tuple[str, ...], problem: str) -> dict[str, str]:
    """Return a digest of each source file; of Python's, of the syntax tree, without comments and layout."""
    places = [ROOT / source for source in (*sources, f"loopline/problems/{problem}")]
    files = sorted(file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place]))
    return {str(file.relative_to(ROOT)): hashlib.sha256(_meaning(file).encode()).hexdigest() for file in files}


def _meaning(file: Path) -> str:
    return ast.dump(ast.parse(file.read_text())) if file.suffix == ".py" else file.read_text()


def _file(function: Callable[..., Any]) -> str:
    return Path(inspect.getfile(function)).name


def _naming_a_full_disk(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        with doctor.naming_a_full_disk(Settings()):
            return function(*args, **kwargs)

    return named


def _telling_why(function: Callable[P, R], sources: tuple[str, ...]) -> Callable[P, R]:
    """Log, when the step does run, what differs from its last run."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        inputs = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
        problem = problem_of(inputs)
        place = f"results/last/{problem}/{function.__name__}.json"
        now = _leaves(inputs) | source_digests(sources, problem)
        log().info("%s: %s", function.__name__, _why(place, now))
        result = function(*args, **kwargs)
        store().write(place, json.dumps(now, sort_keys=True).encode())
        return result

    return told


def _why(place: str, now: Leaves) -> str:
    if not store().exists(place):
        return "first run"
    before: Leaves = json.loads(store().read(place))
    changed = [name for name in now | before if now.get(name) != before.get(name) and not name.endswith("size_bytes")]
    reasons = [_reason(name, before.get(name), now.get(name)) for name in changed]
    if not reasons:
        return "no result of the same content is kept"
    more = f" and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
    return "; ".join(reasons[:MOST_REASONS]) + more


def _reason(name: str, before: Any, now: Any) -> str:
    if name == "labeled.manifest.sha256" and before and now:
        return compare_manifests(store(), before, now)
    if name.endswith(("sha256", ".py", ".j2")) or before is None or now is None:
        return f"{name.removesuffix('.sha256')} changed"
    return f"{name} changed from {before} to {now}"


def _digests(inputs: dict[str, Any]) -> Leaves:
    return {name: value.digest if isinstance(value, Contract) else value for name, value in inputs.items()}


def _leaves(value: Any, name: str = "") -> Leaves:
    """Flatten what counts in contracts and plain values into dotted names."""
    if isinstance(value, Contract):
        value = {field: getattr(value, field) for field in value.identity()}
    if isinstance(value, tuple):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {name: value}
    return {
        leaf: found
        for key, item in value.items()
        for leaf, found in _leaves(item, f"{name}.{key}" if name else str(key)).items()
    }
