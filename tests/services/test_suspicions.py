"""Suspect labels go back to people in a real Label Studio, and rest as soon as someone has looked."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from projects import ANN, BEN, PROBLEM, Bench
from registries import Place, make_place

from loopline.checking import check_again
from loopline.clients.store import Store
from loopline.consensus import Opinion, settle
from loopline.contracts import Suspects
from loopline.errors import DataError
from loopline.manifest import write_manifest
from loopline.opinions import Heard
from loopline.settings import Settings, StoreSettings
from loopline.suspects import SCHEMA, read_suspects
from loopline.suspicions import doubted, keep_suspicions

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def place(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(s3_server, tmp_path_factory.mktemp("suspicions"))


def suspected(store: Store, place: Place, *, labels: Mapping[str, str], of_count: int | None = None) -> Suspects:
    """Suspects as models leave them: each of these labels, by image, is read with a 7 at its end."""
    rows = [
        {"image_sha256": image, "key": f"{image}.png", "label": label, "text": f"{label}7", "score": 3.0}
        for image, label in labels.items()
    ]
    return Suspects(
        dataset=place.draft("manifest")[0],
        folds=3,
        epochs=1,
        manifest=write_manifest(store, pa.Table.from_pylist(rows, schema=SCHEMA)),
        line_count=len(rows),
        suspect_count=len(rows) if of_count is None else of_count,
        unjudged_count=0,
    )


def keep(store: Store, suspects: Suspects, *, at: datetime = NOON, most: int = 9) -> None:
    keep_suspicions(store, suspects, rows=read_suspects(store, suspects), most=most, now=at)


def said(image: str, text: str, *, by: str = ANN, at: datetime = NOON - HOUR) -> Opinion:
    return Opinion(image, by, text=text, task=1, annotation=1, updated_at=at, seconds=None)


def asked(place: Place, opinions: Sequence[Opinion], *, unusable: Mapping[str, str] | None = None) -> list[str]:
    heard = Heard(opinions=list(opinions), unusable=dict(unusable or {}))
    return list(doubted(Store(place.store), "handwriting", heard=heard, consensus=settle(opinions)))


def test_only_suspects_are_asked_about_in_their_order_and_no_more_than_wanted_at_once(place: Place) -> None:
    store, opinions = Store(place.store), [said(image, "12") for image in "abcd"]
    assert asked(place, opinions) == []
    keep(store, suspected(store, place, labels=dict.fromkeys("cabd", "12"), of_count=3), most=2)
    assert asked(place, opinions) == ["c", "a"]
    assert asked(place, [*opinions, said("c", "12", by=BEN, at=NOON + HOUR)]) == ["a", "b"]


@pytest.mark.parametrize(
    "opinions",
    [
        [],
        [said("a", "13")],
        [said("a", "12"), said("a", "13", by=BEN)],
        [said("a", "12", at=NOON + HOUR)],
        [said("a", "12"), said("a", "12", by=BEN, at=NOON + HOUR)],
    ],
    ids=["taken back", "another label", "disagreed on", "confirmed", "confirmed by another"],
)
def test_what_was_suspected_is_no_longer_asked_about_once_it_is(place: Place, opinions: list[Opinion]) -> None:
    store = Store(place.store)
    keep(store, suspected(store, place, labels={"a": "12"}))
    assert asked(place, [said("a", "12")]) == ["a"]
    assert asked(place, opinions) == []


def test_a_line_judged_unusable_is_not_asked_about(place: Place) -> None:
    store = Store(place.store)
    keep(store, suspected(store, place, labels={"a": "12"}))
    assert asked(place, [said("a", "12")], unusable={"a": "no text"}) == []


def test_a_label_that_someone_stood_by_is_not_suspected_anew(place: Place) -> None:
    store, looked = Store(place.store), [said("a", "12"), said("a", "12", by=BEN, at=NOON + HOUR)]
    for hours, labels in enumerate([{"a": "12"}, {"b": "31"}, {"a": "12"}]):
        keep(store, suspected(store, place, labels=labels), at=NOON + 2 * hours * HOUR)
    assert asked(place, looked) == []
    assert asked(place, [said("a", "13", at=NOON + HOUR)]) == []
    keep(store, suspected(store, place, labels={"a": "13"}), at=NOON + 9 * HOUR)
    assert asked(place, [said("a", "13", at=NOON + HOUR)]) == ["a"]


def test_a_damaged_note_of_what_is_suspected_asks_nobody(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(place.store)
    keep(store, suspected(store, place, labels={"a": "12"}))
    store.write("label-studio/handwriting/suspects.json", b"{")
    assert asked(place, [said("a", "12")]) == []
    assert "suspects.json is damaged" in caplog.text


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    return Bench(label_studio)


def reason(bench: Bench, name: str) -> tuple[str | None, int | None]:
    task = bench.sdk.tasks.get(id=str(bench.tasks()[name]))
    return task.data.get("check"), task.overlap  # type: ignore[union-attr]


def test_a_suspect_is_marked_for_someone_else_and_unmarked_once_they_have_looked(bench: Bench, place: Place) -> None:
    bench.offer("doubted", "clear", "tomorrow")
    bench.say("doubted", "401")
    bench.say("clear", "402")
    images = {bench.name(task["data"]): task["data"]["image_sha256"] for task in bench.mirror()}
    keep(bench.store, suspected(bench.store, place, labels={images["doubted"]: "401"}), at=datetime.now(UTC))

    assert check_again(bench.store, bench.client, problem=PROBLEM, title=bench.title) == 1
    marked = ("does this label hold? a model reads: 4017", 2)
    assert reason(bench, "doubted") == marked
    assert reason(bench, "clear")[0] is None
    assert bench.offer("new").check_count == 1
    assert reason(bench, "doubted") == marked

    bench.say("doubted", "401", who=BEN)
    assert bench.offer().check_count == 0
    assert reason(bench, "doubted")[0] is None


def test_a_project_that_is_not_there_is_told(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"has no project 'nowhere', so nobody can check"):
        check_again(bench.store, bench.client, problem=PROBLEM, title="nowhere")
