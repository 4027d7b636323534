"""A laptop of its own for the tests of whole flows: home folder, object store and Prefect server, all real."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from laptops import COUNTS, Laptop, standing
from systems import COUNTS as MORE
from systems import System

from loopline.problems.handwriting.samples import write_samples


@pytest.fixture(scope="session")
def laptop() -> Iterator[Laptop]:
    with tempfile.TemporaryDirectory() as folder, standing(Path(folder) / "home") as found:
        yield found


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Laptop]:
    """Another one, for the tests of what runs in other environments: they are long, and can go beside the others."""
    with tempfile.TemporaryDirectory() as folder, standing(Path(folder) / "home") as found:
        yield found


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 72 sample lines with labels and splits; tests copy it before they change anything."""
    folder = tmp_path_factory.mktemp("samples") / "lines"
    write_samples(folder, counts=COUNTS)
    return folder


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    lines = tmp_path_factory.mktemp("release") / "lines"
    write_samples(lines, counts=MORE)
    with tempfile.TemporaryDirectory() as folder, standing(Path(folder) / "home", "--worker") as laptop:
        shutil.copytree(lines, laptop.home / "store" / "loopline" / "inbox" / "lines")
        with laptop.api() as api:
            yield System(laptop, api, lines)
