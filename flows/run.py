"""Run a flow once, in this process: what `loopline run`, `release`, `watch`, `labels collect` and `labels check` start.

Takes the flow's name, and a file for the outcome as JSON, as arguments; what is asked of the flow, as JSON, on standard
input. A process of its own, because Prefect reads its settings when it is imported and loopline/ never imports it.
"""

import importlib
import inspect
import logging
import sys
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.logging.configuration import setup_logging
from pydantic import ValidationError

from flows.answering import say
from loopline import doctor
from loopline.contracts import Contract, HeldBack
from loopline.errors import ConfigError, LooplineError, wrong_values
from loopline.orders import CheckPlan, LabelPlan, Order, ReleasePlan, WatchPlan
from loopline.settings import Settings
from tasks.caching import keep_results_in_store
from tasks.mending import TAG

ASKED: dict[str, type[Contract]] = {  # what each flow is asked; it is in a file of its own name
    "build_model": Order,
    "collect_labels": LabelPlan,
    "check_labels": CheckPlan,
    "release_model": ReleasePlan,
    "watch_model": WatchPlan,
}
READY, HELD_BACK = 0, 3  # exit codes that come with an outcome


def main() -> int:
    """Run what is asked for; return the exit code."""
    name, outcome = sys.argv[1:]
    setup_logging()
    logging.getLogger("loopline").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_foreseen_traceback)
    try:
        asked = ASKED[name].model_validate_json(sys.stdin.read())
        flow = getattr(importlib.import_module(f"flows.{name}"), name)  # the others' imports take half a second
        keep_results_in_store()
        with doctor.naming_a_full_disk(Settings()):
            found = _run(flow, asked)
    except ValidationError as error:
        return say(ConfigError(f"the order does not hold: {wrong_values(error)}"))
    except LooplineError as error:
        return say(error)
    Path(outcome).write_text(found.model_dump_json())
    return HELD_BACK if isinstance(found, HeldBack) else READY


def _run(flow: Flow[..., Any], asked: Contract) -> Any:
    """Run a flow under our tag; its steps go without, as Prefect asks its server for a slot of each tag of a step."""
    parameters = dict.fromkeys(inspect.signature(flow.fn).parameters, asked)  # there is one
    with get_client(sync_client=True) as client:
        created = client.create_flow_run(flow, parameters=parameters, tags=[TAG])
    return run_flow(flow, flow_run=created, parameters=parameters)


def _without_foreseen_traceback(record: logging.LogRecord) -> bool:
    """A failure that Loopline foresaw says what to do in its sentence; its traceback would only hide it."""
    if record.exc_info and isinstance(record.exc_info[1], LooplineError):
        record.exc_info = record.exc_text = None
    return True


if __name__ == "__main__":
    sys.exit(main())
