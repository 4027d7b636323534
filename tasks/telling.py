"""Tell the world what happened: into the outbox first, then to Prefect's server, once for each fact."""

import httpx
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from loopline.clients.store import Store
from loopline.contracts import ModelReady
from loopline.errors import UnreachableError
from loopline.event_contracts import ModelAnnounced
from loopline.events import Fact, fact, keep, mark_sent, unsent
from loopline.ledger import Judged
from tasks.showing import log


def tell(store: Store, new: Fact) -> None:
    """Tell a fact unless it was told before; where no server is known it stays in the outbox, as after any failure."""
    if not keep(store, new):
        return
    if get_current_settings().api.url is None:
        log().info("%s waits in the outbox: no Prefect server is known here", new.event)
        return
    send([new])
    mark_sent(store, new)


def tell_unsent(store: Store) -> int:
    """Tell what is left in the outbox; return how much it was."""
    left = unsent(store)
    for one in left:
        send([one])
        mark_sent(store, one)
    return len(left)


def send(facts: list[Fact]) -> None:
    """Send facts to Prefect's server and wait until it has them; it passes one of the same id on once."""
    related = [{"prefect.resource.id": f"prefect.flow-run.{flow_run.id}", "prefect.resource.role": "flow-run"}]
    events = [
        {
            "event": one.event,
            "id": str(one.id),
            "occurred": one.at.isoformat(),
            "resource": {"prefect.resource.id": one.resource, "prefect.resource.name": one.name},
            "related": related if flow_run.id else [],
            "payload": one.payload,
        }
        for one in facts
    ]
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=events).raise_for_status()
    except httpx.HTTPError as error:
        raise UnreachableError(f"Prefect did not take an event ({type(error).__name__}); is it up?") from None


def announcement(store: Store, judged: Judged) -> Fact:
    """Return what there is to tell of a judged model: one fact per package and verdict."""
    report, archive = judged.packaged.report, judged.packaged.archive
    payload = ModelAnnounced(
        problem=judged.problem,
        version=judged.version,
        package_uri=store.url(archive.uri),
        package_sha256=archive.sha256,
        dataset_version=report.model.dataset.name,
        metrics=report.metrics,
        verdict=judged.verdict,
    )
    event = "loopline.model.ready" if isinstance(judged, ModelReady) else "loopline.model.held_back"
    key = archive.sha256 if isinstance(judged, ModelReady) else f"{archive.sha256}/{judged.version}"
    return fact(event, payload, key=key, resource=f"loopline.model.{judged.problem}", name=judged.version)
