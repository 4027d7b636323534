"""What keeps the service from starting, and the one sentence with which it says so."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import bentos
import packages
import pytest
from bentos import KEYED, KEYS, OPEN

from loopline.keys import hash_of

NOBODY = "nobody may ask this service: set LOOPLINE_SERVICE__KEY_HASHES to what `loopline key` prints"


@pytest.fixture
def copied(bento: Path, tmp_path: Path) -> Iterator[Path]:
    """A Bento that may be damaged."""
    shutil.copytree(bento.parents[2], tmp_path / "home")
    yield tmp_path / "home" / "bentos" / "handwriting" / "v1"


def refusal(bento: Path, folder: Path, environment: dict[str, str]) -> str:
    """Start a Bento that can't be served; return what it says in the end."""
    log = folder / "serve.log"
    process = bentos.start(bento, environment, port=1, log=log)
    assert process.wait(bentos.READY_SECONDS) == 1, log.read_text()
    written = log.read_text()
    assert "Traceback" not in written
    (sentence,) = [line for line in written.splitlines() if line.startswith("loopline: ")]
    assert written.endswith(sentence + "\n")
    return sentence.removeprefix("loopline: ")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, NOBODY),
        ({"LOOPLINE_SERVICE__KEY_HASHES": " , "}, NOBODY),
        (KEYED | OPEN, "LOOPLINE_SERVICE__OPEN=true lets in those without a key too; unset it, or unset the keys"),
        ({"LOOPLINE_SERVICE__KEY_HASHES": KEYS[0]}, "LOOPLINE_SERVICE__KEY_HASHES: should be sha256 hashes in hex"),
        (OPEN | {"LOOPLINE_SERVICE__TIMEOUT_SECONDS": "0"}, "LOOPLINE_SERVICE__TIMEOUT_SECONDS: "),
    ],
    ids=["nobody", "no hash", "both", "a key for a hash", "no time"],
)
def test_what_is_set_wrongly_is_named(bento: Path, tmp_path: Path, environment: dict[str, str], sentence: str) -> None:
    said = refusal(bento, tmp_path, environment)
    assert said.startswith(sentence)
    assert KEYS[0] not in said


def test_an_altered_package_is_refused(copied: Path, tmp_path: Path) -> None:
    package = copied / "src/package.zip"
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 1
    package.write_bytes(data)
    assert "it was altered or is another model's, so build the Bento again" in refusal(copied, tmp_path, OPEN)


def test_another_package_than_the_one_asked_for_is_refused(bento: Path, tmp_path: Path) -> None:
    other = {"LOOPLINE_SERVICE__PACKAGE_SHA256": hash_of("other")}
    assert f"instead of {hash_of('other')}" in refusal(bento, tmp_path, OPEN | other)


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        (b"no package", "this is no model package: File is not a zip file; fetch it from the registry again"),
        (packages.package(onnx=b"no network"), "this is no network that ONNX Runtime can run: "),
    ],
    ids=["no zip", "no network"],
)
def test_a_broken_package_is_refused(tmp_path: Path, package: bytes, sentence: str) -> None:
    assert refusal(bentos.build(package, tmp_path), tmp_path, OPEN).startswith(sentence)
