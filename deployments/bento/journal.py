"""What the service writes down: one JSON object a line, and never what users sent, their keys or their texts."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# BentoML's and the server's own loggers, which have handlers of their own.
OTHERS = ("bentoml", "uvicorn.error", "circus")
OURS = "loopline"


class JsonLines(logging.Formatter):
    """Formats a record and its `fields`; of an exception only where it was raised, as its words may quote a user."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "message": record.getMessage().strip()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)
            line |= {
                "error": type(error).__name__,
                "at": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames],
            }
        return json.dumps(line)


def begin() -> None:
    """Send everything that this process logs to stdout, in this form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.getLogger().handlers = [handler]
    for name in OTHERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger(OURS).setLevel(logging.INFO)
