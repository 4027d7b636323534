"""What users sent goes wherever it went, when they ask for it or its days are over; and can be traced until then."""

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import packages
import pyarrow.parquet as pq
import pytest
from asked import NOW, line, prediction_id, put, put_correction
from projects import PROBLEM, Bench
from registries import Place
from test_captured_images import Desk

from loopline import tracing
from loopline.capture_contracts import Swept
from loopline.captures import bare_png, place, tombstone
from loopline.clients.label_studio import LabelStudio
from loopline.contracts import DatasetVersion
from loopline.dataset import freeze
from loopline.errors import DataError, UnreachableError
from loopline.forgetting import Places, forget, sweep
from loopline.orders import SplitPlan
from loopline.settings import Settings

TODAY = date(2026, 11, 26)
OLD = NOW - timedelta(days=100)
DIGITS = {f"line {number}": str(number) for number in range(24)}
PACKAGE = packages.package()
LOOPLINE = Path(sys.executable).parent / "loopline"


@pytest.fixture
def desk(label_studio: Settings) -> Desk:
    return Desk(Bench(label_studio).apart().settings)


def ends(desk: Desk, name: str) -> set[str]:
    """What is in the store of a capture, by the endings of its keys."""
    return {entry.key.partition(name)[2] for entry in desk.store.list(place(name, ""))}


def words_in_store(desk: Desk, word: str) -> list[str]:
    """The keys of all objects that hold a word, compressed tables among them."""
    found = []
    for entry in desk.store.list(""):
        data = desk.store.read(entry.key)
        if entry.key.endswith(".parquet"):
            data = json.dumps(pq.read_table(io.BytesIO(data)).to_pylist(), default=str).encode()
        if word.encode() in data:
            found.append(entry.key)
    return found


def places(desk: Desk, datasets: tuple[DatasetVersion, ...] = ()) -> Places:
    return Places(desk.store, lambda: desk.client, "handwriting", datasets)


def swept(desk: Desk, datasets: tuple[DatasetVersion, ...] = (), *, today: date = TODAY) -> Swept:
    return sweep(places(desk, datasets), days=90, today=today)


def forgotten(desk: Desk, name: str, datasets: tuple[DatasetVersion, ...] = ()) -> Swept:
    return forget(places(desk, datasets), name)


def test_one_answer_is_forgotten_wherever_it_went(desk: Desk) -> None:
    name, other = put(desk.store, line("a"), correction="sesame"), put(desk.store, line("b"), correction="kept")
    desk.collect()
    desk.mirror()
    desk.say_of(name, "by a person")
    desk.mirror()
    image = desk.shown()[name]["image_sha256"]
    assert len(words_in_store(desk, "sesame")) >= 3, "the correction, and snapshots before and after it was labelled"
    desk.store.write("label-studio/handwriting/999999.json", b"a project that was deleted there")
    done = forgotten(desk, name)
    assert (done.capture_count, done.task_count, done.image_count, done.held) == (1, 1, 1, {})
    assert done.snapshot_count >= 2
    assert set(desk.shown()) == {other}
    assert words_in_store(desk, "sesame") == []
    assert not any(key.startswith("index/") for key in words_in_store(desk, name))
    assert not desk.store.exists("label-studio/handwriting/999999.json")
    assert not desk.store.exists(f"blobs/{image}") and ends(desk, name) == set()
    assert ends(desk, other) == {".png", ".json", ".correction.json"}
    assert forgotten(desk, name).capture_count == 0
    with pytest.raises(DataError, match="was forgotten, as its user asked"):
        tracing.read_capture(desk.store, name)


def test_what_was_begun_while_the_labelling_tool_was_down_is_ended_by_the_next_sweep(desk: Desk) -> None:
    def down() -> LabelStudio:
        raise UnreachableError("it is down")

    name = put(desk.store, line("a"), correction="sesame")
    desk.collect()
    with pytest.raises(UnreachableError):
        forget(Places(desk.store, down, "handwriting", ()), name)
    assert ends(desk, name) == {".png", ".json", ".correction.json"}, "what leads to its task is still there"
    assert desk.take_captures().image_count == 0, "and nobody is offered it any more"
    done = swept(desk)
    assert (done.capture_count, done.task_count, done.image_count) == (1, 1, 1)
    assert words_in_store(desk, "sesame") == []


def test_what_a_spool_delivers_late_goes_with_the_next_housekeeping(desk: Desk) -> None:
    name = prediction_id()
    forgotten(desk, name)
    put_correction(desk.store, name, "too late")
    assert swept(desk).capture_count == 1
    assert ends(desk, name) == set() and desk.store.exists(tombstone(name))
    later = TODAY + timedelta(days=91)
    swept(desk, today=later)
    assert not desk.store.exists(tombstone(name)), "what came now would be over its days anyway"


def test_after_its_days_a_capture_goes_and_what_people_labelled_stays(desk: Desk) -> None:
    untouched, labelled = (put(desk.store, line(name), correction=f"said of {name}", at=OLD) for name in "ab")
    young = put(desk.store, line("c"))
    desk.collect()
    desk.say_of(labelled, "by a person")
    done = swept(desk)
    assert (done.capture_count, done.task_count, done.image_count) == (2, 1, 1)
    assert set(desk.shown()) == {labelled, young}
    assert (ends(desk, untouched), ends(desk, labelled), ends(desk, young)) == (set(), set(), {".png", ".json"})
    assert [row["label"] for row in desk.rows()] == ["by a person"]
    assert swept(desk).task_count == 0
    assert words_in_store(desk, "said of a") == []


def test_a_picture_that_is_also_the_sources_own_stays_there(desk: Desk) -> None:
    desk.store.write(f"{desk.source}/same.png", bare_png(line("a")))
    name = put(desk.store, line("a"))
    raw = desk.raw
    done = forgotten(desk, name)
    assert (done.capture_count, done.image_count) == (1, 0)
    assert desk.raw == raw and desk.store.exists(f"blobs/{hashlib.sha256(bare_png(line('a'))).hexdigest()}")


@dataclass
class Circle:
    """A capture that was corrected and reviewed, the dataset version that holds it, and a model before and after."""

    desk: Desk
    place: Place
    name: str
    version: DatasetVersion


@pytest.fixture
def circle(desk: Desk, tmp_path: Path) -> Circle:
    where = Place(tmp_path, desk.settings.resolved_store())
    desk.put(*DIGITS)
    desk.put_labels(DIGITS)
    desk.offer()
    first = frozen(desk, where, tmp_path / "first")
    answering = where.commit_model(PACKAGE, dataset=first)
    digest = answering.packaged.archive.sha256
    name = put(desk.store, line("a"), correction="12", package_sha256=digest, model=f"handwriting:{digest[:12]}")
    desk.collect()
    desk.say_of(name, "12")
    second = frozen(desk, where, tmp_path / "second")
    where.commit_model(b"another package", dataset=second, met=answering.version)
    return Circle(desk, where, name, second)


def frozen(desk: Desk, where: Place, folder: Path) -> DatasetVersion:
    folder.mkdir()
    return freeze(
        desk.store,
        where.registry,
        problem=PROBLEM,
        labeled=desk.take(),
        split=SplitPlan(val_share=0.2, test_share=0.2),
        folder=folder,
    )


def command(circle: Circle, *arguments: str) -> subprocess.CompletedProcess[str]:
    store = circle.desk.settings.resolved_store()
    assert store.access_key and store.secret_key
    settings = {
        "PATH": "/usr/bin:/bin",
        "COLUMNS": "400",
        "LOOPLINE_HOME": str(circle.place.folder / "home"),
        "LOOPLINE_STORE__ENDPOINT": store.endpoint,
        "LOOPLINE_STORE__PREFIX": store.prefix,
        "LOOPLINE_STORE__ACCESS_KEY": store.access_key,
        "LOOPLINE_STORE__SECRET_KEY": store.secret_key.get_secret_value(),
        "LOOPLINE_REGISTRY__URL": str(circle.place.git),
    }
    return subprocess.run([LOOPLINE, *arguments], env=settings, capture_output=True, text=True, timeout=120)


def test_an_answer_is_traced_back_to_lines_and_on_to_the_next_model(circle: Circle) -> None:
    told = command(circle, "trace", circle.name, "--json")
    assert told.returncode == 0, told.stderr
    found = tracing.PredictionTrace.model_validate_json(told.stdout)
    assert (found.version, found.dataset, found.correction) == ("v1.0.0", "dataset/handwriting/v1", "12")
    assert len(found.neighbours) == 3 and all(
        DIGITS[one.key.removesuffix(".png")] == one.label for one in found.neighbours
    )
    assert [one.distance for one in found.neighbours] == sorted(one.distance for one in found.neighbours)
    (version,) = found.image.versions
    assert (version.version, version.label, version.models) == ("dataset/handwriting/v2", "12", ("v2.0.0",))
    assert found.image.captures == (circle.name,) and len(found.image.tasks) == 1

    shown = command(circle, "trace", circle.name).stdout
    for word in (
        circle.name,
        "corrected by its user to '12'",
        "v1.0.0",
        "dataset/handwriting/v2",
        "runs/any",
        "seed 1",
    ):
        assert word in shown
    image = command(circle, "trace", "--image", found.image.image_sha256, "--json")
    assert tracing.ImageTrace.model_validate_json(image.stdout) == found.image

    for wrong, sentence in {
        (prediction_id(),): "nothing is kept of",
        ("nonsense",): "is no prediction id",
        ("--image", "f" * 64): "holds the image",
        (): "name one prediction id, or one image",
        (put(circle.desk.store, line("other")),): "which this registry does not hold",
    }.items():
        done = command(circle, "trace", *wrong)
        assert done.returncode in (1, 2) and done.stderr.count("\n") == 1 and sentence in done.stderr

    kept = forgotten(circle.desk, circle.name, tuple(circle.place.registry.datasets("handwriting")))
    assert kept.held == {circle.name: ("dataset/handwriting/v2",)}
    assert circle.place.registry.datasets("handwriting")[-1] == circle.version
    snapshot = circle.version.labeled.label_snapshot
    assert snapshot and circle.desk.store.exists(snapshot.uri), "what a dataset version names stays"
    assert command(circle, "trace", "--image", found.image.image_sha256).returncode == 0
