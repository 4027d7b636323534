"""Labels of another project come into a real Label Studio: all that can be used, each once, and nobody is mixed up."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from faults import faulty
from laptop_processes import LOOPLINE, environment
from projects import ANN, BEN, PROBLEM, Bench, quality_result, text_result

from loopline.adopting import Adopted, adopt
from loopline.errors import DataError, UnreachableError
from loopline.exported import read_export
from loopline.settings import Settings


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    return Bench(label_studio)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.json"


def said(text: Any, who: Any = 7, **fields: Any) -> dict[str, Any]:
    """One annotation, as a project that follows Label Studio's template for captions exports it."""
    result = text_result(text, field_name="captioning") if isinstance(text, str) else text
    return {"completed_by": who, "result": result, "lead_time": 4.5, "was_cancelled": False, **fields}


def task(image: str, *annotations: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"captioning": image}, "annotations": list(annotations), **fields}


def take_in(bench: Bench, file: Path, tasks: Sequence[Any] | None = None) -> Adopted:
    """Import a file, or tasks that are written to it first."""
    if tasks is not None:
        file.write_text(json.dumps(tasks))
    return adopt(
        bench.store,
        bench.client,
        raw=bench.put("a", "b", "c", "d"),
        plan=bench.plan,
        problem=PROBLEM,
        tasks=read_export(file, PROBLEM),
        shown_from=bench.settings.resolved_store(),
    )


def standing(bench: Bench) -> dict[str, list[tuple[str, str, float | None]]]:
    """Who said what, and how long it took, by the name of the image; and no image has two tasks."""
    people = bench.client.people()
    assert bench.tasks()
    return {
        bench.name(one["data"]): [
            (
                people[annotation["completed_by"]],
                "".join(text for region in annotation["result"] for text in region["value"].get("text", ())),
                annotation["lead_time"],
            )
            for annotation in one["annotations"]
        ]
        for one in bench.mirror()
    }


def test_what_was_said_elsewhere_becomes_labels(bench: Bench, file: Path) -> None:
    tasks = [
        task("/data/upload/1/0a1b2c3d-a.png", said("one", {"id": 3, "email": ANN})),
        task("https://example.com/scans/b.png?X-Amz-Signature=abc", said("two", 7), said("two", 8)),
        task("s3://theirs/c.png", said(quality_result("Bad"))),
    ]
    adopted = take_in(bench, file, tasks)
    assert (adopted.added_count, adopted.known_count, adopted.new_task_count) == (4, 0, 3)
    assert bench.told() == {"a": "one", "b": "two", "c": "judged bad"}
    assert standing(bench) == {
        "a": [(ANN, "one", 4.5)],
        "b": [("imported-7@loopline.invalid", "two", 4.5), ("imported-8@loopline.invalid", "two", 4.5)],
        "c": [("imported-7@loopline.invalid", "", 4.5)],
    }
    assert {one["annotations"][0]["result"][0]["from_name"] for one in bench.mirror()} == {"transcription", "quality"}
    assert bench.offer().offered_count == 1


def test_imported_again_nothing_is_added(bench: Bench, file: Path) -> None:
    bench.offer("a")
    tasks = [task("a.png", said("one"), said("won", 8)), task("b.png", said("two"))]
    assert take_in(bench, file, tasks).added_count == 3
    before = standing(bench)
    again = take_in(bench, file)
    assert (again.added_count, again.known_count, again.new_task_count, again.new_people) == (0, 3, 0, [])
    assert standing(bench) == before


def test_tasks_that_are_there_are_kept_with_what_was_said_in_them(bench: Bench, file: Path) -> None:
    bench.offer("a", "b")
    before = bench.tasks()
    bench.say("a", "by hand", who=BEN)
    adopted = take_in(bench, file, [task("a.png", said("one")), task("c.png", said("three"))])
    assert (adopted.added_count, adopted.new_task_count) == (2, 1)
    assert {name: bench.tasks()[name] for name in before} == before
    assert [(who, text) for who, text, _ in standing(bench)["a"]] == [
        (BEN, "by hand"),
        ("imported-7@loopline.invalid", "one"),
    ]


def test_a_label_corrected_by_hand_survives_the_next_import(bench: Bench, file: Path) -> None:
    take_in(bench, file, [task("a.png", said("one"))])
    (annotation,) = bench.mirror()[0]["annotations"]
    bench.sdk.annotations.update(id=annotation["id"], result=text_result("won"))
    assert take_in(bench, file).added_count == 0
    assert bench.told() == {"a": "won"}


def test_of_one_person_the_latest_in_the_file_counts(bench: Bench, file: Path) -> None:
    late, early = "2026-11-23T13:17:54.437337Z", "2026-11-23T13:17:53.437337Z"
    for name in ("a", "b"):
        if name == "b":
            bench.offer("b")
        take_in(bench, file, [task(f"{name}.png", said("new", updated_at=late), said("old", updated_at=early))])
        assert bench.told()[name] == "new"


def test_what_can_not_be_used_is_counted_and_named(bench: Bench, file: Path) -> None:
    rectangle = [{"from_name": "bbox", "to_name": "image", "type": "rectanglelabels", "value": {"x": 1}}]
    tasks = [
        task("a.png", said("one"), said([]), said(None), said(rectangle), said("half \ud83d"), said("nul \x00")),
        task("missing.png", said("two"), id=17),
        task("b.png", id=18, predictions=[1, 2], drafts=[{}]),
        "no task at all",
        {"id": 19},
    ]
    adopted = take_in(bench, file, tasks)
    assert adopted.left_out == {
        "no text": 1,
        "no result": 1,
        "unknown field": 1,
        "half a character": 1,
        "a character that can't be stored": 1,
        "no such image": 1,
        "nobody labelled it": 1,
        "no task": 2,
    }
    assert adopted.unfinished_count == 3
    assert "task 17: no such image: missing.png" in adopted.examples
    assert bench.told() == {"a": "one"}


def test_skips_stay_skips(bench: Bench, file: Path) -> None:
    bench.offer("a")
    take_in(bench, file, [task("a.png", said([], was_cancelled=True)), task("b.png", said("x", was_cancelled=True))])
    assert bench.told() == {}
    assert [one["annotations"][0]["was_cancelled"] for one in bench.mirror()] == [True, True]


def test_what_this_project_exported_itself_is_there_already(bench: Bench, file: Path) -> None:
    bench.offer("a", "b")
    bench.say("a", "one")
    take_in(bench, file, [task("b.png", said("two"))])
    exported = b"".join(bench.sdk.projects.exports.download_sync(id=bench.project.id, export_type="JSON"))
    file.write_bytes(exported)
    assert take_in(bench, file).added_count == 0


@pytest.mark.parametrize("form", ["JSON", "JSON_MIN"])
def test_what_a_real_server_exported_is_taken_in(label_studio: Settings, file: Path, form: str) -> None:
    theirs, ours = Bench(label_studio), Bench(label_studio)
    theirs.offer("a", "b", "c")
    theirs.say("a", "one")
    theirs.say("b", "two", who=BEN)
    theirs.say("b", "too")
    theirs.say("c", quality_result("Unreadable") + text_result("?"))
    for _ in range(2):
        exported = theirs.sdk.projects.exports.download_sync(id=theirs.project.id, export_type=form)
        file.write_bytes(b"".join(exported))
        take_in(ours, file)
    assert ours.told() == theirs.told()
    assert {name: len(words) for name, words in standing(ours).items()} == {"a": 1, "b": 2, "c": 1}


def test_an_import_whose_answer_was_lost_goes_on(bench: Bench, file: Path) -> None:
    bench.offer("a")
    take_in(bench, file, [task("a.png", said("known"))])
    tasks = [task("a.png", said("one")), task("b.png", said("two"))]
    with faulty(bench.access.url) as server:
        server.will("POST", "/import", "lost")
        with pytest.raises(UnreachableError):
            take_in(bench.through(server.url), file, tasks)
        server.will("POST", "/annotations", "lost")
        assert take_in(bench.through(server.url), file).new_task_count == 0
    assert take_in(bench, file).known_count == 2
    assert {name: [text for _, text, _ in words] for name, words in standing(bench).items()} == {
        "a": ["known", "one"],
        "b": ["two"],
    }


def test_a_file_about_other_images_makes_no_project(bench: Bench, file: Path) -> None:
    with pytest.raises(
        DataError, match=r"can be used with the images in s3://.* \(2 no such image\), such as task 1: "
    ):
        take_in(bench, file, [task("x.png", said("one")), task("y.png", said("two"))])
    assert bench.client.find_project(bench.title) is None


def test_the_command_says_what_came_of_it(bench: Bench, file: Path) -> None:
    bench.put("a")
    file.write_text(json.dumps([task("a.png", said("one")), task("[red]x.png", said("two"), id=3)]))
    command = [LOOPLINE, "labels", "import", file, "--source", bench.source, "--project", bench.title]
    done = subprocess.run(command, env=environment(bench.settings), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"1 annotations added to '{bench.title}', 0 were there already; 1 new tasks, 0 new people",
        "left out: 1 no such image",
        "  task 3: no such image: [red]x.png",
    ]
    file.write_text("{}")
    refused = subprocess.run(command, env=environment(bench.settings), capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("loopline: ") and refused.stderr.count("\n") == 1
