"""Facts that are told once, in a real store; what they carry is published and does not change unnoticed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loopline.clients.store import Store
from loopline.contracts import LabelsGrown
from loopline.errors import IntegrityError
from loopline.event_contracts import EVENTS
from loopline.events import Fact, again, fact, keep, mark_sent, schema, told_since, unsent
from loopline.settings import StoreSettings

SCHEMAS = Path(__file__).parents[2] / "docs" / "events"
GROWN = "loopline.labels.grown"


@pytest.fixture
def store(s3_server: StoreSettings, tmp_path: Path) -> Store:
    made = Store(s3_server.model_copy(update={"bucket": f"events-{tmp_path.name.replace('_', '-').lower()}"[:60]}))
    made.ensure_bucket()
    return made


def grown(count: int = 100) -> Fact:
    payload = LabelsGrown(
        problem="handwriting",
        source="inbox/x",
        label_project="x",
        new_count=count,
        label_count=500,
        dataset_version="dataset/handwriting/v1",
    )
    return fact(GROWN, payload, key="one crossing", resource="loopline.labels.handwriting", name="x")


def test_a_fact_waits_until_it_was_told_and_is_then_told_no_more(store: Store) -> None:
    assert keep(store, grown()) and unsent(store)[0].payload["new_count"] == 100
    assert keep(store, grown(101)), "killed before it was told, it is kept again"
    (waiting,) = unsent(store)
    mark_sent(store, waiting)
    assert unsent(store) == []
    assert not keep(store, grown(102)), "the same fact, whatever else has changed"


def test_what_was_told_since_a_time_is_told_again_under_another_id(store: Store) -> None:
    told, now = grown(), datetime.now(UTC)
    keep(store, told)
    mark_sent(store, told)
    assert (
        told_since(store, now - timedelta(hours=1))
        == told_since(store, now - timedelta(hours=1), event=GROWN)
        == [told]
    )
    assert told_since(store, now + timedelta(hours=1)) == []
    assert told_since(store, now - timedelta(hours=1), event="loopline.model.ready") == []
    once, twice = again(told, now=now), again(told, now=now + timedelta(seconds=1))
    assert len({told.id, once.id, twice.id}) == 3 and once.payload == told.payload


def test_a_damaged_outbox_is_named(store: Store) -> None:
    store.write("events/unsent/any.json", b"{}")
    with pytest.raises(IntegrityError, match=r"events/unsent/any.json is no event"):
        unsent(store)


def test_an_event_carries_its_own_payload_alone() -> None:
    payload = LabelsGrown.model_validate(grown().payload)
    with pytest.raises(TypeError, match="carries ModelAnnounced, not LabelsGrown"):
        fact("loopline.model.ready", payload, key="k", resource="r", name="n")


@pytest.mark.parametrize("event", EVENTS)
def test_the_published_schema_is_that_of_the_payload(event: str) -> None:
    """To publish a change: `python -c "from loopline.events import schema; print(schema(EVENT), end='')"`."""
    found = (SCHEMAS / f"{event}.v1.json").read_text()
    assert found == schema(event)
    assert "schema_version" in json.loads(found)["properties"]
