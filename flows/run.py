"""Run build_model once, in this process: what `loopline run` starts.

Takes an Order as JSON on standard input and writes the outcome, as JSON, to the file named by its only argument. A
process of its own, because Prefect reads its settings when it is imported and loopline/ never imports it.
"""

import logging
import sys
from pathlib import Path

from prefect.logging.configuration import setup_logging
from pydantic import ValidationError

from flows.build_model import build_model
from loopline.contracts import ModelReady
from loopline.errors import ConfigError, LooplineError, wrong_values
from loopline.orders import Order
from tasks.caching import keep_results_in_store

READY, FAILED, MISTAKEN, HELD_BACK = 0, 1, 2, 3  # exit codes


def main() -> int:
    """Run the order; return the exit code."""
    setup_logging()
    logging.getLogger("loopline").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_foreseen_traceback)
    try:
        order = Order.model_validate_json(sys.stdin.read())
        keep_results_in_store()
        judged = build_model(order)
    except ValidationError as error:
        return _say(f"the order does not hold: {wrong_values(error)}", MISTAKEN)
    except LooplineError as error:
        return _say(str(error), MISTAKEN if isinstance(error, ConfigError) else FAILED)
    Path(sys.argv[1]).write_text(judged.model_dump_json())
    return READY if isinstance(judged, ModelReady) else HELD_BACK


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"loopline: {sentence}\n")
    return code


def _without_foreseen_traceback(record: logging.LogRecord) -> bool:
    """A failure that Loopline foresaw says what to do in its sentence; its traceback would only hide it."""
    if record.exc_info and isinstance(record.exc_info[1], LooplineError):
        record.exc_info = record.exc_text = None
    return True


if __name__ == "__main__":
    sys.exit(main())
