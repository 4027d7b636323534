"""BentoML: a package becomes a Bento, which `bentoml serve` and `bentoml containerize` take."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

from loopline.errors import LooplineError

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "deployments" / "bento"
MODULES = (  # what an answer needs
    *("__init__.py", "answers.py", "contracts.py", "errors.py", "images.py", "keys.py", "orders.py", "serving.py"),
    *("settings.py", "laptop_addresses.py", "target_settings.py", "problems"),
    *("captures.py", "clients/__init__.py", "clients/store.py", "locking.py", "spool.py", "spool_folder.py"),
    *("spool_traffic.py", "traffic.py"),
)
LIBRARIES = (
    *("boto3", "fastapi", "httptools", "numpy", "onnxruntime", "pillow", "prometheus-client", "psutil", "pydantic"),
    *("pydantic-settings", "python-dotenv", "python-multipart", "pyyaml", "rich", "starlette", "uvloop"),
)
BUILD_SECONDS = 120


def build_bento(package: bytes, name: str, *, version: str, home: Path, folder: Path) -> str:
    """Build a Bento from a package's bytes; return its tag. One that is built already is kept.

    It appears in `home` as a whole or not at all; `folder` is an empty one on the same file system.
    """
    shelf = home / "bentos" / name
    if not (shelf / version).exists():
        context = folder / "context"
        _fill(context, package)
        built = _build(context, name, version=version, folder=folder)
        shelf.mkdir(parents=True, exist_ok=True)
        _publish(built, shelf / version)
        (shelf / "latest").write_text(version)  # what `bentoml serve NAME` looks for
    return f"{name}:{version}"


def service_files(package: bytes) -> dict[str, bytes]:
    """Return what the service is made of, by its paths: its files, those of loopline/ that it needs, the package."""
    ours = [path for module in MODULES for path in _files(ROOT / "loopline" / module)]
    files = {str(path.relative_to(ROOT)): path.read_bytes() for path in ours}
    files |= {path.name: path.read_bytes() for path in SERVICE.glob("*.py")}
    sha256 = hashlib.sha256(package).hexdigest()
    return files | {"package.zip": package, "package.sha256": f"{sha256}  package.zip\n".encode()}


def pins(*more: str) -> list[str]:
    """Return the libraries that an answer needs, each at the version that it has here."""
    return [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in (*LIBRARIES, *more)]


def _fill(context: Path, package: bytes) -> None:
    for name, data in service_files(package).items():
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_bytes(data)
    (context / "bentofile.yaml").write_text(json.dumps(_bentofile()))  # JSON is YAML


def _files(path: Path) -> list[Path]:
    """Return a file itself, or a folder's."""
    if path.is_file():
        return [path]
    return [one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts]


def _build(context: Path, name: str, *, version: str, folder: Path) -> Path:
    """Build in a process of its own: where BentoML's home is, it reads from the environment at import."""
    # A bentofile that is not named explicitly is refused in a hidden folder, such as .loopline.
    options = ["--name", name, "--version", version, "--bentofile", "bentofile.yaml", "--output", "tag"]
    command = [sys.executable, "-m", "bentoml", "build", *options, "."]
    home, path = folder / "home", f"{_idle_uv(folder / 'bin')}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "PATH": path}
    done = subprocess.run(command, cwd=context, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
        raise LooplineError(f"bentoml could not build {name}:{version}: {words[-1]}")
    return home / "bentos" / name / version


def _idle_uv(folder: Path) -> Path:
    """Return a folder with a uv that BentoML finds and never calls: without one, it has pip fetch it during the run."""
    folder.mkdir()
    (folder / "uv").write_text("#!/bin/sh\nexit 1\n")
    (folder / "uv").chmod(0o700)
    return folder


def _publish(built: Path, place: Path) -> None:
    try:
        built.rename(place)
    except OSError:
        if not place.exists():  # it does if another process built the same meanwhile
            raise


def _bentofile() -> dict[str, object]:
    return {
        "service": "service:Reader",
        "include": ["*.py", "package.zip", "package.sha256", "loopline/**"],
        "python": {"packages": pins(), "lock_packages": False},
    }
