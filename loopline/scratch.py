"""Private folders that end with the operation that made them, even if its process was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder that only this user can read; what killed processes left beside it goes first."""
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as living:
        with _locked(parent):
            for old in parent.iterdir():
                with suppress(BlockingIOError, FileNotFoundError), _locked(old, fcntl.LOCK_NB):
                    shutil.rmtree(old)
            folder = Path(tempfile.mkdtemp(dir=parent))
            living.enter_context(_locked(folder))
        living.callback(shutil.rmtree, folder)
        yield folder


@contextmanager
def _locked(folder: Path, mode: int = 0) -> Iterator[None]:
    """Hold a folder's lock, which the kernel frees when the process dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | mode)
        yield
    finally:
        os.close(descriptor)
