"""The service as an image: the folder that `docker build` takes, for a CPU or a GPU. No engine is needed to make it."""

import shutil
import sys
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from loopline.clients.bento import LIBRARIES, SERVICE
from loopline.errors import ConfigError

DOCKERFILE = SERVICE / "Dockerfile"
CPU_BASE = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim-bookworm"  # the Python of the pins
GPU_BASE = "nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04"  # CUDA 13.0 and cuDNN 9, for which GPU_RUNTIME is built
GPU_RUNTIME = "onnxruntime-gpu==1.31.1"  # it is released less often than the one for CPUs
PYTHON = (
    "RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv "
    "&& rm -rf /var/lib/apt/lists/*"
)


def write_context(bento: Path, folder: Path, *, gpu: bool) -> None:
    """Fill an empty or new folder: Dockerfile, requirements.txt with every version, Bento. ConfigError if in use."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is in use; name an empty or new folder")
    shutil.copytree(bento, folder / "bento", ignore=shutil.ignore_patterns("__pycache__", "docker"))
    text = DOCKERFILE.read_text().replace("@base", GPU_BASE if gpu else CPU_BASE)
    (folder / "Dockerfile").write_text(text.replace("@system\n", f"{PYTHON}\n" if gpu else ""))
    (folder / "requirements.txt").write_text("".join(f"{one}\n" for one in pins(gpu=gpu)))


def pins(*, gpu: bool) -> list[str]:
    """Return what the service runs on, with all that it brings, each at the version that it has here."""
    seen, waiting = set[tuple[str, frozenset[str]]](), [Requirement(name) for name in ("bentoml", *LIBRARIES)]
    while waiting:
        wanted = waiting.pop()
        known = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if known in seen:
            continue
        seen.add(known)
        brought = map(Requirement, requires(wanted.name) or ())
        extras = wanted.extras or {""}
        waiting += [
            one for one in brought if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras)
        ]
    found = {name: f"{name}=={version(name).partition('+')[0]}" for name, _ in seen}
    return sorted((found | {"onnxruntime": GPU_RUNTIME} if gpu else found).values())
