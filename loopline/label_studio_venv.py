"""The environment that Label Studio runs in: its own, as the bounds of its dependencies would hold ours back.

Made by venv and pip, so that what the user told pip about indexes and certificates holds. The pins are complete: pip
need not search for a solution, which takes it minutes.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from loopline.errors import ConfigError, FinalError
from loopline.locking import locked
from loopline.settings import Settings

PINS = Path(__file__).with_name("label_studio.txt")
MARKER = "loopline-pins"  # in the environment's folder: the digest of the pins that were installed to the end
# Compiling all modules beforehand would double the time; Label Studio imports a small part of them.
INSTALL = ("install", "--no-deps", "--no-compile", "--no-input", "--disable-pip-version-check", "--progress-bar=off")


def venv_folder(settings: Settings) -> Path:
    """Return where Label Studio's environment is, or will be."""
    given = settings.laptop.label_studio_venv
    return given.expanduser().absolute() if given else settings.folder / "label-studio" / "venv"


def fingerprint(settings: Settings) -> str:
    """Return what differs if the environment does: by its place or by what is to be in it."""
    return hashlib.sha256(f"{venv_folder(settings)}\n{_digest(PINS)}".encode()).hexdigest()


def provide_venv(settings: Settings, *, tell: Callable[[str], None]) -> None:
    """Make the environment if that is ours to do; ConfigError if the user's own has no Label Studio."""
    folder = venv_folder(settings)
    if settings.laptop.label_studio_venv is None:
        make_venv(folder, tell=tell)
    elif not (folder / "bin" / "label-studio").exists():
        raise ConfigError(
            f"there is no bin/label-studio in {folder}; let LOOPLINE_LAPTOP__LABEL_STUDIO_VENV name an environment "
            "that has it, or unset it"
        )


def make_venv(folder: Path, *, tell: Callable[[str], None], pins: Path = PINS) -> None:
    """Install the pins into `folder` and tell how far it is; do nothing if they are there to the last.

    Whatever else is in the folder goes, such as the half of an installation that was killed. FinalError with the last
    words of venv or pip if one fails.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder) as lock:
        if _has_pins(folder, pins):
            return
        tell("making an environment for Label Studio")
        (folder / MARKER).unlink(missing_ok=True)
        for _ in _output([sys.executable, "-I", "-m", "venv", "--clear", folder], folder=folder, lock=lock):
            pass
        _install(folder, pins, tell=tell, lock=lock)
        (folder / MARKER).write_text(_digest(pins))


def _has_pins(folder: Path, pins: Path) -> bool:
    marker = folder / MARKER
    return marker.is_file() and marker.read_text() == _digest(pins) and _python(folder).exists()


def _install(folder: Path, pins: Path, *, tell: Callable[[str], None], lock: int) -> None:
    count, found = len(pins.read_text().splitlines()), 0
    for line in _output([_python(folder), "-I", "-m", "pip", *INSTALL, "-r", pins], folder=folder, lock=lock):
        if line.startswith(("Collecting ", "Processing ")):
            found += 1
            tell(f"installing Label Studio, once: package {found} of {count}")
        elif line.startswith("Installing "):
            tell(f"installing Label Studio, once: unpacking {count} packages")


def _output(command: Sequence[str | Path], *, folder: Path, lock: int) -> Iterator[str]:
    """Yield what a command prints. It shares the lock, so that it keeps others out even if this process is killed."""
    words = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", pass_fds=(lock,),
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            if line.lower().startswith("error") or (line.strip() and not words.lower().startswith("error")):
                words = line.strip()
            yield line
    if process.returncode:
        raise FinalError(f"Label Studio can't be installed into {folder}: {words}; mend that and run this again")


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _digest(pins: Path) -> str:
    return hashlib.sha256(pins.read_bytes()).hexdigest()
