"""Suspect labels go back to people in a real Label Studio, and rest as soon as someone has looked."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import packages
import pytest
from projects import ANN, BEN, PROBLEM, Bench, suspected
from registries import Place, make_place

from loopline.checking import check_again
from loopline.clients.store import Store
from loopline.consensus import Opinion, settle
from loopline.contracts import Suspects
from loopline.errors import DataError
from loopline.guessing import Guesser
from loopline.opinions import Heard, Refusal
from loopline.serving import Predictor
from loopline.settings import Settings, StoreSettings
from loopline.suspects import read_suspects
from loopline.suspicions import doubted, keep_suspicions

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def place(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(s3_server, tmp_path_factory.mktemp("suspicions"))


def keep(store: Store, suspects: Suspects, *, at: datetime = NOON, most: int = 9) -> None:
    keep_suspicions(store, suspects, rows=read_suspects(store, suspects), most=most, now=at)


def said(image: str, text: str, *, by: str = ANN, at: datetime = NOON - HOUR) -> Opinion:
    return Opinion(image, by, text=text, task=1, annotation=1, updated_at=at, seconds=None)


def asked(place: Place, opinions: Sequence[Opinion], *, beside: Mapping[str, str] = {}, **heard: Any) -> list[str]:
    told = Heard(opinions=list(opinions), **heard)
    return list(doubted(Store(place.store), "handwriting", heard=told, consensus=settle(opinions), beside=beside))


def test_only_suspects_are_asked_about_in_their_order_and_no_more_than_wanted_at_once(place: Place) -> None:
    store, opinions = Store(place.store), [said(image, "12") for image in "abcd"]
    assert asked(place, opinions) == []
    keep(store, suspected(store, place.draft("manifest")[0], labels=dict.fromkeys("cabd", "12"), of_count=3), most=2)
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
    keep(store, suspected(store, place.draft("manifest")[0], labels={"a": "12"}))
    assert asked(place, [said("a", "12")]) == ["a"]
    assert asked(place, opinions) == []


def test_a_line_judged_unusable_is_not_asked_about(place: Place) -> None:
    store = Store(place.store)
    keep(store, suspected(store, place.draft("manifest")[0], labels={"a": "12"}))
    assert asked(place, [said("a", "12")], unusable={"a": "no text"}) == []


def test_a_label_in_a_file_is_asked_about_while_it_stands_there_and_nobody_has_spoken(place: Place) -> None:
    store, refusal = Store(place.store), Refusal("a", ANN, task=1, annotation=1, reason="no text")
    keep(store, suspected(store, place.draft("manifest")[0], labels={"a": "12"}))
    assert asked(place, [], beside={"a": "12"}) == ["a"]
    assert asked(place, [], beside={"a": "13"}) == []
    assert asked(place, [], beside={"a": "12"}, unusable={"a": "judged bad"}) == []
    assert asked(place, [], beside={"a": "12"}, refusals=[refusal]) == []
    assert asked(place, [said("a", "12", at=NOON + HOUR)], beside={"a": "12"}) == []


def test_a_label_that_someone_stood_by_is_not_suspected_anew(place: Place) -> None:
    store, looked = Store(place.store), [said("a", "12"), said("a", "12", by=BEN, at=NOON + HOUR)]
    for hours, labels in enumerate([{"a": "12"}, {"b": "31"}, {"a": "12"}]):
        keep(store, suspected(store, place.draft("manifest")[0], labels=labels), at=NOON + 2 * hours * HOUR)
    assert asked(place, looked) == []
    assert asked(place, [said("a", "13", at=NOON + HOUR)]) == []
    keep(store, suspected(store, place.draft("manifest")[0], labels={"a": "13"}), at=NOON + 9 * HOUR)
    assert asked(place, [said("a", "13", at=NOON + HOUR)]) == ["a"]


def test_a_damaged_note_of_what_is_suspected_asks_nobody(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(place.store)
    keep(store, suspected(store, place.draft("manifest")[0], labels={"a": "12"}))
    store.write("label-studio/handwriting/suspects.json", b"{")
    assert asked(place, [said("a", "12")]) == []
    assert "suspects.json is damaged" in caplog.text


@pytest.fixture
def bench(label_studio: Settings) -> Iterator[Bench]:
    found = Bench(label_studio)
    yield found
    found.forget_suspects()


def check(bench: Bench, *, title: str = "") -> int:
    return check_again(bench.store, bench.client, raw=bench.raw, problem=PROBLEM, title=title or bench.title)


def suggestions(bench: Bench, name: str) -> list[tuple[str, str]]:
    task = bench.sdk.tasks.get(id=str(bench.tasks()[name])).dict()
    return [(guess["model_version"], guess["result"][0]["value"]["text"][0]) for guess in task["predictions"]]


def reason(bench: Bench, name: str) -> tuple[str | None, int | None]:
    task = bench.sdk.tasks.get(id=str(bench.tasks()[name]))
    return task.data.get("check"), task.overlap  # type: ignore[union-attr]


def test_a_suspect_is_marked_for_someone_else_and_unmarked_once_they_have_looked(bench: Bench, place: Place) -> None:
    bench.offer("doubted", "clear", "tomorrow")
    bench.say("doubted", "401")
    bench.say("clear", "402")
    images = {bench.name(task["data"]): task["data"]["image_sha256"] for task in bench.mirror()}
    keep(
        bench.store,
        suspected(bench.store, place.draft("manifest")[0], labels={images["doubted"]: "401"}),
        at=datetime.now(UTC),
    )

    assert check(bench) == 1
    marked = ("does this label hold? a model reads: 4017", 2)
    assert reason(bench, "doubted") == marked
    assert reason(bench, "clear")[0] is None
    assert bench.offer("new").check_count == 1
    assert reason(bench, "doubted") == marked

    bench.say("doubted", "401", who=BEN)
    assert bench.offer().check_count == 0
    assert reason(bench, "doubted")[0] is None


def test_a_suspect_from_a_file_becomes_a_task_with_its_label_filled_in_until_someone_speaks(
    bench: Bench,
) -> None:
    bench.put("doubted", "clear", "tomorrow")
    bench.put_labels({"doubted": "401", "clear": "402"})
    bench.offer()
    assert bench.tasks().keys() == {"tomorrow"}
    bench.suspect("doubted", "401")

    assert (check(bench), check(bench)) == (1, 1)
    assert bench.tasks().keys() == {"doubted", "tomorrow"}
    assert reason(bench, "doubted")[0] == "does this label hold? a model reads: 4017"
    champion = Guesser(bench.store, PROBLEM, version="v1.0.0", predictor=Predictor.open(packages.package()))
    assert bench.offer(guesser=champion).check_count == 1
    assert suggestions(bench, "doubted") == [("labels.json", "401")]
    assert bench.told() == {"doubted": "401", "clear": "402"}

    bench.say("doubted", "4017")
    assert bench.told() == {"doubted": "4017", "clear": "402"}
    assert (check(bench), bench.offer().check_count) == (0, 0)
    assert reason(bench, "doubted")[0] is None


def test_an_offer_asks_about_a_file_too_and_takes_it_back_once_the_file_is_corrected(
    bench: Bench,
) -> None:
    bench.put("doubted", "other")
    bench.put_labels({"doubted": "401"})
    bench.suspect("doubted", "401")
    assert (bench.offer().check_count, bench.offer().check_count) == (1, 1)
    assert bench.tasks().keys() == {"doubted", "other"}

    bench.put_labels({"doubted": "4017"})
    assert bench.offer().check_count == 0
    assert reason(bench, "doubted")[0] is None


def test_a_project_that_is_not_there_is_told(bench: Bench) -> None:
    bench.put("a")
    with pytest.raises(DataError, match=r"has no project 'nowhere', so nobody can check"):
        check(bench, title="nowhere")
