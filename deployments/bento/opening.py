"""What must hold before the service starts: settings that say who may ask, and the very package it was built for."""

import atexit
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

from loopline.errors import ConfigError, IntegrityError
from loopline.settings import ServiceSettings, Settings
from rates import PLACE

FOLDER = Path(__file__).parent
PACKAGE = FOLDER / "package.zip"
EXPECTED = FOLDER / "package.sha256"  # as sha256sum writes and checks it


def check_callers(settings: ServiceSettings) -> None:
    """Raise ConfigError unless it is clear who may ask."""
    if not settings.hashes and not settings.open:
        raise ConfigError(
            "nobody may ask this service: set LOOPLINE_SERVICE__KEY_HASHES to what `loopline key` prints, "
            "or LOOPLINE_SERVICE__OPEN=true where nobody else can reach it"
        )
    if settings.hashes and settings.open:
        raise ConfigError("LOOPLINE_SERVICE__OPEN=true lets in those without a key too; unset it, or unset the keys")


def checked_package(settings: ServiceSettings) -> bytes:
    """Return the package's bytes; IntegrityError if they are not those that were built or asked for."""
    expected = settings.package_sha256 or EXPECTED.read_text().split()[0]
    package = PACKAGE.read_bytes()
    found = hashlib.sha256(package).hexdigest()
    if found != expected:
        raise IntegrityError(
            f"{PACKAGE} has the sha256 {found} instead of {expected}; it was altered or is another model's, "
            "so build the Bento again"
        )
    return package


def hand_on(settings: Settings) -> None:
    """Leave in the environment what the serving processes, which start in another folder, must find there."""
    for name, value in dotenv_values(".env").items():
        if value is not None and name.upper().startswith("LOOPLINE_"):
            os.environ.setdefault(name, value)
    os.environ["LOOPLINE_HOME"] = str(settings.folder)
    os.environ["LOOPLINE_SERVICE__SPOOL"] = str(settings.service.spool.expanduser().resolve())
    handle, os.environ[PLACE] = tempfile.mkstemp(prefix="loopline-rates-")
    os.close(handle)
    atexit.register(_remove, os.environ[PLACE])
    # BentoML starts no process again that died in a container: with several, the rest would answer alone for ever.
    os.environ.pop("BENTOML_CONTAINERIZED", None)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        Path(path).unlink()
