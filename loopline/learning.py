"""Learn any problem: Lightning's loop, made exactly repeatable and resumable at every epoch's end."""

import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import load_file, save_file

from loopline.contracts import Metrics
from loopline.errors import ConfigError, DataError
from loopline.problems import Problem, Sample
from loopline.settings import TrainSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch."""

    number: int
    planned: int
    metrics: Metrics
    improved: bool


@dataclass(frozen=True)
class Fit:
    """The result of learning, beside the weights with the best validation metric."""

    val_metrics: Metrics
    epochs: int
    curve: tuple[Metrics, ...]
    train_seconds: float
    device: str


def fit(
    problem: Problem,
    recipe: Any,
    *,
    vocabulary: Sequence[str],
    train: Sequence[Sample],
    val: Sequence[Sample],
    seed: int,
    checkpoint: Path,
    weights: Path,
    machine: TrainSettings,
    minutes: float | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fit:
    """Train until the recipe's last epoch, its patience or the minutes are used up.

    The best weights so far are written to `weights`, all that going on needs to `checkpoint`. If that exists, go on
    from it, to the same weights as an uninterrupted run (on a CPU, bit for bit). `on_epoch` is called when an epoch's
    files are on disk. Raises DataError where there is nothing to learn from, ConfigError for training that diverges.
    """
    usable = [sample for sample in train if problem.usable(sample, recipe)]
    if not usable or not val:
        raise DataError(
            f"{len(usable)} training and {len(val)} validation lines can be used; at least one of each is needed"
        )
    if len(usable) < len(train):
        log.warning(
            "train: %d of %d lines are too narrow for this recipe and left out", len(train) - len(usable), len(train)
        )
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    if machine.threads:
        torch.set_num_threads(machine.threads)
    L.seed_everything(seed, workers=True, verbose=False)
    system = problem.system(recipe, vocabulary)
    keeper = _Keeper(problem.monitor, seed=seed, checkpoint=checkpoint, weights=weights, on_epoch=on_epoch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning", category=Warning)
        trainer = _trainer(recipe, keeper, folder=checkpoint.parent, machine=machine, minutes=minutes)
        trainer.fit(
            system,
            problem.loader(usable, recipe, seed=seed),
            problem.loader(val, recipe, seed=None),
            ckpt_path=checkpoint if checkpoint.exists() else None,
            weights_only=True,
        )
    return Fit(
        val_metrics=min(keeper.curve, key=lambda metrics: metrics[problem.monitor]),
        epochs=len(keeper.curve),
        curve=tuple(keeper.curve),
        train_seconds=sum(metrics["seconds"] for metrics in keeper.curve),
        device=_device_name(trainer),
    )


def load_system(problem: Problem, recipe: Any, *, vocabulary: Sequence[str], weights: Path) -> L.LightningModule:
    """Return a trained system on the CPU, ready to read."""
    system: L.LightningModule = problem.system(recipe, vocabulary)
    system.load_state_dict(load_file(weights))
    return system.eval()


def _trainer(
    recipe: Any, keeper: "_Keeper", *, folder: Path, machine: TrainSettings, minutes: float | None
) -> L.Trainer:
    on_gpu = machine.accelerator != "cpu" and torch.cuda.is_available()
    precision: Any = ("bf16-mixed" if on_gpu else "32-true") if machine.precision == "auto" else machine.precision
    stop = EarlyStopping(keeper.monitor, patience=recipe.patience, check_finite=True)
    return L.Trainer(
        accelerator=machine.accelerator,
        precision=precision,
        max_epochs=recipe.epochs,
        max_time=None if minutes is None else timedelta(minutes=minutes),
        callbacks=[stop, keeper, RichProgressBar(leave=True)],
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
        deterministic="warn",
    )


def _device_name(trainer: L.Trainer) -> str:
    if trainer.strategy.root_device.type == "cuda":
        return torch.cuda.get_device_name(trainer.strategy.root_device)
    return f"cpu, {torch.get_num_threads()} threads"


class _Keeper(Callback):
    """Draw chance anew from (seed, epoch) at each epoch's start; keep checkpoint, best weights and curve at its end."""

    def __init__(
        self, monitor: str, *, seed: int, checkpoint: Path, weights: Path, on_epoch: Callable[[Epoch], None]
    ) -> None:
        self.monitor, self.seed, self.on_epoch = monitor, seed, on_epoch
        self.checkpoint, self.weights = checkpoint, weights
        self.curve: list[Metrics] = []
        self.started = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"curve": self.curve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curve = state_dict["curve"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch = trainer.current_epoch
        torch.manual_seed(self.seed * 100_003 + epoch)
        loader: Any = trainer.train_dataloader
        loader.batch_sampler.set_epoch(epoch)
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(metrics["train_loss"]):
            raise ConfigError(f"training diverged in epoch {trainer.current_epoch}; lower the recipe's learning_rate")
        improved = all(metrics[self.monitor] < earlier[self.monitor] for earlier in self.curve)
        self.curve.append({"epoch": trainer.current_epoch + 1.0, **metrics, "seconds": time.monotonic() - self.started})
        if improved:
            _publish(self.weights, lambda path: save_file(_weights(pl_module), path))
        _publish(self.checkpoint, lambda path: trainer.save_checkpoint(path))
        self.on_epoch(Epoch(trainer.current_epoch, trainer.max_epochs or 0, self.curve[-1], improved))


def _weights(system: L.LightningModule) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(system.state_dict().items())}


def _publish(path: Path, write: Callable[[Path], None]) -> None:
    temporary = path.with_suffix(".tmp")
    write(temporary)
    temporary.replace(path)
