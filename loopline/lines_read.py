"""What stands on pictures, line by line, for people, programs and tables."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from loopline.answers import Message, Reading, Refusal
from loopline.client import Client
from loopline.errors import ConfigError, DataError
from loopline.picture_files import picture_files, read_in_batches
from loopline.problems import Answer
from loopline.serving import Predictor


class LineRead(Message):
    """One picture: what stands on it, or why it can't be read."""

    image: str
    text: str | None = None
    confidence: float | None = None
    unsure: bool | None = None
    prediction_id: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        said = self.error if self.confidence is None else f"{self.confidence:.2f}  {self.text}"
        return f"{self.image}  {said}"


def read_with_service(client: Client, paths: Iterable[Path]) -> Iterator[LineRead]:
    """Yield what a service reads on files and in folders."""
    for path, found in client.read_files(paths):
        yield _line(path, found)


def read_with_package(predictor: Predictor, paths: Iterable[Path]) -> Iterator[LineRead]:
    """Yield what a package reads on files and in folders, in this process."""

    def read(pictures: Sequence[bytes]) -> list[Answer | Refusal]:
        return [_answer(predictor, picture) for picture in pictures]

    for path, found in read_in_batches(picture_files(paths), read):
        yield _line(path, found)


def writer(path: Path) -> Callable[[Iterable[LineRead]], None]:
    """Return what writes lines as the file's ending says; ConfigError for another."""
    written = {".csv": _as_csv, ".jsonl": _as_json}.get(path.suffix.lower())
    if written is None:
        raise ConfigError(f"{path} ends neither in .csv nor in .jsonl; choose one of them")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder; make it first")

    def write(lines: Iterable[LineRead]) -> None:
        with TemporaryDirectory(dir=path.parent, prefix=".loopline-") as folder:
            whole = Path(folder) / path.name
            with whole.open("w", encoding="utf-8", newline="") as file:
                written(lines, file)
            whole.replace(path)

    return write


def as_json(line: LineRead) -> str:
    """Return a line as one JSON object."""
    return json.dumps(line.model_dump(exclude_none=True), ensure_ascii=False)


def _answer(predictor: Predictor, picture: bytes) -> Answer | Refusal:
    try:
        return predictor.read_images([picture])[0]
    except DataError as error:
        return Refusal(error=str(error))


def _line(path: Path, found: Reading | Answer | Refusal) -> LineRead:
    if isinstance(found, Refusal):
        return LineRead(image=str(path), error=found.error)
    read = LineRead(image=str(path), text=found.text, confidence=round(found.confidence, 4))
    if isinstance(found, Reading):
        return read.model_copy(update={"unsure": found.unsure, "prediction_id": found.prediction_id})
    return read


def _as_csv(lines: Iterable[LineRead], file: IO[str]) -> None:
    table = csv.DictWriter(file, list(LineRead.model_fields))
    table.writeheader()
    table.writerows(line.model_dump() for line in lines)


def _as_json(lines: Iterable[LineRead], file: IO[str]) -> None:
    file.writelines(f"{as_json(line)}\n" for line in lines)
