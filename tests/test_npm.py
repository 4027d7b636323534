"""A package of the npm registry is used only if it is the pinned one, and fetched once."""

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from websites import served

from loopline.clients.npm import NpmPackage, read_package
from loopline.errors import AccessError, IntegrityError, UnreachableError
from loopline.settings import NPM_REGISTRY, Settings
from loopline.web_page import RUNTIME, RUNTIME_FILES


def archive(content: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as files:
        entry = tarfile.TarInfo("package/dist/lib.js")
        entry.size = len(content)
        files.addfile(entry, io.BytesIO(content))
    return data.getvalue()


CONTENT = archive(b"export const answer = 42;")
PINNED = NpmPackage("lib", "1.2.3", base64.b64encode(hashlib.sha512(CONTENT).digest()).decode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the registry serves."""
    path = tmp_path / "served" / "lib" / "-" / "lib-1.2.3.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return tmp_path / "served"


@pytest.fixture
def registry(folder: Path) -> Iterator[str]:
    with served(folder) as url:
        yield url


def test_the_pinned_package_is_fetched_once(folder: Path, registry: str, tmp_path: Path) -> None:
    for _ in range(2):
        files = read_package(PINNED, ["dist/lib.js"], registry=registry, cache=tmp_path / "cache")
        assert files == {"dist/lib.js": b"export const answer = 42;"}
        (folder / "lib/-/lib-1.2.3.tgz").unlink(missing_ok=True)


def test_a_damaged_copy_is_fetched_anew(registry: str, tmp_path: Path) -> None:
    (tmp_path / PINNED.file).write_bytes(CONTENT[:-1])
    assert read_package(PINNED, ["dist/lib.js"], registry=registry, cache=tmp_path)
    assert (tmp_path / PINNED.file).read_bytes() == CONTENT


def test_other_bytes_are_not_used(folder: Path, registry: str, tmp_path: Path) -> None:
    (folder / "lib/-/lib-1.2.3.tgz").write_bytes(archive(b"export const answer = 43;"))
    with pytest.raises(IntegrityError, match=r"bytes that are not lib 1\.2\.3"):
        read_package(PINNED, ["dist/lib.js"], registry=registry, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_registry_without_the_package_is_named(registry: str, tmp_path: Path) -> None:
    other = NpmPackage("lib", "9.9.9", PINNED.sha512)
    with pytest.raises(AccessError, match=r"lib-9\.9\.9\.tgz answers 404; LOOPLINE_EXPORT__NPM_REGISTRY names"):
        read_package(other, [], registry=registry, cache=tmp_path)


def test_a_registry_that_does_not_answer_is_named(folder: Path, tmp_path: Path) -> None:
    with served(folder) as nowhere:
        pass
    with pytest.raises(UnreachableError, match=rf"{nowhere}lib/-/lib-1\.2\.3\.tgz can't be reached"):
        read_package(PINNED, [], registry=nowhere, cache=tmp_path)


def test_the_registry_is_the_setting_or_npms_own_or_the_public_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY", "LOOPLINE_EXPORT__NPM_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    assert Settings().npm_registry() == NPM_REGISTRY
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://npm.example.com")
    assert Settings().npm_registry() == "https://npm.example.com"
    monkeypatch.setenv("LOOPLINE_EXPORT__NPM_REGISTRY", "https://mirror.example.com/npm/")
    assert Settings().npm_registry() == "https://mirror.example.com/npm/"


def test_the_runtime_that_we_pinned_is_there(tmp_path: Path) -> None:
    files = read_package(RUNTIME, RUNTIME_FILES, registry=Settings().npm_registry(), cache=tmp_path)
    script, program = files.values()
    assert RUNTIME.version.encode() in script
    assert program.startswith(b"\0asm")
