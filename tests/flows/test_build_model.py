"""From a folder of images to an announced model, and round again: what runs, what is cached, and why."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from laptops import Laptop, Outcome

ROOT = Path(__file__).parents[2]
AFTER_THE_EDGES = {"version", "baseline", "train", "evaluate", "package_model", "gate", "report", "announce"}
EPOCHS = 3
DONE = (0, 3)  # ready, or held back by the champion


@pytest.fixture(scope="module")
def alone(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """The laptop with a bucket and a registry that no other module fills."""
    return laptop.apart(tmp_path_factory.mktemp("alone"), bucket="alone")


def stored(laptop: Laptop) -> Path:
    return laptop.home / "store" / laptop.settings["LOOPLINE_STORE__BUCKET"]


def tags(laptop: Laptop) -> list[str]:
    return subprocess.check_output(["git", "tag"], cwd=laptop.settings["LOOPLINE_REGISTRY__URL"], text=True).split()


def cached(outcome: Outcome) -> set[str]:
    assert outcome.code in DONE, outcome.log
    return {step for step, state in outcome.states.items() if state == "Cached"}


@pytest.fixture(scope="module")
def built(alone: Laptop, lines: Path) -> Outcome:
    """The first run on the sample lines."""
    return alone.run(lines, epochs=EPOCHS)


def test_a_folder_becomes_a_versioned_champion_with_a_report(alone: Laptop, built: Outcome) -> None:
    assert built.code == 0, built.log
    assert set(built.states.values()) == {"Completed"}
    report = built.judged["packaged"]["report"]
    assert (built.judged["outcome"], report["sample_count"]) == ("ready", 12)
    assert {"dataset/handwriting/v1", "handwriting@v1.0.0", "handwriting#champion#1"} <= set(tags(alone))
    assert "Character error rate" in (stored(alone) / built.judged["page"]["uri"]).read_text()


def test_a_second_run_does_no_work_and_announces_nothing(alone: Laptop, built: Outcome, lines: Path) -> None:
    before = tags(alone)
    second = alone.run(lines, epochs=EPOCHS)
    assert cached(second) == AFTER_THE_EDGES
    assert second.judged == built.judged
    assert tags(alone) == before


def test_a_changed_label_says_so_repeats_what_follows_and_rewrites_no_shard(
    alone: Laptop, built: Outcome, lines: Path, tmp_path: Path
) -> None:
    assert built.code == 0
    folder = tmp_path / lines.name
    shutil.copytree(lines, folder)
    labels = json.loads((folder / "labels.json").read_text())
    (folder / "labels.json").write_text(json.dumps(labels | dict.fromkeys(list(labels)[:3], "1234")))
    before = {path for path in (stored(alone) / "dvc").rglob("*") if path.is_file()}
    changed = alone.run(folder, epochs=1)
    assert changed.code in DONE, changed.log
    assert "version: 3 labels differ" in changed.log
    assert "train: dataset.manifest changed; plan.recipe.epochs changed from 3 to 1" in changed.log
    assert cached(changed) == set()
    after = {path for path in (stored(alone) / "dvc").rglob("*") if path.is_file()}
    assert len(after - before) == 2, "a new manifest and a new package, and no shard"
    listed = alone.call("dataset").out
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["v1", "v2"]
    assert alone.call("dataset", "get", "v1", tmp_path / "back").code == 0
    manifest = built.judged["packaged"]["report"]["model"]["dataset"]["manifest"]
    assert (tmp_path / "back" / "manifest.parquet").read_bytes() == (stored(alone) / manifest["uri"]).read_bytes()


def test_a_comment_in_a_source_file_repeats_nothing(alone: Laptop, built: Outcome, lines: Path, tmp_path: Path) -> None:
    assert built.code == 0
    ignored = shutil.ignore_patterns(".git", ".venv", ".loopline", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, tmp_path / "clone", ignore=ignored)
    for source in ("loopline/problems/handwriting/augment.py", "loopline/dataset.py", "tasks/train.py"):
        path = tmp_path / "clone" / source
        path.write_text("# a comment\n\n" + path.read_text())
    program = "import sys; from loopline.cli import app; app()"
    commented = alone.call(
        *alone.arguments(lines, epochs=EPOCHS), program=(sys.executable, "-c", program), cwd=tmp_path / "clone"
    )
    assert cached(commented) == AFTER_THE_EDGES


def test_same_content_in_a_renamed_bucket_is_cached(alone: Laptop, built: Outcome, lines: Path, tmp_path: Path) -> None:
    assert built.code == 0
    renamed = replace(alone, settings=alone.settings | {"LOOPLINE_STORE__BUCKET": "renamed"})
    shutil.copytree(stored(alone), stored(renamed))
    assert cached(renamed.run(lines, epochs=EPOCHS)) == AFTER_THE_EDGES
    restored = renamed.call("dataset", "get", "v1", tmp_path / "v1")
    assert restored.code == 0, restored.log


def test_killed_in_mid_training_and_run_again_it_resumes_to_the_same_package(
    laptop: Laptop, built: Outcome, lines: Path, tmp_path: Path
) -> None:
    other = laptop.apart(tmp_path, bucket="killed")
    killed = subprocess.Popen(
        other.command(*other.arguments(lines, epochs=EPOCHS)),
        env=other.environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not list(stored(other).glob("runs/*/state.json")):
        assert killed.poll() is None
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    resumed = other.run(lines, epochs=EPOCHS)
    assert resumed.code == 0, resumed.log
    assert re.search(rf"train: resumes after epoch \d of {EPOCHS}", resumed.log)
    assert {"version", "baseline"} <= cached(resumed)
    assert resumed.judged["packaged"]["archive"]["sha256"] == built.judged["packaged"]["archive"]["sha256"]


def test_a_model_that_misses_a_requirement_is_held_back_with_the_reason(
    alone: Laptop, built: Outcome, lines: Path, tmp_path: Path
) -> None:
    assert built.code == 0
    strict = tmp_path / "strict.yaml"
    strict.write_text("bounds: [{metric: cer, at_most: 0.0001}, {metric: latency_ms, at_most: 10000}]\n")
    arguments = alone.arguments(lines, epochs=EPOCHS)
    arguments[arguments.index("--requirements") + 1] = str(strict)
    held = alone.call(*arguments)
    assert held.code == 3
    assert cached(held) == AFTER_THE_EDGES - {"gate", "report", "announce"}
    assert {found["requirement"]: found["met"] for found in held.judged["verdict"]["findings"]} == {
        "cer": False,
        "latency_ms": True,
    }
    assert "gate: held back: cer is" in held.log
    assert f"handwriting@{held.judged['version']}" in tags(alone)
    assert "cer is" in alone.call("models").out


def test_a_challenger_with_more_data_wins_and_a_worse_one_is_held_back_with_the_interval(
    laptop: Laptop, lines: Path, tmp_path: Path
) -> None:
    other = laptop.apart(tmp_path, bucket="challenged")
    few = shutil.copytree(lines, tmp_path / "lines")
    splits = json.loads((few / "splits.json").read_text())
    (few / "splits.json").write_text(json.dumps(splits | {"train": splits["train"][:16]}))
    first = other.run(few, epochs=1)
    better = other.run(lines, epochs=60, values=("augment=0", "wear=0", "dropout=0", "patience=60"))
    worse = other.run(lines, epochs=1)
    assert [outcome.code for outcome in (first, better, worse)] == [0, 0, 3], better.log + worse.log
    for outcome, sign in ((better, -1), (worse, 1)):
        found = outcome.judged["verdict"]["findings"][-1]
        low, high = found["interval_95"]
        assert "minus that of champion" in found["requirement"]
        assert found["met"] == (sign < 0)
        assert low <= found["measured"] <= high
        assert found["measured"] * sign > 0
    assert {"handwriting#champion#1", "handwriting@v3.0.0"} <= set(tags(other))
    assert "cer minus that of champion v2.0.0" in worse.log


def test_pictures_are_read_with_the_champion(alone: Laptop, built: Outcome, lines: Path, tmp_path: Path) -> None:
    assert built.code == 0
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    read = alone.call("read", *sorted((lines / "images").iterdir())[:2], broken, "--json")
    answers = [json.loads(line) for line in read.out.splitlines()]
    assert [set(answer) for answer in answers] == [{"image", "text", "confidence"}] * 2 + [{"image", "error"}]
    assert read.code == 1


def test_the_champion_is_shown_on_a_page_until_told_otherwise(alone: Laptop, built: Outcome, tmp_path: Path) -> None:
    assert built.code == 0
    empty = replace(alone, home=tmp_path / "empty").call("up", "--demo")
    assert (empty.code, empty.last_line.count("there is no model to show yet")) == (2, 1)
    assert alone.call("up", "--demo").code == 0
    places = dict(re.findall(r"^(reader|demo) +running +(\S+)", alone.call("status").out, re.MULTILINE))
    assert "Read a line" in httpx.get(places["demo"], trust_env=False).text
    assert httpx.get(f"{places['reader']}/model", trust_env=False).status_code == 401
    assert places["demo"] in alone.call("open").out
    ended = alone.call("up", "--no-demo")
    assert ended.code == 0 and "demo" not in ended.out
