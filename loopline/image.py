"""Images: the folder that `docker build` takes, for flows or for the service. No engine is needed to make it."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from loopline.clients.bento import ROOT
from loopline.errors import ConfigError
from loopline.pins import PYTHON, Machine, flow_pins, service_pins, torch_pins
from loopline.sbom import bill

DOCKERFILE = ROOT / "deployments" / "Dockerfile"
SOURCES = ("loopline", "flows", "tasks", "deployments", "prefect.yaml", "pyproject.toml", "README.md")
REQUIREMENTS, TORCH, BILL = "requirements.txt", "torch.txt", "sbom.cdx.json"


@dataclass(frozen=True)
class Layer:
    """A layer that a context puts on the base image; what is not installed here has no size here."""

    name: str
    count: int
    size_bytes: int
    unknown_count: int = 0


@dataclass(frozen=True)
class Context:
    """What was written; its digest is over paths and contents."""

    sha256: str
    layers: tuple[Layer, ...]


def write_flows(folder: Path, machine: Machine) -> Context:
    """Fill an empty or new folder with what runs flows: this checkout's tracked files and their packages.

    ConfigError if the folder is in use, if this is no checkout, or if a package has no pinned version.
    """
    _claim(folder)
    files = _tracked()
    for name in files:
        (folder / "sources" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "sources" / name)
    pins = flow_pins(machine)
    torch = torch_pins(pins)
    _write_pins(folder / TORCH, torch)
    digest = _finish(folder, pins, name=f"loopline-{machine}", machine=machine)
    packages = [pin for pin in pins if pin not in torch]
    sources = _files_layer("sources", folder / "sources")
    return Context(digest, (_packages_layer("torch", torch), _packages_layer("packages", packages), sources))


def write_service(bento: Path, folder: Path, machine: Machine) -> Context:
    """Fill an empty or new folder with a Bento and its packages. ConfigError if the folder is in use."""
    _claim(folder)
    shutil.copytree(bento, folder / "bento", ignore=shutil.ignore_patterns("__pycache__", "docker"))
    pins = service_pins(machine)
    digest = _finish(folder, pins, name="loopline-service", machine=machine)
    return Context(digest, (_packages_layer("packages", pins), _files_layer("bento", folder / "bento")))


def content_sha256(folder: Path) -> str:
    """Return the digest of a folder's files, by their paths and contents."""
    found = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = path.relative_to(folder).as_posix()
        found.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode())
    return found.hexdigest()


def _claim(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is in use; name an empty or new folder")
    folder.mkdir(parents=True, exist_ok=True)


def _tracked() -> list[str]:
    """Return the files that git tracks and that an image of flows needs, so that nothing else gets in."""
    command = ["git", "ls-files", "-z", "--", *SOURCES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    files = [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    if "prefect.yaml" not in files:
        said = done.stderr.strip() or "git tracks no prefect.yaml there"
        raise ConfigError(f"{ROOT} is no checkout of Loopline ({said}); images of flows are made from one")
    return files


def _finish(folder: Path, pins: Sequence[str], *, name: str, machine: Machine) -> str:
    """Write what every context has; return the digest of all."""
    text = DOCKERFILE.read_text().replace("ARG PYTHON=3.11\n", f"ARG PYTHON={PYTHON}\n")
    (folder / "Dockerfile").write_text(text.replace("ARG MACHINE=cpu\n", f"ARG MACHINE={machine}\n"))
    _write_pins(folder / REQUIREMENTS, pins)
    billed = bill(pins, name=name, version=version("loopline"), content_sha256=content_sha256(folder))
    (folder / BILL).write_bytes(billed)
    for path in folder.rglob("*"):  # the image's user is another one than who writes here
        path.chmod(0o755 if path.is_dir() else 0o644)
    return content_sha256(folder)


def _write_pins(path: Path, pins: Iterable[str]) -> None:
    path.write_text("".join(f"{pin}\n" for pin in pins))


def _packages_layer(name: str, pins: Sequence[str]) -> Layer:
    sizes = [size for pin in pins if (size := _installed_bytes(*pin.split("=="))) is not None]
    return Layer(name, len(pins), sum(sizes), unknown_count=len(pins) - len(sizes))


def _installed_bytes(name: str, pinned: str) -> int | None:
    """Return the size of a package's files before bytecode; None if this version is not installed here."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return sum(file.size or 0 for file in found.files or ()) if found.version == pinned else None


def _files_layer(name: str, folder: Path) -> Layer:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Layer(name, len(sizes), sum(sizes))
