"""How a process ends that loopline/ asks: with its answer as JSON, or with one sentence and an exit code."""

import json
import sys
from collections.abc import Callable
from textwrap import shorten

import httpx

from loopline.errors import AccessError, ConfigError, LooplineError, UnreachableError

ANSWERED, FAILED, MISTAKEN = 0, 1, 2  # exit codes
MOST_LETTERS = 300  # of what a server says


def answer(work: Callable[[], object]) -> int:
    """Do the work and print what it returns; what was foreseen goes to standard error. Return the exit code."""
    try:
        found = work()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            keys = "LOOPLINE_PREFECT__AUTH_STRING or PREFECT_API_KEY"
            return say(AccessError(f"Prefect answers {status}; look at {keys}"))
        return say(LooplineError(f"Prefect answers {status}: {shorten(error.response.text, MOST_LETTERS)}"))
    except httpx.HTTPError as error:
        return say(UnreachableError(f"Prefect did not answer ({type(error).__name__}); is it up?"))
    except LooplineError as error:
        return say(error)
    sys.stdout.write(json.dumps(found))
    return ANSWERED


def say(error: LooplineError) -> int:
    """Say what went wrong; return the exit code."""
    sys.stderr.write(f"loopline: {error}\n")
    return MISTAKEN if isinstance(error, ConfigError) else FAILED
