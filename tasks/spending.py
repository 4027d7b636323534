"""Pause work pools once the month's money is spent: `python -m tasks.spending QUEUE POOL...`, beside a worker for ever.

AWS's budget tells a topic, and the topic the queue; whatever comes there means that the money is spent. A message is
deleted when the pools are paused, so that one who is killed in between does it again. People resume a pool by hand.
"""

import logging
import sys

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolUpdate

from loopline.clients.queue import Queue
from loopline.errors import LooplineError

log = logging.getLogger("loopline")


def pause(pools: list[str]) -> None:
    """Have no run of these pools begin; what runs goes on."""
    with get_client(sync_client=True) as client:
        for pool in pools:
            client.update_work_pool(pool, WorkPoolUpdate(is_paused=True))
            log.warning(
                "the work pool %s is paused, since the budget is spent: prefect work-pool resume %s", pool, pool
            )


def main() -> int:
    """Wait, and pause; end with an exit code only for what a restart may mend."""
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    name, *pools = sys.argv[1:]
    try:
        for _ in Queue(name).messages():
            pause(pools)
    except LooplineError as error:
        log.error("loopline: %s", error)
    return 1


if __name__ == "__main__":
    sys.exit(main())
