"""Pictures of lines in files and folders, and how many of them are asked about at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from loopline.answers import Refusal
from loopline.clients.store import in_parallel
from loopline.errors import ConfigError, DataError
from loopline.images import NO_PICTURE, is_picture
from loopline.intake import SIDECARS, is_hidden

BATCH_PICTURES, BATCH_BYTES = (
    8,
    4_000_000,
)  # of one request: an answer within a second, a small part of what it may have

T = TypeVar("T")
ReadBatch = Callable[[Sequence[bytes]], Sequence[T | Refusal]]


def picture_files(paths: Iterable[Path]) -> list[Path]:
    """Return files as they are given, and in place of a folder what it holds at any depth, by name.

    As where images are taken in, hidden files of a folder are left out, and so are labels, splits and groups beside
    the pictures. ConfigError for a path that is not there.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(one for one in path.rglob("*") if one.is_file() and not _is_beside(one.relative_to(path)))
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"{path} is not there; name pictures, or folders of them")
    return found


def read_in_batches(files: Sequence[Path], read_batch: ReadBatch[T]) -> Iterator[tuple[Path, T | Refusal]]:
    """Yield each file with its answer, in order, with several batches on their way and a progress bar.

    A batch that is not taken as a whole is read picture by picture, so that one that is too large spoils no other.
    """

    def answers(batch: list[Path]) -> list[tuple[Path, T | Refusal]]:
        return list(zip(batch, _answers(batch, read_batch), strict=True))

    for some in in_parallel(answers, list(_batches(files)), title="read"):
        yield from some


def _is_beside(path: Path) -> bool:
    return path.name.lower().endswith(SIDECARS) or is_hidden(path.as_posix())


def _batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    batch, size = list[Path](), 0
    for file in files:
        more = file.stat().st_size
        if batch and (len(batch) == BATCH_PICTURES or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += more
    if batch:
        yield batch


def _answers(batch: Sequence[Path], read_batch: ReadBatch[T]) -> list[T | Refusal]:
    found = list(map(_content, batch))
    pictures = [one for one in found if isinstance(one, bytes)]
    read = iter(_read(pictures, read_batch))
    return [next(read) if isinstance(one, bytes) else one for one in found]


def _content(file: Path) -> bytes | Refusal:
    try:
        content = file.read_bytes()
    except OSError as error:
        return Refusal(error=f"it can't be read ({error.strerror})")
    return content if is_picture(content) else Refusal(error=NO_PICTURE)


def _read(pictures: Sequence[bytes], read_batch: ReadBatch[T]) -> Sequence[T | Refusal]:
    try:
        return read_batch(pictures) if pictures else []
    except DataError as error:
        if len(pictures) > 1:
            return [one for picture in pictures for one in _read([picture], read_batch)]
        return [Refusal(error=str(error))]
