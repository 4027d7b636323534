"""Facts that are told once: an outbox in the store, so that none is lost between what happened and who is told of it.

    events/unsent/<id>.json           a fact that Prefect's server may not have yet
    events/sent/<event>/<id>.json     a fact that it has; what `loopline events replay` tells again

A fact's id follows from what it is about, so that killed at any line and repeated, it is the same fact.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from loopline.clients.store import Store
from loopline.contracts import Contract
from loopline.errors import IntegrityError
from loopline.event_contracts import EVENTS

UNSENT, SENT = "events/unsent", "events/sent"


class Fact(BaseModel):
    """An event as it is kept and sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: str
    id: UUID
    at: AwareDatetime
    resource: str
    name: str
    payload: dict[str, Any]


def fact(event: str, payload: Contract, *, key: str, resource: str, name: str) -> Fact:
    """Return the one fact of this event about a key, such as a package's digest."""
    if not isinstance(payload, EVENTS[event]):
        raise TypeError(f"{event} carries {EVENTS[event].__name__}, not {type(payload).__name__}")
    found = payload.model_dump(mode="json")
    identity = uuid5(NAMESPACE_URL, f"{event}/{key}")
    return Fact(event=event, id=identity, at=datetime.now(UTC), resource=resource, name=name, payload=found)


def keep(store: Store, new: Fact) -> bool:
    """Put a fact into the outbox; False if it was told before."""
    if store.exists(_sent(new)):
        return False
    store.write(_unsent(new), new.model_dump_json().encode())
    return True


def unsent(store: Store) -> list[Fact]:
    """Return what was kept and perhaps never told, oldest first; IntegrityError for what nobody can read."""
    return _read(store, (entry.key for entry in store.list(f"{UNSENT}/")))


def mark_sent(store: Store, told: Fact) -> None:
    """Note that Prefect's server has a fact."""
    store.write(_sent(told), told.model_dump_json().encode())
    store.delete(_unsent(told))


def told_since(store: Store, since: datetime, *, event: str | None = None) -> list[Fact]:
    """Return what was told since then, oldest first."""
    prefix = f"{SENT}/{event}/" if event else f"{SENT}/"
    return [one for one in _read(store, (entry.key for entry in store.list(prefix))) if one.at >= since]


def again(told: Fact, *, now: datetime) -> Fact:
    """Return a fact to be told again: under another id, as a server passes each id on once."""
    return told.model_copy(update={"id": uuid5(told.id, now.isoformat()), "at": now})


def schema(event: str) -> str:
    """Return the JSON Schema of an event's payload, as docs/events/ holds it."""
    found = EVENTS[event].model_json_schema()
    return json.dumps({"$id": f"{event}.v1.json", **found}, indent=2, ensure_ascii=False) + "\n"


def _read(store: Store, keys: Iterable[str]) -> list[Fact]:
    found = []
    for key in keys:
        try:
            found.append(Fact.model_validate_json(store.read(key)))
        except ValidationError:
            raise IntegrityError(f"{store.url(key)} is no event as this release writes it; move it away") from None
    return sorted(found, key=lambda one: one.at)


def _sent(one: Fact) -> str:
    return f"{SENT}/{one.event}/{one.id}.json"


def _unsent(one: Fact) -> str:
    return f"{UNSENT}/{one.id}.json"
