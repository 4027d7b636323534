"""The service as an image: the folder that `docker build` takes, for a CPU or a GPU. No engine is needed to make it."""

import re
import shutil
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement

from loopline.clients.bento import LIBRARIES, SERVICE
from loopline.errors import ConfigError

DOCKERFILE = SERVICE / "Dockerfile"
CPU_BASE = "python:3.11-slim-bookworm"
GPU_BASE = "nvidia/cuda:12.9.1-cudnn-runtime-ubuntu24.04"  # what onnxruntime-gpu 1.2x is built for
PYTHON = (
    "RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt"
)


def write_context(bento: Path, folder: Path, *, gpu: bool) -> None:
    """Fill an empty or new folder: Dockerfile, requirements.txt with every version, Bento. ConfigError if in use."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is in use; name an empty or new folder")
    shutil.copytree(bento, folder / "bento", ignore=shutil.ignore_patterns("__pycache__", "docker"))
    text = DOCKERFILE.read_text().replace("@base", GPU_BASE if gpu else CPU_BASE)
    (folder / "Dockerfile").write_text(re.sub(r"@system\n", f"{PYTHON}\n" if gpu else "", text))
    (folder / "requirements.txt").write_text("".join(f"{one}\n" for one in pins(gpu=gpu)))


def pins(*, gpu: bool) -> list[str]:
    """Return what the service runs on, with all that it brings, each at the version that it has here."""
    found: dict[str, str] = {}
    waiting = [Requirement(name) for name in ("bentoml", *LIBRARIES)]
    while waiting:
        wanted = waiting.pop()
        if wanted.name.lower() in found:
            continue
        found[wanted.name.lower()] = version(wanted.name).partition("+")[0]
        for text in requires(wanted.name) or ():
            brought = Requirement(text)
            if brought.marker is None or any(brought.marker.evaluate({"extra": one}) for one in wanted.extras or {""}):
                waiting.append(brought)
    named = {name.replace("onnxruntime", "onnxruntime-gpu") if gpu else name: one for name, one in found.items()}
    return sorted(f"{name}=={one}" for name, one in named.items())
