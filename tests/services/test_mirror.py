"""The mirror of a label project: what changes in a real Label Studio arrives, and nothing is lost on the way."""

import json

import pytest
from faults import faulty
from projects import BEN, Bench, text_result

from loopline.errors import DataError, UnreachableError
from loopline.mirror import refresh
from loopline.settings import Settings


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    found = Bench(label_studio)
    found.offer("a", "b", "c")
    return found


def said(bench: Bench) -> dict[str, list[str]]:
    """Every text in the mirror, by the name of the image."""
    return {
        bench.name(task["data"]): [
            region["value"]["text"][0] for annotation in task["annotations"] for region in annotation["result"]
        ]
        for task in bench.mirror()
    }


def test_what_did_not_change_gives_the_same_snapshot(bench: Bench) -> None:
    bench.say("a", "one")
    first = refresh(bench.store, bench.client, problem="handwriting", project=bench.project)
    with faulty(bench.access.url) as server:
        again = bench.through(server.url)
        assert refresh(bench.store, again.client, problem="handwriting", project=bench.project) == first
        assert not any("/export" in request for request in server.seen)


def test_edits_deletions_and_new_answers_arrive(bench: Bench) -> None:
    number = bench.say("a", "one")
    bench.say("b", "two", who=BEN)
    assert said(bench) == {"a": ["one"], "b": ["two"], "c": []}
    bench.sdk.annotations.update(id=number, result=text_result("won"))
    bench.say("a", "one", who=BEN)
    assert said(bench) == {"a": ["won", "one"], "b": ["two"], "c": []}
    bench.sdk.annotations.delete(id=number)
    assert said(bench)["a"] == ["one"]


def test_a_task_that_was_deleted_is_gone(bench: Bench) -> None:
    bench.say("a", "one")
    assert said(bench).keys() == {"a", "b", "c"}
    bench.sdk.tasks.delete(id=str(bench.tasks()["a"]))
    assert said(bench).keys() == {"b", "c"}


def test_tasks_changed_or_deleted_while_they_are_read_keep_to_one_moment(bench: Bench) -> None:
    number = bench.say("a", "one")
    assert said(bench)["a"] == ["one"]
    bench.say("b", "two")
    gone = bench.tasks()["c"]

    def meanwhile() -> None:
        bench.sdk.annotations.update(id=number, result=text_result("won"))
        bench.say("b", "too", who=BEN)
        bench.sdk.tasks.delete(id=str(gone))

    with faulty(bench.access.url) as server:
        server.will("GET", "/export", "changed", before=meanwhile)
        first = said(bench.through(server.url))
    assert first["a"] == ["one"]
    assert said(bench) == {"a": ["won"], "b": ["two", "too"]}


@pytest.mark.parametrize("kind", ["cut", "garbled", "lost"])
@pytest.mark.parametrize("path", ["/api/tasks", "/export"])
def test_a_damaged_answer_leaves_the_mirror_as_it_was(bench: Bench, path: str, kind: str) -> None:
    bench.say("a", "one")
    before = bench.mirror()
    bench.say("b", "two")
    with faulty(bench.access.url) as server:
        damaged = bench.through(server.url)
        server.will("GET", path, kind, times=3)
        with pytest.raises(UnreachableError):
            damaged.mirror()
    assert {task["id"]: len(task["annotations"]) for task in before} != {}
    assert said(bench) == {"a": ["one"], "b": ["two"], "c": []}


def test_a_run_killed_before_its_snapshot_was_named_loses_nothing(bench: Bench) -> None:
    bench.say("a", "one")
    bench.mirror()
    place = f"label-studio/handwriting/{bench.project.id}.json"
    state = json.loads(bench.store.read(place))
    bench.say("b", "two")
    bench.mirror()
    bench.store.write(place, json.dumps(state).encode())
    assert said(bench)["b"] == ["two"]


def test_a_damaged_state_is_read_anew(bench: Bench) -> None:
    bench.say("a", "one")
    bench.mirror()
    bench.store.write(f"label-studio/handwriting/{bench.project.id}.json", b"{")
    assert said(bench)["a"] == ["one"]


def test_a_project_made_anew_is_not_taken_for_the_old_one(bench: Bench) -> None:
    bench.say("a", "one")
    bench.mirror()
    old = bench.project
    bench.sdk.projects.delete(id=old.id)
    with pytest.raises(DataError, match="has no project"):
        bench.client.project(old.id)
