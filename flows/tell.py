"""Tell what waits in the outbox of events, or tell again what was told since a day: what `loopline events` starts.

Takes the outbox's name, or since when and perhaps which event, as arguments; prints how many facts there were.
"""

import sys
from datetime import UTC, datetime

from loopline.errors import LooplineError
from loopline.events import again, told_since
from tasks.places import store
from tasks.telling import send, tell_unsent

OUTBOX = "outbox"
TOGETHER = 50  # events of one request


def main() -> int:
    """Do what is asked for; return the exit code."""
    since, event = (*sys.argv[1:], None, None)[:2]
    try:
        count = tell_unsent(store()) if since == OUTBOX else _replay(datetime.fromisoformat(str(since)), event)
    except LooplineError as error:
        sys.stderr.write(f"loopline: {error}\n")
        return 1
    sys.stdout.write(f"{count}\n")
    return 0


def _replay(since: datetime, event: str | None) -> int:
    now = datetime.now(UTC)
    facts = [again(one, now=now) for one in told_since(store(), since, event=event)]
    for start in range(0, len(facts), TOGETHER):
        send(facts[start : start + TOGETHER])
    return len(facts)


if __name__ == "__main__":
    sys.exit(main())
