"""Tell what waits in the outbox of events, or tell again what was told since a day: what `loopline events` starts.

Takes the outbox's place, or since when and perhaps which event, as arguments; prints how many facts there were.
"""

import sys
from datetime import UTC, datetime

from flows.answering import answer
from loopline.events import UNSENT, again, told_since
from tasks.places import store
from tasks.telling import send, tell_unsent

TOGETHER = 50  # events of one request


def tell() -> int:
    """Do what is asked for; return how many facts were told."""
    since, *event = sys.argv[1:]
    return tell_unsent(store()) if since == UNSENT else _replay(datetime.fromisoformat(since), *event)


def _replay(since: datetime, event: str | None = None) -> int:
    now = datetime.now(UTC)
    facts = [again(one, now=now) for one in told_since(store(), since, event=event)]
    for start in range(0, len(facts), TOGETHER):
        send(facts[start : start + TOGETHER])
    return len(facts)


if __name__ == "__main__":
    sys.exit(answer(tell))
