"""Dataset versions, on a real git repository and a real object store: which lines are used, where, and for ever."""

import io
import json
import logging
import unicodedata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from registries import PROBLEM, Place, make_place

from loopline.clients.store import Store
from loopline.contracts import Artifact, DatasetVersion
from loopline.dataset import SPLITS, freeze, load_lines
from loopline.errors import DataError, IntegrityError
from loopline.images import decode
from loopline.intake import take_images
from loopline.labels import take_labels
from loopline.learning import fit
from loopline.manifest import read_manifest
from loopline.orders import SplitPlan
from loopline.problems import Problem, load_problem
from loopline.settings import StoreSettings, TrainSettings

HANDWRITING = load_problem(PROBLEM)
OWN = SplitPlan()
HASHED = SplitPlan(own=False, val_share=0.3, test_share=0.3)
WIDE_PX = 160  # 27 frames of the default recipe, at HIGH_PX
HIGH_PX = 48


@dataclass(frozen=True)
class Bench:
    """A store, a registry, and the way from one to the other."""

    place: Place
    store: Store
    source: str

    def freeze(
        self, files: Mapping[str, Any], *, split: SplitPlan = OWN, problem: Problem = HANDWRITING
    ) -> DatasetVersion:
        """Put files into the inbox, bytes as they are and anything else as JSON, and make a version of all in it."""
        self.store.upload_all({f"{self.source}/{name}": as_bytes(content) for name, content in files.items()})
        raw = take_images(self.store, PROBLEM, self.source)
        labeled = take_labels(self.store, raw, labels="labels.json", normalise=problem.normalise_label)
        folder = self.place.folder / uuid.uuid4().hex
        folder.mkdir()
        return freeze(self.store, self.place.registry, problem=problem, labeled=labeled, split=split, folder=folder)

    def rows(self, version: DatasetVersion) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in read_manifest(self.store, version.manifest).to_pylist()}

    def sides(self, version: DatasetVersion) -> dict[str, str]:
        return {key: row["split"] for key, row in self.rows(version).items() if not row["rejected"]}

    def reasons(self, version: DatasetVersion) -> dict[str, str]:
        return {key: row["rejected"] for key, row in self.rows(version).items() if row["rejected"]}

    @property
    def names(self) -> list[str]:
        return [version.name.rsplit("/", 1)[-1] for version in self.place.registry.datasets(PROBLEM)]


def as_bytes(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def drawing(number: int, size: tuple[int, int] = (WIDE_PX, HIGH_PX)) -> Image.Image:
    """Grey clouds that look like no other number's."""
    clouds = np.random.default_rng(number).integers(256, size=(24, 80), dtype=np.uint8)
    return Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    target = io.BytesIO()
    image.save(target, form, quality=70)
    return target.getvalue()


def lines(numbers: Sequence[int]) -> dict[str, bytes]:
    return {f"{number:03}.png": encoded(drawing(number)) for number in numbers}


def spread(names: Sequence[str]) -> dict[str, str]:
    """Deal names out to the splits, two thirds of them to train."""
    sides = ("train", "train", "val", "train", "train", "test")
    return {name: sides[number % len(sides)] for number, name in enumerate(names)}


def labelled(images: Mapping[str, bytes], *, label: str = "x", **sidecars: Any) -> dict[str, Any]:
    """The images with one label for all, split by `spread` unless told otherwise."""
    own = {"splits.json": spread(list(images)), "labels.json": dict.fromkeys(images, label)}
    return {**images, **own, **{f"{name}.json": content for name, content in sidecars.items()}}


@pytest.fixture(scope="module")
def bucket(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> StoreSettings:
    return make_place(s3_server, tmp_path_factory.mktemp("bucket")).store


@pytest.fixture
def bench(bucket: StoreSettings, tmp_path: Path) -> Bench:
    return make_bench(bucket, tmp_path)


def make_bench(bucket: StoreSettings, folder: Path) -> Bench:
    """A registry and a source of its own in a bucket."""
    return Bench(Place(folder, bucket), Store(bucket), f"inbox/{uuid.uuid4().hex}")


def test_labels_are_normalised_and_unusable_lines_are_rejected_with_the_reason(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    images = lines(range(6)) | {
        "empty.png": encoded(drawing(10)),
        "blank.png": encoded(drawing(11)),
        "just fits.png": encoded(drawing(12)),
        "repeats.png": encoded(drawing(13)),
        "thread.png": encoded(drawing(14, (1000, 9))),
        "pole.png": encoded(drawing(15, (9, 1000))),
    }
    labels = dict.fromkeys(images, unicodedata.normalize("NFD", " e\u0301te\u0301  là ")) | {
        "empty.png": "",
        "blank.png": " \t\n",
        "just fits.png": "ab" * 13 + "a",
        "repeats.png": "ab" * 12 + "aab",
    }
    splits = spread(list(lines(range(6)))) | dict.fromkeys(set(images) - set(lines(range(6))), "train")
    with caplog.at_level(logging.INFO, logger="loopline.dataset"):
        version = bench.freeze(images | {"labels.json": labels, "splits.json": splits})
    rows = bench.rows(version)
    assert rows["000.png"]["label"] == unicodedata.normalize("NFC", "été là")
    assert bench.reasons(version) == {
        "blank.png": "empty label",
        "empty.png": "empty label",
        "pole.png": "1 frames can't spell 6 characters",
        "repeats.png": "27 frames can't spell 27 characters",
        "thread.png": "1000x9 px is no line of text",
    }
    assert version.split_sizes == {"train": 5, "val": 1, "test": 1}
    assert version.vocabulary == tuple(sorted(" abltéà"))
    assert caplog.messages == [
        "version: 7 lines (5 train, 1 val, 1 test), 5 rejected "
        "(2 empty label, 2 N frames can't spell N characters, 1 NxN px is no line of text)"
    ]


def test_line_never_changes_sides(bench: Bench) -> None:
    few = lines(range(20))
    before = bench.sides(bench.freeze(labelled(few), split=HASHED))
    many = lines(range(60))
    after = bench.sides(bench.freeze(labelled(many, label="y"), split=HASHED))
    assert set(before.values()) == set(SPLITS)
    assert {key: after[key] for key in before} == before
    assert len(after) == 60
    other = bench.freeze(labelled(many), split=HASHED.model_copy(update={"key": "another"}))
    assert bench.sides(other) != after


def test_group_stands_on_one_side(bench: Bench) -> None:
    images = lines(range(40))
    grouped = [json.dumps({"file": name, "group": f"writer {number // 4}"}) for number, name in enumerate(images)]
    version = bench.freeze(labelled(images) | {"lines.jsonl": "\n".join(grouped).encode()}, split=HASHED)
    sides = {(row["group"], row["split"]) for row in bench.rows(version).values()}
    assert len(sides) == 10
    assert not bench.reasons(version)


def test_group_that_the_users_splits_tear_apart_stays_on_the_later_side(bench: Bench) -> None:
    images = lines(range(12))
    grouped = [{"file": "000.png", "group": "Zoe"}, {"file": "002.png", "group": "Zoe"}, {"file": "001.png"}]
    files = labelled(images) | {"lines.jsonl": "\n".join(map(json.dumps, grouped)).encode()}
    version = bench.freeze(files)
    assert bench.reasons(version) == {"000.png": "its group also stands in val"}
    assert bench.sides(version)["002.png"] == "val"


@pytest.mark.parametrize("split", [OWN, HASHED])
def test_near_duplicates_stand_on_one_side(bench: Bench, split: SplitPlan) -> None:
    images = lines(range(18))
    copies = {
        f"again/{name[:3]}.jpg": encoded(drawing(number), "JPEG") for number, name in enumerate(list(images)[:12])
    }
    splits = spread(list(images)) | dict.fromkeys(copies, "test")
    version = bench.freeze(labelled(images | copies, splits=splits), split=split)
    sides, reasons = bench.sides(version), bench.reasons(version)
    for copy in copies:
        image = f"{copy[6:9]}.png"
        assert len({sides[key] for key in (image, copy) if key in sides}) == 1
        if split.own and splits[image] != "test":
            assert reasons.pop(image) == f"near-duplicate in test: {copy}"
    assert bool(reasons) is not split.own
    assert all(reason.startswith("near-duplicate in ") for reason in reasons.values())


def test_users_splits_are_followed_and_what_they_leave_out_is_rejected(bench: Bench) -> None:
    images = lines(range(9))
    splits = {"train": ["000.png", "001.png"], "dev": ["002.png", "003.png"], "test": ["004.png"]}
    version = bench.freeze(labelled(images, splits=splits))
    wanted = dict.fromkeys(splits["train"], "train") | dict.fromkeys(splits["dev"], "val") | {"004.png": "test"}
    assert bench.sides(version) == wanted
    left_out = ["005.png", "006.png", "007.png", "008.png"]
    assert bench.reasons(version) == dict.fromkeys(left_out, "in none of the splits of splits.json")
    assert load_lines(bench.store, version, cache=bench.place.folder).rejected == {
        "in none of the splits of splits.json": 4
    }


def test_characters_that_only_val_and_test_have_are_named_and_stay(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    images = lines(range(12))
    labels = dict.fromkeys(images, "abc") | {"002.png": "dab", "005.png": "aß", "011.png": "cœß"}
    with caplog.at_level(logging.INFO, logger="loopline.dataset"):
        version = bench.freeze(labelled(images, labels=labels))
    assert version.vocabulary == ("a", "b", "c")
    assert version.split_sizes == {"train": 8, "val": 2, "test": 2}
    assert caplog.messages[1:] == ["version: 'd', 'ß', 'œ' in 3 lines of val and test, never in train, so never learnt"]
    learnt = learn(bench, version)
    assert learnt.val_metrics["val_cer"] > 0


def learn(bench: Bench, version: DatasetVersion) -> Any:
    problem = load_problem(PROBLEM)
    splits = load_lines(bench.store, version, cache=bench.place.folder / "cache").splits
    tiny = {"channels": 8, "hidden": 32, "layers": 1, "epochs": 1, "batch_size": 32}
    return fit(
        problem,
        problem.make_recipe(tiny),
        vocabulary=version.vocabulary,
        train=splits["train"],
        val=splits["val"],
        seed=1,
        checkpoint=bench.place.folder / "run" / "checkpoint.ckpt",
        weights=bench.place.folder / "run" / "weights.safetensors",
        machine=TrainSettings(accelerator="cpu"),
    )


def test_fewer_lines_than_a_batch_with_one_label_can_be_learnt(bench: Bench) -> None:
    version = bench.freeze(labelled(lines(range(3)), splits=dict(zip(lines(range(3)), SPLITS, strict=True))))
    assert version.split_sizes == {"train": 1, "val": 1, "test": 1}
    assert learn(bench, version).epochs == 1


def test_changed_label_changes_the_manifest_and_no_shard(bench: Bench) -> None:
    images = lines(range(20))
    first = bench.freeze(labelled(images))
    second = bench.freeze({"labels.json": dict.fromkeys(images, "x") | {"000.png": "y", "001.png": ""}})
    assert second.manifest.sha256 != first.manifest.sha256
    assert second.shards == first.shards
    assert len(second.shards) == 1
    assert bench.names == ["v1", "v2"]


def test_new_images_make_one_new_shard_and_leave_the_old(bench: Bench) -> None:
    first = bench.freeze(labelled(lines(range(20))))
    second = bench.freeze(labelled(lines(range(40))))
    assert len(first.shards) == 1
    assert len(second.shards) == 2
    assert first.shards[0] in second.shards
    assert {row["shard"] for row in bench.rows(second).values()} == {shard.sha256 for shard in second.shards}
    read = load_lines(bench.store, second, cache=bench.place.folder / "cache")
    assert sum(map(len, read.splits.values())) == 40
    assert_pixels_are_those_of_the_images(bench, read.splits)


def test_other_preprocessing_writes_the_same_images_anew(bench: Bench) -> None:
    files = labelled(lines(range(20)))
    first = bench.freeze(files)
    inverted = replace(HANDWRITING, rules=2, preprocess=lambda image: 255 - HANDWRITING.preprocess(image))
    second = bench.freeze(files, problem=inverted)
    assert not set(first.shards) & set(second.shards)
    assert second.digest != first.digest
    assert bench.freeze(files) == first


def test_content_of_an_earlier_version_is_that_version(bench: Bench) -> None:
    few, many = labelled(lines(range(20))), labelled(lines(range(40)))
    versions = [bench.freeze(few), bench.freeze(many), bench.freeze(few), bench.freeze(many)]
    assert versions[2:] == versions[:2]
    others = lines(range(100, 115))
    unrelated = bench.freeze(labelled(others))
    assert unrelated.digest not in {version.digest for version in versions}
    assert bench.freeze(many) == versions[1], "its images are in two shards, and found there"
    assert bench.names == ["v1", "v2", "v3"]


def test_same_content_is_the_same_version_in_another_bucket(
    bench: Bench, s3_server: StoreSettings, tmp_path: Path
) -> None:
    content = labelled(lines(range(20)))
    other = make_bench(make_place(s3_server, tmp_path).store, tmp_path / "other")
    other.place.folder.mkdir()
    first = bench.freeze(content)
    assert other.freeze(content).digest == first.digest
    assert bench.freeze(content) == first
    assert bench.names == other.names == ["v1"]


@pytest.mark.parametrize(
    ("count", "split", "sentence"),
    [
        (1, HASHED, "no usable line is left for "),
        (12, SplitPlan(own=False, val_share=0.0, test_share=0.5), "no usable line is left for val: 12 lines ("),
        (12, SplitPlan(own=False, val_share=0.9, test_share=0.9), "no usable line is left for train"),
    ],
)
def test_split_without_a_line_is_told_in_a_sentence(bench: Bench, count: int, split: SplitPlan, sentence: str) -> None:
    images = lines(range(count)) | {"empty.png": encoded(drawing(100))}
    labels = dict.fromkeys(images, "x") | {"empty.png": ""}
    with pytest.raises(DataError) as refused:
        bench.freeze(labelled(images, labels=labels), split=split)
    message = str(refused.value)
    assert sentence in message
    assert "1 rejected (1 empty label); add labelled lines" in message
    assert "\n" not in message
    assert bench.names == []


def assert_pixels_are_those_of_the_images(bench: Bench, splits: Mapping[str, Sequence[Any]]) -> None:
    preprocess = load_problem(PROBLEM).preprocess
    for sample in (sample for side in splits.values() for sample in side):
        pixels = sample.pixels()
        assert np.array_equal(pixels, preprocess(decode(bench.store.read(f"{bench.source}/{sample.key}"))))
        assert pixels.shape == (sample.height_px, sample.width_px)


@dataclass(frozen=True)
class Frozen:
    """A version that tests read; it has one shard."""

    bench: Bench
    version: DatasetVersion
    labels: Mapping[str, str]

    def load(self, cache: Path) -> Mapping[str, Sequence[Any]]:
        return load_lines(self.bench.store, self.version, cache=cache).splits


@pytest.fixture(scope="module")
def frozen(bucket: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    bench = make_bench(bucket, tmp_path_factory.mktemp("frozen"))
    images = {name: encoded(drawing(n, (150 + 9 * n, 30 + 9 * n))) for n, name in enumerate(lines(range(12)))}
    labels = {name: f"line {name[:3]}" for name in images}
    return Frozen(bench, bench.freeze(labelled(images, labels=labels)), labels)


def test_samples_have_the_labels_sides_and_pixels_of_the_images(frozen: Frozen, tmp_path: Path) -> None:
    splits = frozen.load(tmp_path)
    assert {sample.key: sample.label for side in splits.values() for sample in side} == frozen.labels
    assert {sample.key: name for name, side in splits.items() for sample in side} == frozen.bench.sides(frozen.version)
    assert_pixels_are_those_of_the_images(frozen.bench, splits)


@pytest.mark.parametrize("damage", [lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], lambda data: data[:99]])
def test_damaged_shard_on_this_machine_is_fetched_again(frozen: Frozen, tmp_path: Path, damage: Any) -> None:
    frozen.load(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert_pixels_are_those_of_the_images(frozen.bench, frozen.load(tmp_path))
    assert path.read_bytes() == whole


def test_shard_that_is_here_already_is_not_fetched(frozen: Frozen, tmp_path: Path) -> None:
    frozen.load(tmp_path)
    with altered(frozen, frozen.version.shards[0], b""):
        assert_pixels_are_those_of_the_images(frozen.bench, frozen.load(tmp_path))


@pytest.mark.parametrize("kind", ["shard", "manifest"])
def test_altered_byte_in_the_store_is_refused(frozen: Frozen, tmp_path: Path, kind: str) -> None:
    artifact = {"shard": frozen.version.shards[0], "manifest": frozen.version.manifest}[kind]
    data = bytearray(frozen.bench.store.read(artifact.uri))
    data[len(data) // 2] ^= 1
    with altered(frozen, artifact, bytes(data)), pytest.raises(IntegrityError, match=artifact.uri):
        frozen.load(tmp_path)
    assert kind == "manifest" or not list(tmp_path.iterdir())


@contextmanager
def altered(frozen: Frozen, artifact: Artifact, data: bytes) -> Iterator[None]:
    store = frozen.bench.store
    whole = store.read(artifact.uri)
    store.write(artifact.uri, data)
    try:
        yield
    finally:
        store.write(artifact.uri, whole)
