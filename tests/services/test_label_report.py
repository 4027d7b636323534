"""The page about the labels of a real project: gathered from the store, and put there."""

import json
import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from projects import ANN, BEN, COY, PROBLEM, Bench, quality_result

from loopline.errors import DataError
from loopline.label_page import render, write_page
from loopline.label_review import FILE, LabelReview, gather_review
from loopline.labels import take_labels
from loopline.settings import Settings


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    found = Bench(label_studio)
    found.offer("a", "b", "c", "d")
    return found


def gathered(bench: Bench, **changed: Any) -> LabelReview:
    facts = {"labeled": bench.take(), "people": bench.client.people(), "server_url": bench.client.url}
    return gather_review(bench.store, PROBLEM, **facts | changed)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])))


def section(page: str, name: str) -> str:
    return page.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def test_a_page_names_a_conflict_who_said_what_and_shows_its_image(bench: Bench) -> None:
    bench.say("a", "one", who=ANN)
    bench.say("a", "won", who=BEN)
    review = gathered(bench)
    written = write_page(bench.store, review)
    assert written.uri == f"label-reports/handwriting/{review.snapshot.sha256}.html"
    page = bench.store.read_artifact(written).decode()
    conflict = section(page, "conflicts")
    assert ANN in conflict and BEN in conflict
    assert 'width="160" height="32"' in conflict
    assert "a.png" in conflict
    assert f'href="{bench.access.url}/projects/{bench.project.id}/data?task={bench.tasks()["a"]}"' in conflict


def test_every_image_is_counted_once_whatever_was_said(bench: Bench) -> None:
    bench.say("a", "one", who=ANN)
    bench.say("a", "won", who=BEN)
    bench.say("b", "two")
    bench.say("c", quality_result("Unreadable"))
    bench.say("d", "skipped", was_cancelled=True)
    review = gathered(bench)
    counts = review.counts
    assert (counts.image_count, counts.label_count, len(review.conflicts), counts.aside_count) == (4, 1, 1, 1)
    assert (review.open_count, counts.skipped_count) == (1, 1)
    assert review.aside == {"judged unreadable": 1}


def test_a_project_that_nobody_has_begun_has_a_page(bench: Bench) -> None:
    assert "No image has a label yet; 4 wait for one." in words(render(gathered(bench)))


def test_an_odd_label_is_found_by_the_alphabet_of_the_newest_version(bench: Bench) -> None:
    bench.say("a", "lines of text", who=COY)
    assert not gathered(bench, vocabulary="lines ofxt").odd
    (found,) = gathered(bench, vocabulary="lins of").odd
    assert (found.line.key, found.line.task, found.annotators) == ("a.png", bench.tasks()["a"], (COY,))
    assert found.findings[0].startswith("unknown character: e U+0065, t U+0074, x U+0078")


def test_labels_beside_the_images_count_and_are_named_as_such(bench: Bench) -> None:
    beside = {"b.png": "two lines of it", "x.png": "gone"}
    bench.store.write(f"{bench.source}/labels.json", json.dumps(beside).encode())
    bench.say("a", "one line of it")
    review = gathered(bench, vocabulary="o")
    assert (review.counts.label_count, review.counts.beside_count, review.open_count) == (2, 1, 2)
    assert [one.annotators for one in review.odd if one.line.key == "b.png"] == [(FILE,)]
    assert review.aside == {"no such image": 1}


def test_a_label_that_a_model_doubts_stands_beside_what_it_reads(bench: Bench) -> None:
    bench.say("a", "one")
    bench.suspect("a", "one")
    try:
        (suspect,) = gathered(bench).suspects
    finally:
        bench.forget_suspects()
    assert (suspect.label, suspect.read, suspect.annotators) == ("one", "one7", (ANN,))


def test_a_label_in_a_file_that_a_model_doubts_stands_there_too(bench: Bench) -> None:
    bench.put_labels({"a": "one"})
    bench.suspect("a", "one")
    try:
        (suspect,) = gathered(bench).suspects
    finally:
        bench.forget_suspects()
    assert (suspect.label, suspect.read, suspect.annotators) == ("one", "one7", (FILE,))


def test_labels_from_a_file_alone_have_no_page(bench: Bench) -> None:
    bench.store.write(f"{bench.source}/labels.json", b'{"a.png": "one"}')
    labeled = take_labels(bench.store, bench.raw, labels="labels.json", normalise=PROBLEM.normalise_label)
    with pytest.raises(DataError, match="come from a file alone"):
        gathered(bench, labeled=labeled)


def test_an_image_that_is_lost_does_not_cost_the_page(bench: Bench) -> None:
    bench.say("a", "one", who=ANN)
    bench.say("a", "won", who=BEN)
    review = gathered(bench)

    def lost(image: str) -> Any:
        return bench.store.read(f"blobs/{image[::-1]}")

    assert "Its image can't be shown: s3://" in words(render(replace(review, read_image=lost)))
