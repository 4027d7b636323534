"""Where things are, for tasks: the clients that the settings describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from loopline.clients.store import Store
from loopline.registry import Registry
from loopline.settings import Settings

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio


def store() -> Store:
    """Return the object store."""
    return Store(Settings().resolved_store())


def registry() -> Registry:
    """Return the registry of dataset and model versions."""
    settings = Settings()
    return Registry(settings.resolved_registry(), settings.resolved_store(), home=settings.folder)


def label_studio() -> "LabelStudio":
    """Return the labelling tool; its SDK takes seconds to import, so only whoever needs it waits."""
    from loopline.clients.label_studio import LabelStudio

    return LabelStudio(Settings().resolved_label_studio())


def cache() -> Path:
    """Return the folder of what was fetched by digest and can be fetched again."""
    return _made(Settings().folder / "cache")


def runs() -> Path:
    """Return the folder of this machine's training runs."""
    return _made(Settings().folder / "runs")


@contextmanager
def workspace() -> Iterator[Path]:
    """Lend a folder under the home folder that is gone afterwards."""
    with TemporaryDirectory(dir=_made(Settings().folder / "tmp")) as folder:
        yield Path(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
