"""A dataset version leaves as a file that Label Studio takes in, and comes back as the same labels."""

import json
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from laptop_processes import LOOPLINE, environment
from projects import PROBLEM, Bench

from loopline.adopting import adopt
from loopline.clients.store import Store
from loopline.contracts import DatasetVersion, LabeledDataset
from loopline.dataset import SCHEMA, freeze
from loopline.errors import ConfigError
from loopline.exported import read_export
from loopline.label_export import export_labels
from loopline.labels import take_labels
from loopline.manifest import read_manifest, write_manifest
from loopline.orders import SplitPlan
from loopline.project_labels import take_project
from loopline.registry import Registry
from loopline.settings import RegistrySettings, Settings

NAMES = ("a", "b", "c", "d", "e", "f")
SPLITS = {"train": ["a", "b", "c", "f"], "validation": ["d"], "test": ["e"]}
TEXTS = {"a": "one", "b": "Größe ½", "c": 'a "quote", \\ and ;', "d": "four", "e": "five", "f": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the registry is."""
    return tmp_path_factory.mktemp("frozen")


@pytest.fixture(scope="module")
def version(label_studio: Settings, folder: Path) -> DatasetVersion:
    """A dataset version of five labels and one that is rejected."""
    bench = Bench(label_studio)
    raw = bench.put(*NAMES)
    beside = {
        "labels.json": {f"{name}.png": text for name, text in TEXTS.items()},
        "splits.json": {split: [f"{name}.png" for name in names] for split, names in SPLITS.items()},
    }
    for name, content in beside.items():
        bench.store.write(f"{bench.source}/{name}", json.dumps(content).encode())
    labeled = take_labels(bench.store, raw, labels="labels.json", normalise=PROBLEM.normalise_label)
    url = RegistrySettings(url=str(folder / "registry.git"))
    registry = Registry(url, bench.settings.resolved_store(), home=folder / "home")
    freeze(bench.store, registry, problem=PROBLEM, labeled=labeled, split=SplitPlan(), folder=folder)
    return registry.dataset("handwriting", "v1")


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    """The same images in a source of their own, where nobody has labelled anything."""
    found = Bench(label_studio)
    found.put(*NAMES)
    return found


def labels(bench: Bench, taken: LabeledDataset) -> dict[str, Any]:
    return {row["key"]: row["label"] for row in read_manifest(bench.store, taken.manifest).to_pylist()}


def test_exported_and_imported_into_a_fresh_project_the_labels_are_the_same(
    version: DatasetVersion, bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "labels.json"
    count, rejected = export_labels(bench.store, version, problem=PROBLEM, path=file)
    assert (count, dict(rejected)) == (5, {"empty label": 1})
    for _ in range(2):
        adopt(
            bench.store,
            bench.client,
            raw=bench.raw,
            plan=bench.plan,
            problem=PROBLEM,
            tasks=read_export(file, PROBLEM),
            shown_from=bench.settings.resolved_store(),
        )
    taken = take_project(bench.store, bench.raw, client=bench.client, title=bench.title, problem=PROBLEM)
    assert labels(bench, taken) == {f"{name}.png": TEXTS[name] for name in NAMES if TEXTS[name]}


def test_label_studio_itself_takes_the_file(version: DatasetVersion, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    export_labels(bench.store, version, problem=PROBLEM, path=file)
    made = bench.sdk.projects.create(title=bench.title, label_config=PROBLEM.label_config)
    bench.sdk.projects.import_tasks(id=made.id, request=json.loads(file.read_text()))
    taken = take_project(bench.store, bench.raw, client=bench.client, title=bench.title, problem=PROBLEM)
    assert labels(bench, taken) == {f"{name}.png": TEXTS[name] for name in NAMES if TEXTS[name]}
    assert bench.offer().offered_count == 1
    (annotation,) = bench.mirror()[0]["annotations"]
    assert not annotation["ground_truth"]


def test_a_task_says_where_the_image_is_and_on_which_side(
    version: DatasetVersion, bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "labels.json"
    export_labels(bench.store, version, problem=PROBLEM, path=file)
    (found,) = (task for task in json.loads(file.read_text()) if task["data"]["key"] == "d.png")
    sha256 = found["data"]["image_sha256"]
    assert found["data"] == {
        "image": f"s3://loopline/blobs/{sha256}",
        "image_sha256": sha256,
        "key": "d.png",
        "split": "val",
    }
    assert PROBLEM.read_label(found["annotations"][0]["result"]).text == "four"


def test_the_same_version_gives_the_same_bytes_and_no_file_is_overwritten(
    version: DatasetVersion, bench: Bench, tmp_path: Path
) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for path in (first, second):
        export_labels(bench.store, version, problem=PROBLEM, path=path)
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        export_labels(bench.store, version, problem=PROBLEM, path=first)
    with pytest.raises(ConfigError, match="can't be written"):
        export_labels(bench.store, version, problem=PROBLEM, path=tmp_path / "none" / "1.json")
    assert not list(tmp_path.glob(".*"))


def test_the_command_says_how_many_it_wrote(
    version: DatasetVersion, bench: Bench, folder: Path, tmp_path: Path
) -> None:
    registry = {"LOOPLINE_REGISTRY__URL": str(folder / "registry.git")}
    answers = [
        subprocess.run(
            [LOOPLINE, "dataset", "export", name, tmp_path / "labels.json"],
            env=environment(bench.settings) | registry,
            capture_output=True,
            text=True,
        )
        for name in ("v1", "v7")
    ]
    written = f"{version.name}: 5 labels in {tmp_path / 'labels.json'}; 1 rejected lines left out (1 empty label)\n"
    assert [(answer.returncode, answer.stdout) for answer in answers] == [(0, written), (2, "")]
    assert answers[1].stderr == f"loopline: there is no dataset/handwriting/v7; choose one of: {version.name}\n"


def rows(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        digest = f"{number:064x}"
        named = {"image_sha256": digest, "key": f"lines/{number}.png", "label": f"line {number}", "split": "train"}
        yield dict.fromkeys(SCHEMA.names) | named


def test_fifty_thousand_lines_take_no_more_memory_than_five_thousand(
    version: DatasetVersion, bench: Bench, tmp_path: Path
) -> None:
    few, many = (peak_bytes(bench.store, version, count, tmp_path) for count in (5_000, 50_000))
    assert many < 1.5 * few


def peak_bytes(store: Store, version: DatasetVersion, count: int, folder: Path) -> int:
    table = pa.Table.from_pylist(list(rows(count)), schema=SCHEMA)
    large = version.model_copy(update={"manifest": write_manifest(store, table)})
    tracemalloc.start()
    try:
        assert export_labels(store, large, problem=PROBLEM, path=folder / f"{count}.json")[0] == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
