"""A process that asks and corrects: python spool_worker.py FOLDER COUNT [STRIDE]; it says each correction taken.

With a stride it is a family of processes, each of which is killed (SIGKILL) so many lines of the spool's code later
than the one before, until one comes to its end. The store's settings come as JSON on standard input.
"""

import itertools
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from asked import PACKAGE, ask, correct, line

from loopline.clients.store import Store
from loopline.settings import StoreSettings
from loopline.spool import Spool

MOST_BYTES = 2**26


def work(folder: Path, store: Store, count: int) -> None:
    spool = Spool(folder, store, MOST_BYTES, package_sha256=PACKAGE)
    spool.start()
    for number in range(count):
        name = ask(spool, line(f"{os.getpid()} {number}"))
        if name and correct(spool, name, f"correction {number}"):
            os.write(1, f"{name} {number}\n".encode())
    spool.stop(120)


def kill_at(line_number: int) -> None:
    """Let this process be killed where it is to run a line of the spool's code for so many-th time."""
    passed = itertools.count()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if "spool" not in frame.f_code.co_filename or "worker" in frame.f_code.co_filename:
            return None
        if event == "line" and next(passed) == line_number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)


def family(folder: Path, store: Store, count: int, *, stride: int) -> int:
    """Return how many were killed."""
    for generation in itertools.count():
        child = os.fork()
        if not child:
            kill_at(stride * generation)
            work(folder, store, count)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return generation
    raise AssertionError


if __name__ == "__main__":
    folder, count, *stride = sys.argv[1:]
    store = Store(StoreSettings.model_validate_json(sys.stdin.read()))
    if stride:
        sys.stderr.write(f"{family(Path(folder), store, int(count), stride=int(stride[0]))}\n")
    else:
        work(Path(folder), store, int(count))
