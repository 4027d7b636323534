"""What the service counts for Prometheus, over all processes that serve."""

import os
import re
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # in the environment of BentoML's workers: where their numbers lie
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
WIDTHS_PX = (256, 512, 1024, 2048, 4096)  # of a line once it has the height at which it is read
TENTHS = tuple(tenth / 10 for tenth in range(1, 11))


class Gauges:
    """The service's numbers; made once in a process, whose environment says whether it shares them."""

    def __init__(self) -> None:
        self.requests = Counter("loopline_requests", "Answers, refusals included.", ["path", "status"])
        self.request_seconds = Histogram("loopline_request_seconds", "From head to answer.", ["path"], buckets=SECONDS)
        self.read_seconds = Histogram(
            "loopline_read_seconds", "Of one picture, its share.", ["width_px"], buckets=SECONDS
        )
        self.together = Histogram("loopline_together_pictures", "Read at once.", buckets=(1, 2, 4, 8))
        self.confidence = Histogram("loopline_confidence", "Of each answer.", buckets=TENTHS)
        self.unsure = Counter("loopline_unsure", "Answers under the least confidence.")
        self.unreadable = Counter("loopline_unreadable", "Pictures that could not be read.")
        self.spooled_bytes = Gauge("loopline_spooled_bytes", "On their way.", multiprocess_mode="mostrecent")
        self.lost = Gauge(
            "loopline_lost", "Answers and corrections not kept for want of room.", multiprocess_mode="sum"
        )
        self.waiting = Gauge("loopline_waiting", "Pictures that wait or are read.", multiprocess_mode="livesum")


def width_bucket(width_px: int) -> str:
    """Return the smallest bound that a width is within."""
    return next((str(bound) for bound in WIDTHS_PX if width_px <= bound), "more")


def page() -> bytes:
    """Return the numbers of all serving processes, in Prometheus's text format."""
    folder = os.environ.get(SHARED)
    if folder is None:
        return generate_latest(REGISTRY)
    _forget_the_dead(Path(folder))
    together = CollectorRegistry()
    MultiProcessCollector(together, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(together)


def _forget_the_dead(folder: Path) -> None:
    """Take the queues of processes that were killed out of the sum: they could not do so themselves."""
    for file in folder.glob("gauge_live*.db"):
        pid = re.search(r"_(\d+)\.db$", file.name)
        if pid and not psutil.pid_exists(int(pid[1])):
            mark_process_dead(int(pid[1]), path=str(folder))  # type: ignore[no-untyped-call]
