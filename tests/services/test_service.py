"""The Bento of a package, served by BentoML over HTTP: it answers as the package does, and refuses with a sentence."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import packages
import psutil
import pytest

from loopline.clients.bento import build_bento
from loopline.problems.handwriting.samples import draw_lines, write_samples
from loopline.quantization import quantize
from loopline.serving import Predictor

ROOT = Path(__file__).parents[2]
NO_PICTURES = {
    "garbage.bin": bytes(range(256)) * 4,
    "garbage.png": bytes(range(256)) * 4,
    "note.txt": b"four zero seven one",
    "empty.png": b"",
    "cut.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
}
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

assert {"torch", "lightning", "prefect", "boto3", "sklearn", "dvc"} <= missing, missing
sys.meta_path.insert(0, Missing())
sys.path.insert(0, str(source))
import loopline, service
assert Path(loopline.__file__).is_relative_to(source)
print(service.Reader.inner().predictor.read_images([image.read_bytes()]))
"""


@dataclass(frozen=True)
class Served:
    """A built Bento, and the address at which it answers."""

    archive: bytes
    bento: Path
    url: str
    process: psutil.Process

    def post(self, **form: object) -> httpx.Response:
        return httpx.post(f"{self.url}/read", timeout=30, **form)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def archive() -> bytes:
    """A package in whole numbers whose decoder knows language."""
    lines = [line.pixels for line in draw_lines(seed=1, counts={"train": 4})]
    small = quantize(packages.network(), [packages.PROBLEM.inputs([line], packages.RECIPE) for line in lines])
    beam = packages.PROBLEM.decodings()[-1]
    return packages.package(beam, language=packages.PROBLEM.language(["407", "1223"]), onnx=small)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("samples") / "lines"
    write_samples(folder, counts={"train": 1, "validation": 1, "test": 1})
    return sorted((folder / "images").iterdir())


@pytest.fixture(scope="module")
def served(archive: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The Bento, really served on a free port of the loopback."""
    folder = tmp_path_factory.mktemp("bento")
    home, context = folder / "home", folder / "work"
    context.mkdir()
    tag = build_bento(archive, "handwriting", version="v1", home=home, folder=context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = folder / "serve.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"},
            stdout=out,
            stderr=out,
        ) as process,
    ):
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
            place = home / "bentos" / "handwriting" / "v1"
            yield Served(archive, place, f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            _, left = psutil.wait_procs(children, timeout=15)
            assert not left


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_the_service_answers_what_the_package_answers(served: Served, images: list[Path]) -> None:
    predictor = Predictor.open(served.archive)
    for image in images:
        (ours,) = predictor.read_images([image.read_bytes()])
        answer = served.post(files={"image": (image.name, image.read_bytes())})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"text": ours.text, "confidence": pytest.approx(ours.confidence, abs=1e-6)}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_refused_with_a_sentence(served: Served, name: str) -> None:
    answer = served.post(files={"image": (name, NO_PICTURES[name])})
    assert answer.status_code == 400
    assert "the picture can't be read: " in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"image": "http://127.0.0.1:9/line.png"}, "files": {"other": b""}},
        {"data": {"image": "file:///etc/hostname"}, "files": {"other": b""}},
        {"files": {"other": b"the wrong field"}},
        {"files": [("image", b"one"), ("image", b"two")]},
        {"json": {"image": "http://127.0.0.1:9/line.png"}},
        {"content": b"--x\r\nnonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"no boundary", "headers": {"content-type": "multipart/form-data"}},
        {},
    ],
    ids=["address", "local address", "other field", "two files", "json", "damaged", "no boundary", "nothing"],
)
def test_what_is_no_upload_is_refused_and_nothing_is_fetched(served: Served, form: dict[str, object]) -> None:
    answer = served.post(**form)
    assert (answer.status_code, answer.json()) == (400, {"error": "send one picture as the file `image` of a form"})


def test_an_upload_over_the_limit_is_refused_and_the_service_goes_on(served: Served, images: list[Path]) -> None:
    answer = served.post(files={"image": ("big.png", bytes(65_000_000))})
    assert (answer.status_code, answer.json()) == (413, {"error": "the picture is over 64 MB"})
    assert served.post(files={"image": images[0].read_bytes()}).status_code == 200


def test_the_serving_processes_know_no_torch(served: Served) -> None:
    processes = [served.process, *served.process.children(recursive=True)]
    libraries = {Path(part.path).name for process in processes for part in process.memory_maps()}
    assert any("onnxruntime" in name for name in libraries)
    assert not [name for name in libraries if "torch" in name]


def test_a_bento_answers_where_only_its_own_packages_are(served: Served, images: list[Path]) -> None:
    (ours,) = Predictor.open(served.archive).read_images([images[0].read_bytes()])
    done = subprocess.run(
        [sys.executable, "-P", "-c", ALONE, served.bento / "src", images[0]],
        cwd=served.bento,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([ours])


def test_a_bento_holds_no_path_of_the_machine_that_built_it(served: Served) -> None:
    private = [str(path).encode() for path in (ROOT, Path(sys.prefix), served.bento.parents[3])]
    files = [path for path in served.bento.rglob("*") if path.is_file()]
    assert served.bento / "src/package.zip" in files
    assert [file for file in files if any(path in file.read_bytes() for path in private)] == []


def test_a_package_built_before_is_not_built_again(served: Served, tmp_path: Path) -> None:
    home = served.bento.parents[2]
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    assert build_bento(served.archive, "handwriting", version="v1", home=home, folder=tmp_path) == "handwriting:v1"
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []
