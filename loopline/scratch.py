"""Private folders that end with the operation that made them, even if its process was killed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from loopline.locking import locked


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder that only this user can read; what killed processes left beside it goes first."""
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as living:
        with locked(parent):
            for old in parent.iterdir():
                with suppress(BlockingIOError, FileNotFoundError), locked(old, wait=False):
                    shutil.rmtree(old)
            folder = Path(tempfile.mkdtemp(dir=parent))
            living.enter_context(locked(folder))
        living.callback(shutil.rmtree, folder)
        yield folder
