"""What a user is told when nothing can be built: one sentence, at the end, and nothing half-written anywhere."""

import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from laptops import Laptop, Outcome
from PIL import Image

from loopline.errors import ConfigError, UnreachableError
from loopline.laptop_addresses import LaptopAddresses
from loopline.orders import FitPlan, Order
from tasks.accept import accept
from tasks.ingest import ingest

READY, FAILED, MISTAKEN = 0, 1, 2
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
SECRET = "n0t-the-right-secret"


def png(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.new("L", (width, height), 255).save(target, "PNG")
    return target.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its body doesn't have."""
    data = png(1, 1)
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


BAD_IMAGES: Mapping[str, tuple[bytes, str]] = {
    "bad/zero.png": (b"", "zero bytes"),
    "bad/cut.png": (png(200, 40)[:-30], "truncated"),
    "bad/letter.png": (b"Dear Sir or Madam", "not a PNG, JPEG, WEBP or TIFF image"),
    "bad/narrow.png": (png(1, 40), "a side under 8 px"),
    "bad/bomb.png": (claiming(20_000, 20_000), "over 40 megapixels"),
}


@pytest.fixture(scope="module")
def alone(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """The laptop with a bucket and a registry in which nothing is ever built."""
    return laptop.apart(tmp_path_factory.mktemp("alone"), bucket="bad-input")


def stored(laptop: Laptop) -> Path:
    return laptop.home / "store" / laptop.settings["LOOPLINE_STORE__BUCKET"]


def tags(laptop: Laptop) -> list[str]:
    registry = laptop.settings["LOOPLINE_REGISTRY__URL"]
    if not Path(registry).exists():
        return []
    return subprocess.check_output(["git", "tag"], cwd=registry, text=True).split()


def refusal(laptop: Laptop, outcome: Outcome, *, code: int = FAILED) -> str:
    """Return the sentence in which a run was refused, having checked that it left nothing but that."""
    assert outcome.code == code, outcome.log
    assert outcome.out == ""
    assert "Traceback" not in outcome.log
    assert outcome.last_line.startswith("loopline: "), outcome.log
    assert tags(laptop) == []
    assert not (stored(laptop) / "dvc").exists()
    assert not list((laptop.home / "tmp").glob("*"))
    return outcome.last_line.removeprefix("loopline: ")


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A folder with one line, which is as much as is needed where nothing is built."""
    return write(tmp_path / "line", {"1.png": png(200, 40), "labels.json": b'{"1.png": "4071"}'})


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def assert_in_quarantine_with_the_reason(laptop: Laptop) -> None:
    notes = [json.loads(note.read_text()) for note in (stored(laptop) / "quarantine").glob("*.json")]
    reasons = {name: reason for name, (_, reason) in BAD_IMAGES.items()}
    assert {note["key"].split("/", 2)[-1]: note["reason"] for note in notes} == reasons


def test_empty_folder(alone: Laptop, tmp_path: Path) -> None:
    assert refusal(alone, alone.run(tmp_path)) == f"{tmp_path} has no files; name a folder with images"


def test_source_that_does_not_exist(alone: Laptop) -> None:
    sentence = "there are no images under s3://bad-input/inbox/nowhere/; put some there, or name another source"
    assert refusal(alone, alone.run("inbox/nowhere")) == sentence


def test_store_that_does_not_answer(alone: Laptop, line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is asked itself: through the flow it would be tried again for most of a minute."""
    keys = {"LOOPLINE_STORE__ACCESS_KEY": "key", "LOOPLINE_STORE__SECRET_KEY": SECRET}
    lost = replace(alone, settings={**alone.settings, **keys, "LOOPLINE_STORE__ENDPOINT": NOWHERE})
    sentence = refusal(lost, lost.run(line))
    assert sentence.startswith(f"the store at {NOWHERE} did not answer for s3://bad-input/inbox/line/")
    assert sentence.endswith("check that it runs and that LOOPLINE_STORE__ENDPOINT is right")
    for name, value in lost.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnreachableError, match=f"the store at {NOWHERE} did not answer"):
        ingest.fn("handwriting", "inbox/line")


def test_wrong_credentials(alone: Laptop, line: Path) -> None:
    laptop = LaptopAddresses.read(alone.home)
    keys = {"LOOPLINE_STORE__ACCESS_KEY": laptop.store_access_key, "LOOPLINE_STORE__SECRET_KEY": SECRET}
    locked_out = replace(alone, settings={**alone.settings, **keys, "LOOPLINE_STORE__ENDPOINT": laptop.store_url})
    outcome = locked_out.run(line)
    sentence = refusal(locked_out, outcome)
    assert sentence.startswith(f"the store at {laptop.store_url} refused s3://bad-input/inbox/line/")
    assert "check LOOPLINE_STORE__ACCESS_KEY, LOOPLINE_STORE__SECRET_KEY" in sentence
    assert SECRET not in outcome.log


def test_labels_that_are_no_json(alone: Laptop, line: Path) -> None:
    (line / "labels.json").write_text("{'1.png': '4071'}")
    sentence = refusal(alone, alone.run(line))
    assert sentence.startswith("s3://bad-input/inbox/line/labels.json can't be read as JSON: Expecting property name")
    assert sentence.endswith("mend the file and run again")


def test_requirement_that_names_no_known_metric(alone: Laptop) -> None:
    arguments = alone.arguments("inbox/line")
    Path(arguments[arguments.index("--requirements") + 1]).write_text("bounds: [{metric: speed, at_most: 1}]\n")
    sentence = refusal(alone, alone.call(*arguments), code=MISTAKEN)
    assert sentence.startswith("requirement 'speed' names no known metric; choose from: beats_baseline, cer,")


def test_recipe_value_out_of_bounds() -> None:
    """The step is asked itself: that a flow ends with such a sentence is seen above."""
    order = Order(source="inbox/line", plan=FitPlan(recipe={"epochs": 0, "chanels": 8}))
    with pytest.raises(ConfigError) as refused:
        accept.fn(order)
    assert str(refused.value).startswith("the recipe for handwriting does not hold: ")
    for wrong in ("epochs: input should be greater than or equal to 1", "chanels: extra inputs are not permitted"):
        assert wrong in str(refused.value)


def test_images_that_can_all_not_be_used(alone: Laptop, tmp_path: Path) -> None:
    files = {name: data for name, (data, _) in BAD_IMAGES.items()}
    folder = write(tmp_path / "unusable", {**files, "labels.json": json.dumps(dict.fromkeys(files, "1")).encode()})
    sentence = refusal(alone, alone.run(folder))
    assert sentence.startswith("no image under s3://bad-input/inbox/unusable/ can be used: 5 quarantined (")
    for _, reason in BAD_IMAGES.values():
        assert f"1 {reason}" in sentence
    assert sentence.endswith("the reason for each is in s3://bad-input/quarantine/")
    assert_in_quarantine_with_the_reason(alone)


def test_some_bad_images_and_labels_do_not_stop_the_rest(laptop: Laptop, lines: Path, tmp_path: Path) -> None:
    mixed = laptop.apart(tmp_path, bucket="mixed-input")
    folder = shutil.copytree(lines, tmp_path / "mixed")
    write(folder, {name: data for name, (data, _) in BAD_IMAGES.items()})
    labels = json.loads((folder / "labels.json").read_text())
    splits = json.loads((folder / "splits.json").read_text())
    first, second, *_ = splits["train"]
    (folder / "images/unlabelled.png").write_bytes(png(90, 40))
    (folder / "images/twin.png").write_bytes((folder / second).read_bytes())
    more = dict.fromkeys([*BAD_IMAGES, "gone.png"], "1") | {first: " ", "images/twin.png": "another"}
    (folder / "labels.json").write_text(json.dumps(labels | more))
    outcome = mixed.run(folder, epochs=1)
    assert outcome.code == READY, outcome.log
    dataset = outcome.judged["packaged"]["report"]["model"]["dataset"]
    assert dataset["split_sizes"] == {"train": 46, "val": 12, "test": 12}
    labeled = dataset["labeled"]
    assert (labeled["label_count"], labeled["rejected_count"]) == (71, 8)
    assert (labeled["raw"]["image_count"], labeled["raw"]["quarantined_count"]) == (74, 5)
    assert_in_quarantine_with_the_reason(mixed)
    page = (stored(mixed) / outcome.judged["page"]["uri"]).read_text()
    for reason in ("image quarantined", "same image with two labels", "no such image", "empty label"):
        assert reason in page
