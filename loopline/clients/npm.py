"""The npm registry: one package of a pinned version, fetched over HTTPS without npm and checked before it is used."""

import base64
import hashlib
import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from loopline.errors import AccessError, IntegrityError, UnreachableError

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class NpmPackage:
    """A package as npm's own lock files name it."""

    name: str
    version: str
    sha512: str  # of its archive, in base64: what stands behind `sha512-` in a lock file

    @property
    def file(self) -> str:
        """The archive's name in the registry."""
        return f"{self.name}-{self.version}.tgz"


def read_package(package: NpmPackage, paths: Sequence[str], *, registry: str, cache: Path) -> Mapping[str, bytes]:
    """Return some of a package's files by their paths in it; the archive is fetched once and kept in `cache`.

    Raises UnreachableError or AccessError for the registry, IntegrityError for an archive that is not the pinned one.
    """
    kept = cache / package.file
    archive = kept.read_bytes() if kept.exists() else b""
    if not _is_pinned(archive, package):
        archive = _fetch(package, registry)
        _keep(archive, kept)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        return {path: _member(files, path) for path in paths}


def _fetch(package: NpmPackage, registry: str) -> bytes:
    url = f"{registry.rstrip('/')}/{package.name}/-/{package.file}"
    try:
        response = httpx.get(url, timeout=TIMEOUT_SECONDS, follow_redirects=True)
    except httpx.HTTPError as error:
        words = str(error) or type(error).__name__
        raise UnreachableError(
            f"{url} can't be reached ({words}); LOOPLINE_EXPORT__NPM_REGISTRY names another npm registry"
        ) from None
    if response.is_error:
        raise AccessError(
            f"{url} answers {response.status_code}; LOOPLINE_EXPORT__NPM_REGISTRY names another npm registry"
        )
    if not _is_pinned(response.content, package):
        raise IntegrityError(
            f"{url} gave {len(response.content)} bytes that are not {package.name} {package.version}; "
            "they are not used; name a registry that can be trusted as LOOPLINE_EXPORT__NPM_REGISTRY"
        )
    return response.content


def _is_pinned(archive: bytes, package: NpmPackage) -> bool:
    return base64.b64encode(hashlib.sha512(archive).digest()).decode() == package.sha512


def _keep(archive: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arriving = path.with_suffix(f".{os.getpid()}")
    arriving.write_bytes(archive)
    arriving.replace(path)


def _member(files: tarfile.TarFile, path: str) -> bytes:
    body = files.extractfile(f"package/{path}")
    assert body, f"{path} is a folder"
    return body.read()
