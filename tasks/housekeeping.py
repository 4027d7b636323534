"""What users of the service sent, deleted when it is to be forgotten or its days are over."""

from datetime import UTC, datetime, timedelta

from loopline.capture_contracts import Swept
from loopline.contracts import ModelReady
from loopline.events import keep
from loopline.forgetting import Places
from loopline.forgetting import sweep as delete
from loopline.fsck import Checked, Mode, check, raise_faults
from loopline.gc import end_leftovers
from loopline.settings import Settings
from loopline.traffic_window import drop_traffic
from tasks.caching import step
from tasks.places import label_studio, registry, store
from tasks.showing import log, table
from tasks.telling import announcement, tell_unsent

LEFT = timedelta(days=1)  # no upload or try of ours takes so long


@step()
def tell_left(problem: str) -> int:
    """Tell what happened while nobody could be told, or was cut off before; return how much that was."""
    objects = store()
    ready = [one.judged for one in registry().models(problem) if isinstance(one.judged, ModelReady)]
    kept = sum(keep(objects, announcement(objects, judged)) for judged in ready)
    count = tell_unsent(objects)
    log().info("housekeeping: %d events told, %d of them never written down before", count, kept)
    return count


@step()
def look(problem: str, *, full: bool) -> Checked:
    """Look whether all that the versions name is there; IntegrityError if not, after all faults were written down."""
    versions = registry()
    mode: Mode = "full" if full else "quick"
    found = check(store(), problem, datasets=versions.datasets(problem), models=versions.models(problem), mode=mode)
    rows = [f"| {fault.key} | {fault.needed_by} | {fault.what} |" for fault in found.faults]
    faults = "\n".join([found.sentence, "", "| object | needed by | |", "| --- | --- | --- |", *rows])
    table(faults, key="fsck", description="What the registry names, held against the store")
    log().info("fsck: %s", found.sentence)
    raise_faults(found)
    return found


@step()
def sweep(problem: str) -> Swept:
    """Delete it wherever it went but for dataset versions, which are named; and what nobody counted, or completed."""
    places, days, now = Places(store(), label_studio, problem, registry().datasets(problem)), _days(), datetime.now(UTC)
    dropped = drop_traffic(places.store, before=now - timedelta(days=days))
    left = end_leftovers(places.store, before=now - LEFT)
    words = "housekeeping: %d files of traffic that nobody looked at for %d days, %d things that killed processes left"
    log().info(words, dropped, days, left)
    return delete(places, days=days, today=now.date())


def _days() -> int:
    return Settings().service.capture_days
