"""What the commands `loopline release`, `rollback` and `events` do."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, TypeAdapter

from loopline import commands, releasing
from loopline.errors import ConfigError, LooplineError, UnreachableError
from loopline.event_contracts import EVENTS
from loopline.events import UNSENT, keep
from loopline.flow_processes import ask
from loopline.release_contracts import Released, RolledBack, Unchanged
from loopline.settings import Settings

BY_HAND = "it was taken back by hand"

End = Released | RolledBack | Unchanged


def read_end(document: str) -> End:
    """Read what a release came to."""
    adapter: TypeAdapter[End] = TypeAdapter(Annotated[End, Field(discriminator="outcome")])
    return adapter.validate_json(document)


def sentence(end: End) -> str:
    """Say what a release came to."""
    if isinstance(end, Unchanged):
        return f"nothing to do: {end.reason}"
    if isinstance(end, Released):
        ready = f"; {end.previous} stands ready" if end.previous not in (None, end.version) else ""
        return f"{end.version} answers{ready}"
    instead = f"{end.restored} answers" if end.restored else "nothing answers"
    return f"{end.version} was taken back, {instead}: {'; '.join(end.reasons)}"


def roll_back(settings: Settings, *, problem: str, target: str) -> RolledBack:
    """Let the version before answer again; then note it in the registry, then tell it.

    Whoever asks is served by it from the first moment on; what comes after may fail and be repeated. ConfigError if no
    version stands ready.
    """
    registry, place = commands.registry(settings), releasing.target(settings, target)
    taken, restored = releasing.roll_back(registry.models(problem), place)
    registry.withdraw(problem, taken.version, target=target, restored=restored)
    end = RolledBack(
        problem=problem, version=taken.version, target=target, restored=restored, reasons=(BY_HAND,), figures={}
    )
    keep(commands.store(settings), releasing.told_of(taken, end))
    send(settings)
    return end


def send(settings: Settings) -> int:
    """Tell what waits in the outbox; return how much it was."""
    return _tell(settings, UNSENT)


def replay(settings: Settings, *, since: str, event: str | None) -> int:
    """Tell again what was told since a day or a time, of one event or of all; ConfigError for what is neither."""
    try:
        start = datetime.fromisoformat(since)
    except ValueError:
        raise ConfigError(
            f"{since!r} is neither a day nor a time; write it as 2026-11-26 or with T12:00 behind it"
        ) from None
    if event is not None and event not in EVENTS:
        raise ConfigError(f"no event is called {event!r}; choose from: {', '.join(EVENTS)}")
    return _tell(settings, (start if start.tzinfo else start.replace(tzinfo=UTC)).isoformat(), *filter(None, [event]))


def _tell(settings: Settings, *arguments: str) -> int:
    try:
        return int(ask(settings, "tell", *arguments))
    except LooplineError as error:
        raise UnreachableError(f"{error}; `loopline events send` tells it later") from None
