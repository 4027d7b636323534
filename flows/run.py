"""Run a flow once, in this process: what `loopline run`, `release`, `watch`, `labels collect` and `labels check` start.

Takes the flow's name, and a file for the outcome as JSON, as arguments; what is asked of the flow, as JSON, on standard
input. A process of its own, because Prefect reads its settings when it is imported and loopline/ never imports it.
"""

import logging
import sys
from pathlib import Path

from prefect import tags
from prefect.logging.configuration import setup_logging
from pydantic import ValidationError

from flows.answering import say
from flows.build_model import build_model
from flows.check_labels import check_labels
from flows.collect_labels import collect_labels
from flows.release_model import release_model
from flows.watch_model import watch_model
from loopline import doctor
from loopline.contracts import Contract, HeldBack
from loopline.errors import ConfigError, LooplineError, wrong_values
from loopline.orders import CheckPlan, LabelPlan, Order, ReleasePlan, WatchPlan
from loopline.settings import Settings
from tasks.caching import keep_results_in_store
from tasks.mending import TAG

READY, HELD_BACK = 0, 3  # exit codes that come with an outcome


def main() -> int:
    """Run what is asked for; return the exit code."""
    name, outcome = sys.argv[1:]
    setup_logging()
    logging.getLogger("loopline").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_foreseen_traceback)
    try:
        run = {
            "build_model": _build,
            "collect_labels": _collect,
            "check_labels": _check,
            "release_model": _release,
            "watch_model": _watch,
        }[name]
        keep_results_in_store()
        with tags(TAG), doctor.naming_a_full_disk(Settings()):
            found = run(sys.stdin.read())
    except ValidationError as error:
        return say(ConfigError(f"the order does not hold: {wrong_values(error)}"))
    except LooplineError as error:
        return say(error)
    Path(outcome).write_text(found.model_dump_json())
    return HELD_BACK if isinstance(found, HeldBack) else READY


def _build(order: str) -> Contract:
    return build_model(Order.model_validate_json(order))


def _collect(plan: str) -> Contract:
    return collect_labels(LabelPlan.model_validate_json(plan))


def _check(plan: str) -> Contract:
    return check_labels(CheckPlan.model_validate_json(plan))


def _release(plan: str) -> Contract:
    return release_model(ReleasePlan.model_validate_json(plan))


def _watch(plan: str) -> Contract:
    return watch_model(WatchPlan.model_validate_json(plan))


def _without_foreseen_traceback(record: logging.LogRecord) -> bool:
    """A failure that Loopline foresaw says what to do in its sentence; its traceback would only hide it."""
    if record.exc_info and isinstance(record.exc_info[1], LooplineError):
        record.exc_info = record.exc_text = None
    return True


if __name__ == "__main__":
    sys.exit(main())
