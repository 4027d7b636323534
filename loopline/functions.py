"""A package as a Nuclio function: the folder that `nuctl deploy --path` takes, and the dashboard too, as an archive."""

import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loopline.clients.bento import ROOT, pins, service_files
from loopline.contracts import PackagedModel
from loopline.errors import ConfigError, IntegrityError
from loopline.settings import Settings

FOLDER = ROOT / "deployments" / "nuclio"
FUNCTION = "function.yaml"
NAME_DIGITS = 12  # of the package's digest, in the function's name
TAG = "loopline/bento-tag"  # annotation: what answers, as the registry names it
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold


def function_files(package: bytes, packaged: PackagedModel, *, settings: Settings) -> dict[str, bytes]:
    """Return a function's files by their paths.

    IntegrityError if these are not the package's bytes; ConfigError if it is not said who may ask.
    """
    found = hashlib.sha256(package).hexdigest()
    if found != packaged.archive.sha256:
        raise IntegrityError(
            f"the package has the sha256 {found[:12]}… instead of {packaged.archive.sha256[:12]}…; "
            "it was altered, so fetch it from the registry again"
        )
    files = {name: data for name, data in service_files(package).items() if name != "service.py"}
    files |= {"handler.py": (FOLDER / "handler.py").read_bytes()}
    files |= {"requirements.txt": "".join(f"{pin}\n" for pin in pins("httpx")).encode()}
    return files | {FUNCTION: yaml.safe_dump(function(packaged, settings=settings), sort_keys=False).encode()}


def function(packaged: PackagedModel, *, settings: Settings) -> dict[str, Any]:
    """Return the function's description, without where its code is."""
    service = settings.service
    if not service.hashes and not service.open:
        raise ConfigError(
            "nobody may ask this function: set LOOPLINE_SERVICE__KEY_HASHES to what `loopline key` prints, "
            "or LOOPLINE_SERVICE__OPEN=true where nobody else can reach it"
        )
    document: dict[str, Any] = yaml.safe_load((FOLDER / FUNCTION).read_text())
    document["metadata"] |= {"name": function_name(packaged), "annotations": {TAG: packaged.bento_tag}}
    spec = document["spec"]
    spec["description"] = f"Loopline: {packaged.bento_tag}, package {packaged.archive.sha256}"
    spec["runtime"] = f"python:{sys.version_info.major}.{sys.version_info.minor}"  # the Python of the pins
    spec["triggers"]["http"]["attributes"]["maxRequestBodySize"] = service.most_mb * 1_000_000
    given = service.model_dump(exclude_unset=True, exclude={"signing_secret", "spool"})
    told = {f"LOOPLINE_SERVICE__{name.upper()}": str(value) for name, value in given.items() if value is not None}
    told |= {"LOOPLINE_HOME": "/tmp", "LOOPLINE_SERVICE__SPOOL": "/tmp/spool"}  # noqa: S108  # in its container
    told["LOOPLINE_SERVICE__PACKAGE_SHA256"] = packaged.archive.sha256
    spec["env"] = [{"name": name, "value": value} for name, value in sorted(told.items())]
    if settings.nuclio.secret:
        spec["envFrom"] = [{"secretRef": {"name": settings.nuclio.secret}}]
    if settings.nuclio.registry:
        spec["build"]["registry"] = settings.nuclio.registry
    return document


def function_name(packaged: PackagedModel) -> str:
    """Return the name of a package's function, by its content."""
    problem = packaged.bento_tag.partition(":")[0].replace("_", "-")
    return f"{problem}-{packaged.archive.sha256[:NAME_DIGITS]}"


def write_function(files: Mapping[str, bytes], folder: Path) -> None:
    """Fill an empty or new folder; ConfigError for one in use."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is in use; name an empty or new folder")
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def archived(files: Mapping[str, bytes]) -> bytes:
    """Return the files as one zip file, the same for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
