"""The record of a run: a file of JSON lines that is only ever appended to, and is the truth of what happened.

A run's folder holds `record-<kind>.jsonl` and, under files/, the images and assets that the lines name by digest.
TensorBoard and Comet show the same; whatever they lose is in here.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from loopline.contracts import Metrics, Scalar, Sha256
from loopline.errors import DataError

FILES = "files"  # folder beside the record


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    at: float = Field(default_factory=time.time, description="Unix time, in seconds.")


class ParamsLine(_Line):
    """Values that the run was started with."""

    what: Literal["params"] = "params"
    values: dict[str, Scalar]


class MetricsLine(_Line):
    """Figures measured at one step."""

    what: Literal["metrics"] = "metrics"
    values: Metrics
    step: int
    epoch: int | None = None


class FileLine(_Line):
    """An image or another file that shows something of the run."""

    what: Literal["image", "asset"]
    name: str
    sha256: Sha256
    size_bytes: int
    path: str = Field(description="Relative to the record's folder.")


class FactLine(_Line):
    """Anything else worth knowing, such as the dataset's name."""

    what: Literal["fact"] = "fact"
    name: str
    value: Scalar


Line = Annotated[ParamsLine | MetricsLine | FileLine | FactLine, Field(discriminator="what")]
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


@dataclass(frozen=True)
class Record:
    """What a record says, in the order of its lines."""

    params: dict[str, Scalar] = field(default_factory=dict)
    metrics: list[MetricsLine] = field(default_factory=list)
    files: dict[str, FileLine] = field(default_factory=dict)
    facts: dict[str, Scalar] = field(default_factory=dict)

    def series(self, name: str) -> dict[int, float]:
        """Return one metric's value by step."""
        return {line.step: line.values[name] for line in self.metrics if name in line.values}


class Recorder:
    """Appends to one record; a line is in the file when its call returns.

    A metric has one value at a step: a step that a metric has passed already is not written again. So a resumed run
    continues its record, and what is reported twice is there once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_step = 0
        self._last_steps: dict[str, int] = {}
        self._params: dict[str, Scalar] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        _drop_partial_line(path)
        record = read_record(path)
        self._params |= record.params
        for line in record.metrics:
            self._pass(line)

    def params(self, values: Mapping[str, Scalar]) -> None:
        """Write the values that the run was started with, unless they are written."""
        if new := {name: value for name, value in values.items() if self._params.get(name) != value}:
            self._write(ParamsLine(values=new))
            self._params |= new

    def metrics(self, values: Mapping[str, float], *, step: int | None = None, epoch: int | None = None) -> None:
        """Write figures of one step; None: of the last step that was written."""
        step = self.last_step if step is None else step
        new = {name: value for name, value in values.items() if step > self._last_steps.get(name, -1)}
        if new:
            line = MetricsLine(values=new, step=step, epoch=epoch)
            self._write(line)
            self._pass(line)

    def file(self, what: Literal["image", "asset"], name: str, *, data: bytes) -> None:
        """Keep bytes beside the record, named by their digest, and write down their name."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{FILES}/{sha256}{PurePosixPath(name).suffix}"
        target = self.path.parent / path
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_suffix(".part")
        temporary.write_bytes(data)
        temporary.replace(target)
        self._write(FileLine(what=what, name=name, sha256=sha256, size_bytes=len(data), path=path))

    def fact(self, name: str, value: Scalar) -> None:
        """Write anything else worth knowing; the last value of a name counts."""
        self._write(FactLine(name=name, value=value))

    def _pass(self, line: MetricsLine) -> None:
        self.last_step = line.step
        self._last_steps.update(dict.fromkeys(line.values, line.step))

    def _write(self, line: BaseModel) -> None:
        # Opened anew for every line: a recorder may travel to another process, and then goes on there.
        with self.path.open("ab") as record:
            record.write(line.model_dump_json().encode() + b"\n")


def read_record(path: Path) -> Record:
    """Read a record back; DataError if a line is not as this release writes it. A line cut by a kill is left out."""
    record = Record()
    for line in parse_lines(path.read_bytes(), name=path.name):
        if isinstance(line, ParamsLine):
            record.params.update(line.values)
        elif isinstance(line, MetricsLine):
            record.metrics.append(line)
        elif isinstance(line, FileLine):
            record.files[line.name] = line
        else:
            record.facts[line.name] = line.value
    return record


def parse_lines(data: bytes, *, name: str) -> Iterator[Line]:
    """Yield the whole lines of a piece of a record; DataError if one is not as this release writes it."""
    for number, text in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            yield _LINE.validate_json(text)
        except ValidationError as error:
            raise DataError(
                f"line {number} of {name} is not as this release of Loopline writes a record "
                f"({error.errors()[0]['msg'].lower()}); read it with the release that wrote it"
            ) from None


def _drop_partial_line(path: Path) -> None:
    with path.open("r+b") as record:
        data = record.read()
        record.truncate(data.rfind(b"\n") + 1)
