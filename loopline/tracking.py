"""Track a run: one record that is the truth, and TensorBoard and Comet, which show the same."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from loopline.clients.comet import Delivery, Run, delivering
from loopline.contracts import Scalar
from loopline.records import Recorder
from loopline.settings import CometSettings

Kind = Literal["train", "trial", "evaluation"]
TENSORBOARD = "tensorboard"  # folder in the run's folder


class RecordLogger(Logger):
    """Lightning's way into a run's record. Of the processes of one run, only the first writes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._recorder: Recorder | None = None

    @property
    def recorder(self) -> Recorder:
        """The record, made when it is first written to."""
        if self._recorder is None:
            self._recorder = Recorder(self.path)
        return self._recorder

    @property
    def name(self) -> str:
        """What Lightning calls this logger."""
        return self.path.stem

    @property
    def version(self) -> str:
        """A run has one record."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write the values of a system that saves its hyperparameters; what is no scalar, as words."""
        values = vars(params) if isinstance(params, Namespace) else params
        self.recorder.params({k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in values.items()})

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the metrics of a step; Lightning hides the epoch among them."""
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self.recorder.metrics(values, step=step, epoch=int(metrics["epoch"]) if "epoch" in metrics else None)


class Tracking:
    """What a task may tell of its run. `loggers` are for Lightning's trainer."""

    def __init__(self, record: RecordLogger, tensorboard: TensorBoardLogger, delivery: Delivery) -> None:
        self.loggers: list[Logger] = [record, tensorboard]
        self._record, self._delivery = record, delivery

    @property
    def url(self) -> str | None:
        """The experiment's address; None offline, and as long as Comet has not answered. Settled after the block."""
        return self._delivery.url

    @rank_zero_only
    def metrics(self, values: Mapping[str, float], *, step: int | None = None, epoch: int | None = None) -> None:
        """Record figures of a step; None: of the last one."""
        self._record.recorder.metrics(values, step=step, epoch=epoch)

    @rank_zero_only
    def image(self, name: str, png: bytes) -> None:
        """Record a picture."""
        self._record.recorder.file("image", name, data=png)

    @rank_zero_only
    def asset(self, name: str, data: bytes) -> None:
        """Record a file, such as a page or the lineage."""
        self._record.recorder.file("asset", name, data=data)

    @rank_zero_only
    def fact(self, name: str, value: Scalar) -> None:
        """Record anything else; Comet shows the first 1,000 characters."""
        self._record.recorder.fact(name, value)


@contextmanager
def track(
    settings: CometSettings,
    *,
    home: Path,
    run: str,
    kind: Kind,
    name: str,
    folder: Path,
    params: Mapping[str, Scalar],
    tags: Sequence[str] = (),
) -> Iterator[Tracking]:
    """Record a run in its folder, as record-<kind>.jsonl, and let Comet have the same.

    `run` is the run's digest: kinds of the same run are one experiment. A record that is there already is continued.
    Comet delays the block's end by less than 10 seconds, and can't make it fail.
    """
    record = RecordLogger(record_path(folder, kind))
    tensorboard = TensorBoardLogger(folder, name="", version=TENSORBOARD)
    if getattr(rank_zero_only, "rank", 0):
        yield Tracking(record, tensorboard, Delivery())
        return
    record.recorder.params(params)
    called = Run(digest=run, kind=kind, name=name, tags=(kind, *tags))
    with delivering(settings, called, record=record.path, home=home) as delivery:
        yield Tracking(record, tensorboard, delivery)


def record_path(folder: Path, kind: Kind) -> Path:
    """Return where a run's folder keeps the record of a kind."""
    return folder / f"record-{kind}.jsonl"
