"""BentoML: a package becomes a Bento, which `bentoml serve` and `bentoml containerize` take."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from loopline.errors import LooplineError

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "deployments" / "bento" / "service.py"
MODULES = ("__init__.py", "contracts.py", "errors.py", "images.py", "serving.py", "problems")  # what an answer needs
LIBRARIES = ("imagehash", "numpy", "onnxruntime", "pillow", "pydantic", "pyyaml", "rapidfuzz")
BUILD_SECONDS = 120


def build_bento(package: bytes, name: str, *, version: str, home: Path, folder: Path) -> str:
    """Build a Bento from a package's bytes in an empty folder; return its tag. One that is built already is kept.

    BentoML runs in a process of its own: its home is a matter of the environment at import.
    """
    tag = f"{name}:{version}"
    if (home / "bentos" / name / version / "bento.yaml").exists():
        return tag
    shutil.copy(SERVICE, folder / "service.py")
    (folder / "package.zip").write_bytes(package)
    for module in MODULES:
        _copy(ROOT / "loopline" / module, folder / "loopline" / module)
    (folder / "bentofile.yaml").write_text(json.dumps(_bentofile()))  # JSON is YAML
    command = [sys.executable, "-m", "bentoml", "build", "--name", name, "--version", version, "--output", "tag", "."]
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode:
        raise LooplineError(f"bentoml could not build {tag}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return tag


def _bentofile() -> dict[str, object]:
    pins = [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in LIBRARIES]
    return {
        "service": "service:Reader",
        "include": ["*.py", "package.zip", "loopline/**"],
        "python": {"packages": pins, "lock_packages": False},
    }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
