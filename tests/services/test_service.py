"""The Bento of a package, served by BentoML over HTTP: it answers as the package does, and tells of itself."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import bentos
import pytest
from openapi_spec_validator import validate
from PIL import Image

from loopline.answers import Model, Reading, ReadingBatch
from loopline.clients.bento import build_bento
from loopline.images import decode
from loopline.problems.handwriting.samples import write_samples
from loopline.serving import Predictor

ROOT = Path(__file__).parents[2]
# Runs a Bento's source with nothing importable but the packages that it asks for, and what those need themselves.
ALONE = """
import sys
from importlib import metadata
from pathlib import Path
from packaging.requirements import Requirement

source, image = Path(sys.argv[1]), Path(sys.argv[2])
allowed, waiting = set(), (source.parent / "env/python/requirements.txt").read_text().split()
while waiting:
    wanted = Requirement(waiting.pop())
    name = wanted.name.lower().replace("_", "-")
    if name not in allowed and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
        allowed.add(name)
        waiting += metadata.requires(name) or []
owners = metadata.packages_distributions()
missing = {top for top, names in owners.items() if not {n.lower().replace("_", "-") for n in names} & allowed}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing - {"loopline"}:
            raise ModuleNotFoundError(f"{name} is not in the Bento")

assert {"torch", "lightning", "prefect", "sklearn", "dvc"} <= missing, missing
sys.meta_path.insert(0, Missing())
sys.path.insert(0, str(source))
import loopline, service
assert Path(loopline.__file__).is_relative_to(source)
service.Reader.inner()
predictor, _ = service.opened(service.read_settings())
print(predictor.read_images([image.read_bytes()]))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("samples") / "lines"
    write_samples(folder, counts={"train": 1, "validation": 1, "test": 1})
    return sorted((folder / "images").iterdir())


@pytest.fixture(scope="module")
def predictor(bento: Path) -> Predictor:
    return Predictor.open(bento / "src/package.zip")


def as_read(predictor: Predictor, image: bytes) -> dict[str, object]:
    """Return what the service must answer, but for the parts that differ each time."""
    upright = decode(image)
    ((answer, parts),) = predictor.locate([predictor.problem.preprocess(upright)])
    return {
        "text": answer.text,
        "confidence": pytest.approx(answer.confidence, abs=1e-6),
        "unsure": answer.confidence < 0.5,
        "characters": [
            {
                "text": part.text,
                "confidence": pytest.approx(part.confidence, abs=1e-6),
                "left_px": pytest.approx(part.start * upright.width, abs=0.06),
                "right_px": pytest.approx(part.end * upright.width, abs=0.06),
            }
            for part in parts
        ],
        "width_px": upright.width,
        "height_px": upright.height,
    }


def varying(reading: dict[str, object]) -> dict[str, object]:
    return {name: reading.pop(name) for name in ("prediction_id", "model")}


def test_the_service_answers_what_the_package_answers(
    reader: bentos.Served, predictor: Predictor, images: list[Path]
) -> None:
    ids = set()
    with reader.client() as client:
        for image in images:
            data = image.read_bytes()
            uploaded = client.post("/read", files={"image": (image.name, data)})
            raw = client.post("/read", content=data, headers={"content-type": "image/png"})
            for answer in (uploaded, raw):
                assert answer.status_code == 200, answer.text
                Reading.model_validate_json(answer.content)
                said = answer.json()
                ids.add(varying(said)["prediction_id"])
                assert said == as_read(predictor, data)
    assert len(ids) == 2 * len(images)


def test_a_batch_answers_in_order_and_one_bad_picture_spoils_no_other(
    reader: bentos.Served, predictor: Predictor, images: list[Path]
) -> None:
    sent = [images[0].read_bytes(), b"no picture", *(image.read_bytes() for image in images[1:])]
    with reader.client() as client:
        answer = client.post("/read_batch", files=[("image", data) for data in sent])
    assert answer.status_code == 200, answer.text
    ReadingBatch.model_validate_json(answer.content)
    readings = answer.json()["readings"]
    assert readings.pop(1) == {"error": "the picture can't be read: not a PNG, JPEG, WEBP or TIFF image"}
    assert len({varying(reading)["prediction_id"] for reading in readings}) == len(images)
    assert readings == [as_read(predictor, image.read_bytes()) for image in images]


def test_a_turned_photo_is_read_as_the_upright_picture(
    reader: bentos.Served, predictor: Predictor, images: list[Path]
) -> None:
    upright = Image.open(images[0]).convert("L")
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    body = io.BytesIO()
    turned.save(body, "PNG", exif=exif)
    with reader.client() as client:
        said = client.post("/read", files={"image": body.getvalue()}).json()
    varying(said)
    plain = io.BytesIO()
    upright.save(plain, "PNG")
    assert said == as_read(predictor, plain.getvalue())


def test_it_says_which_model_answers(reader: bentos.Served, bento: Path, images: list[Path]) -> None:
    with reader.client() as client:
        model = Model.model_validate_json(client.get("/model").content)
        reading = client.post("/read", files={"image": images[0].read_bytes()}).json()
    written = (bento / "src/package.sha256").read_text()
    assert written == f"{model.package_sha256}  package.zip\n"
    assert subprocess.run(["sha256sum", "--check", "package.sha256"], cwd=bento / "src").returncode == 0
    assert reading["model"] == model.model == f"handwriting:{model.package_sha256[:12]}"
    assert (model.characters, model.least_confidence) == ("0123456789", 0.5)
    assert model.card.startswith("# handwriting") and model.metrics["cer"] == 0.0083


def test_it_describes_itself_with_examples(reader: bentos.Served) -> None:
    with reader.client() as client:
        description = client.get("/openapi.json").json()
    validate(description)
    assert set(description["paths"]) == {
        *("/read", "/read_batch", "/correct", "/predictions/{prediction_id}", "/model", "/metrics")
    }
    answers = {
        path: description["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["example"]
        for path in ("/read", "/read_batch")
    }
    Reading.model_validate(answers["/read"])
    ReadingBatch.model_validate(answers["/read_batch"])


def test_where_nothing_is_kept_nothing_can_be_corrected_or_deleted(reader: bentos.Served, images: list[Path]) -> None:
    sentence = {"error": "nothing is kept here, so that there is nothing to correct or to delete"}
    with reader.client() as client:
        name = client.post("/read", files={"image": images[0].read_bytes()}).json()["prediction_id"]
        for answer in (
            client.post("/correct", json={"prediction_id": name, "text": "407"}),
            client.delete(f"/predictions/{name}"),
        ):
            assert (answer.status_code, answer.json()) == (409, sentence)


def test_numbers_of_both_processes_are_summed(reader: bentos.Served, images: list[Path]) -> None:
    def count(sample: str) -> float:
        with reader.client() as client:
            found = re.search(rf"^{re.escape(sample)} (.*)$", client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0

    read = 'loopline_requests_total{path="/read",status="200"}'
    before, before_confidences = count(read), count("loopline_confidence_count")
    for _ in range(12):  # each on a connection of its own, which either process takes
        with reader.client() as client:
            assert client.post("/read", files={"image": images[0].read_bytes()}).status_code == 200
    assert len(reader.workers()) == 2
    assert count(read) == before + 12
    assert count("loopline_confidence_count") == before_confidences + 12
    assert count("loopline_waiting") == 0


def test_each_visit_is_one_line_that_holds_nothing_of_the_user(reader: bentos.Served, images: list[Path]) -> None:
    with reader.client(params={"secret": "q-canary"}) as client:
        answer = client.post("/read", files={"image": ("f-canary\r\nX-Evil: 1.png", images[0].read_bytes())})
        client.get("/p-canary%1b%5b31m%0d%0a")
        text = answer.json()["text"]
    (visit,) = [line for line in reader.lines() if line.get("request_id") == answer.headers["x-request-id"]]
    assert visit | {"time": "", "ms": 0, "bytes": 0} == {
        **{"time": "", "level": "info", "message": "answered", "request_id": visit["request_id"], "method": "POST"},
        **{"path": "/read", "status": 200, "ms": 0, "bytes": 0, "key": bentos.KEYED[KEY_HASHES][:8]},
    }
    written = reader.log.read_text()
    assert not [word for word in ("canary", bentos.KEYS[0], f'"{text}"', "\x1b") if word in written]


KEY_HASHES = "LOOPLINE_SERVICE__KEY_HASHES"


def test_the_serving_processes_know_no_torch(reader: bentos.Served) -> None:
    processes = [reader.process, *reader.process.children(recursive=True)]
    libraries = {Path(part.path).name for process in processes for part in process.memory_maps()}
    assert any("onnxruntime" in name for name in libraries)
    assert not [name for name in libraries if "torch" in name]


def test_a_bento_answers_where_only_its_own_packages_are(bento: Path, predictor: Predictor, images: list[Path]) -> None:
    (ours,) = predictor.read_images([images[0].read_bytes()])
    done = subprocess.run(
        [sys.executable, "-P", "-c", ALONE, bento / "src", images[0]],
        cwd=bento,
        env=os.environ | bentos.OPEN,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([ours])


def test_a_bento_holds_no_path_of_the_machine_that_built_it(bento: Path) -> None:
    private = [str(path).encode() for path in (ROOT, Path(sys.prefix), bento.parents[3])]
    built = (path for path in bento.rglob("*") if path.is_file())
    files = [path for path in built if path.parent.name != "__pycache__"]  # written where it was served
    assert bento / "src/package.zip" in files
    assert [file for file in files if any(path in file.read_bytes() for path in private)] == []


def test_a_package_built_before_is_not_built_again(bento: Path, tmp_path: Path) -> None:
    home = bento.parents[2]
    before = {path: path.stat().st_mtime_ns for path in bento.rglob("*")}
    package = (bento / "src/package.zip").read_bytes()
    assert build_bento(package, "handwriting", version="v1", home=home, folder=tmp_path) == "handwriting:v1"
    assert {path: path.stat().st_mtime_ns for path in bento.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []
