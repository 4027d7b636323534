"""A champion goes to devices: every form of its network is checked on the test lines before anything is written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from benches import Bench, make_bench
from PIL import Image
from registries import PROBLEM

from loopline import contracts as c
from loopline.problems.handwriting import device, inputs
from loopline.problems.handwriting.alphabet import greedy
from loopline.problems.handwriting.lines import preprocess
from loopline.problems.handwriting.recipe import Recipe
from loopline.settings import StoreSettings

TARGETS = ["onnx", "onnx-int8", "mobile"]
LARGEST_DRIFT = 1e-3
LOOPLINE = Path(sys.executable).parent / "loopline"

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bench(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(s3_server, tmp_path_factory.mktemp("devices"))


@pytest.fixture(scope="module")
def packaged(bench: Bench) -> c.PackagedModel:
    """The champion's package: a model that reads nonsense, and other nonsense on each line."""
    made = bench.package(bench.judge(bench.loud_model()))
    commit(bench, made, kind=c.ModelReady)
    return made


def commit(bench: Bench, packaged: c.PackagedModel, *, kind: type[c.ModelReady] | type[c.HeldBack]) -> None:
    """Give a package the next version."""
    archive = bench.place.folder / "package.zip"
    archive.write_bytes(bench.store.read_artifact(packaged.archive))
    page, verdict = bench.store.put(b"<html>", "reports/any.html"), c.Verdict(findings=())
    draft = kind(problem=PROBLEM, version="", packaged=packaged, verdict=verdict, page=page)
    bench.place.registry.commit_model(draft, archive)


@pytest.fixture(scope="module")
def call(bench: Bench, packaged: c.PackagedModel) -> Call:
    """The command, as a user types it who has a registry with one champion."""
    assert packaged
    ours = {
        "LOOPLINE_STORE": json.dumps(bench.place.store.model_dump() | {"secret_key": "testsecret"}),
        "LOOPLINE_REGISTRY__URL": str(bench.place.git),
        "LOOPLINE_HOME": str(bench.place.home),
        "COLUMNS": "200",
    }

    def run(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | ours | settings
        return subprocess.run([LOOPLINE, *arguments], env=environment, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture(scope="module")
def folder(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an export of three targets wrote, and beside it what it said."""
    folder = tmp_path_factory.mktemp("export") / "device"
    done = call("export", *(part for target in TARGETS for part in ("--target", target)), folder)
    assert done.returncode == 0, done.stderr
    (folder.parent / "said.txt").write_text(done.stdout)
    return folder


def test_each_target_has_all_that_a_device_needs(folder: Path, packaged: c.PackagedModel) -> None:
    assert {path.name for path in folder.iterdir()} == {"README.md", "figures.json", *TARGETS}
    for target in TARGETS:
        about = json.loads((folder / target / "reader.json").read_text())
        assert (folder / target / about["network"]).stat().st_size > 10_000
        assert (folder / target / "CARD.md").read_text().startswith("#")
        assert about["package"] == packaged.archive.sha256
        assert about["version"] == "v1.0.0"
        assert (about["language"] is None) == (about["decoding"]["name"] == "greedy")
    operators = (folder / "mobile" / "required_operators.config").read_text()
    assert re.search(r"^ai\.onnx;13;.*LogSoftmax", operators, re.MULTILINE)


def test_networks_read_by_what_lies_beside_them_alone(call: Call, folder: Path, bench: Bench) -> None:
    """What device.md says, done with the exported files: it is what `loopline read` reads."""
    image = sorted((bench.place.folder / "lines" / "images").iterdir())[-1]
    said = json.loads(call("read", image, "--json").stdout)
    found = {target: read(folder / target, image) for target in TARGETS}
    assert found["mobile"] == (said["text"], pytest.approx(said["confidence"], abs=LARGEST_DRIFT))
    assert found["onnx"][1] == pytest.approx(found["onnx-int8"][1], abs=0.2)


def read(folder: Path, image: Path) -> tuple[str, float]:
    about = json.loads((folder / "reader.json").read_text())
    recipe = Recipe(height_px=about["facts"]["height_px"])
    assert device(recipe) == about["facts"]
    fed = inputs([preprocess(Image.open(image).convert("L"))], recipe)
    (log_probs_BTC,) = onnxruntime.InferenceSession(folder / about["network"]).run(None, fed)
    frames = -(-int(fed["widths"][0]) // about["facts"]["frame_px"])
    return greedy(np.asarray(log_probs_BTC)[0, :frames], about["vocabulary"])


def test_table_is_printed_and_written_with_size_time_and_errors(folder: Path, packaged: c.PackagedModel) -> None:
    figures: list[dict[str, Any]] = json.loads((folder / "figures.json").read_text())
    said, readme = (folder.parent / "said.txt").read_text(), (folder / "README.md").read_text()
    assert [found["target"] for found in figures] == TARGETS
    for found in figures:
        network = "model.ort" if found["target"] == "mobile" else "model.onnx"
        assert found["size_bytes"] == (folder / found["target"] / network).stat().st_size
        assert found["latency_ms"] > 0
        for text in (found["target"], f"{found['latency_ms']:.1f}", f"{found['value']:.4f}", found["beside"]):
            assert text in " ".join(said.split())
            assert text in readme
    exact, whole, mobile = figures
    assert exact["value"] == packaged.report.metrics["cer"]
    assert mobile["value"] == packaged.metrics["cer"]
    assert exact["beside"].startswith("the trained model: 40 of 40 texts equal, confidences differ by at most")
    assert re.match(r"onnx: \d+ of 40 texts equal, cer [+-][\d.]+ \([+-][\d.]+ to [+-][\d.]+\); ", whole["beside"])
    assert "{" not in readme.partition("reader.json")[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "toaster", "new"], "there is no target 'toaster'; choose from: onnx, onnx-int8, mobile, web"),
        (["--target", "onnx", "used"], "is not an empty folder; name a new one"),
        (["--target", "onnx", "--version", "v9.0.0", "new"], "handwriting has no v9.0.0; versions: v1.0.0"),
    ],
    ids=["target", "folder", "version"],
)
def test_mistakes_are_told_in_one_sentence(call: Call, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "kept.txt").write_text("mine")
    done = call("export", *arguments[:-1], tmp_path / arguments[-1])
    assert done.returncode == 2
    assert done.stderr.strip().endswith(sentence)
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_nothing_is_written_if_one_target_fails(call: Call, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    done = call(
        "export", "--target", "mobile", "--target", "web", tmp_path / "new", LOOPLINE_EXPORT__NPM_REGISTRY=nowhere
    )
    assert done.returncode == 1
    assert "LOOPLINE_EXPORT__NPM_REGISTRY names another npm registry" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_network_that_does_not_read_as_its_model_did_is_not_written(
    call: Call, bench: Bench, packaged: c.PackagedModel, tmp_path: Path
) -> None:
    """A version that was judged on the answers of another model."""
    report = packaged.report.model_copy(update={"worst": bench.judge(bench.model("1")).worst})
    commit(bench, packaged.model_copy(update={"report": report}), kind=c.HeldBack)
    done = call("export", "--target", "mobile", "--target", "onnx", "--version", "v2.0.0", tmp_path / "new")
    assert done.returncode == 1
    assert re.search(r"line 0: the model reads '1' \(1\.0000\), its package '.*'", done.stderr)
    assert not (tmp_path / "new").exists()
