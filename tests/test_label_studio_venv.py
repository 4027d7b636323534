"""Label Studio's environment, made by the real venv and pip from the wheel of one small module."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from loopline.errors import FinalError
from loopline.label_studio_venv import PINS, make_venv

KILLED_AT_THE_FIRST_PACKAGE = """
import os, signal, sys
from pathlib import Path
from loopline.label_studio_venv import make_venv

def tell(words):
    if "package 1 of" in words:
        os.kill(os.getpid(), signal.SIGKILL)

make_venv(Path(sys.argv[1]), tell=tell, pins=Path(sys.argv[2]))
"""


def write_pins(folder: Path, version: str) -> Path:
    """Build a wheel of the module `tiny`, and return the pins that name it."""
    wheel = folder / f"tiny-{version}-py3-none-any.whl"
    about = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", f"version = {version!r}\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    pins = folder / f"pins-{version}.txt"
    pins.write_text(f"{wheel}\n")
    return pins


def tiny_version(venv: Path) -> str:
    program = "import tiny; print(tiny.version)"
    return subprocess.run([venv / "bin" / "python", "-c", program], check=True, capture_output=True, text=True).stdout


def silent(words: str) -> None: ...


def test_second_call_does_nothing_and_other_pins_are_installed(tmp_path: Path) -> None:
    venv, first, second = tmp_path / "a venv, 100% odd", write_pins(tmp_path, "1.0"), write_pins(tmp_path, "2.0")
    said: list[str] = []

    make_venv(venv, tell=silent, pins=first)
    make_venv(venv, tell=said.append, pins=first)
    before = tiny_version(venv)
    make_venv(venv, tell=silent, pins=second)

    assert not said
    assert (before, tiny_version(venv)) == ("1.0\n", "2.0\n")


def test_installation_that_was_killed_is_repaired_by_the_next(tmp_path: Path) -> None:
    venv, pins = tmp_path / "venv", write_pins(tmp_path, "1.0")
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_FIRST_PACKAGE, venv, pins])
    (venv / "half").touch()

    make_venv(venv, tell=silent, pins=pins)

    assert killed.returncode < 0
    assert not (venv / "half").exists()
    assert tiny_version(venv) == "1.0\n"


def test_failing_installation_says_pips_last_words_and_is_not_taken_for_done(tmp_path: Path) -> None:
    venv, pins = tmp_path / "venv", write_pins(tmp_path, "1.0")
    wheel = Path(pins.read_text().strip())
    wheel.rename(tmp_path / "away")

    with pytest.raises(FinalError, match=r"can't be installed into .*venv: ERROR: .*tiny-1\.0.*; mend that"):
        make_venv(venv, tell=silent, pins=pins)

    (tmp_path / "away").rename(wheel)
    make_venv(venv, tell=silent, pins=pins)
    assert tiny_version(venv) == "1.0\n"


def test_pins_name_a_version_for_everything_and_no_place() -> None:
    lines = PINS.read_text().splitlines()

    assert "label-studio==1.23.2" in lines
    assert all("==" in line and "://" not in line and "--" not in line for line in lines)
