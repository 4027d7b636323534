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
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar, WeightAveraging
from safetensors.torch import load_file, save_file
from torch import Tensor

from loopline.contracts import Metrics
from loopline.errors import ConfigError, DataError
from loopline.problems import Problem, Sample
from loopline.settings import TrainSettings

log = logging.getLogger(__name__)

RANK_STRIDE = 2003  # between the seeds of two ranks in an epoch: a prime above the most epochs of any recipe
SEED_STRIDE = 100_003  # between two runs' seeds: a prime above the epochs and ranks of one run


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
    logger: Any = None,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fit:
    """Train until the recipe's last epoch, its patience or the minutes are used up.

    The best weights so far are written to `weights`, all that going on needs to `checkpoint`. If that exists, go on
    from it, to the same weights as an uninterrupted run (on a CPU, bit for bit). `on_epoch` is called when an epoch's
    files are on disk; what it raises comes through unchanged. `logger` is a Lightning logger, or a list of them;
    `progress` shows a bar.

    This is one process on one device, unless torchrun started it: then it is one rank of `machine.devices` times
    `machine.nodes`, which share every batch; only the first writes files, logs and calls `on_epoch`.

    Raises DataError where there is nothing to learn from, ConfigError for training that diverges or does not fit into
    the device's memory.
    """
    train = _usable(problem, recipe, train=train, val=val)
    _prepare_process(seed, machine)
    for path in (checkpoint, weights):
        path.parent.mkdir(parents=True, exist_ok=True)
    system = problem.system(recipe, vocabulary)
    if machine.compile:
        system.compile()
    keeper = _Keeper(
        problem.monitor,
        seed=seed,
        checkpoint=checkpoint,
        weights=weights,
        averaging=_Averaging(recipe.ema) if recipe.ema else None,
        on_epoch=on_epoch,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning", category=Warning)
        callbacks = [
            *([keeper.averaging] if keeper.averaging else []),
            keeper,
            *([_Bar(leave=True)] if progress else []),
        ]
        trainer = _trainer(recipe, callbacks, monitor=problem.monitor, machine=machine, minutes=minutes, logger=logger)
        try:
            trainer.fit(
                system,
                problem.loader(train, recipe, seed=seed, workers=machine.loader_workers),
                problem.loader(val, recipe, seed=None, workers=machine.loader_workers),
                ckpt_path=checkpoint if checkpoint.exists() else None,
                weights_only=True,
            )
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"a batch of {recipe.batch_size} lines does not fit into {_device_name(trainer)}; lower batch_size"
            ) from error
    return keeper.result(_device_name(trainer))


def load_system(problem: Problem, recipe: Any, *, vocabulary: Sequence[str], weights: Path) -> L.LightningModule:
    """Return a trained system on the CPU, ready to read."""
    system: L.LightningModule = problem.system(recipe, vocabulary)
    system.load_state_dict(load_file(weights))
    return system.eval()


def _usable(problem: Problem, recipe: Any, *, train: Sequence[Sample], val: Sequence[Sample]) -> list[Sample]:
    usable = [sample for sample in train if problem.usable(sample, recipe)]
    if not usable or not val:
        raise DataError(
            f"{len(usable)} training and {len(val)} validation lines can be used; at least one of each is needed"
        )
    if narrow := len(train) - len(usable):
        log.warning("train: %d of %d lines are too narrow for this recipe and left out", narrow, len(train))
    return usable


def _prepare_process(seed: int, machine: TrainSettings) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    if machine.threads:
        torch.set_num_threads(machine.threads)
    L.seed_everything(seed, workers=True, verbose=False)


def _trainer(
    recipe: Any,
    callbacks: Sequence[Callback],
    *,
    monitor: str,
    machine: TrainSettings,
    minutes: float | None,
    logger: Any,
) -> L.Trainer:
    on_gpu = machine.accelerator != "cpu" and torch.cuda.is_available()
    precision: Any = ("bf16-mixed" if on_gpu else "32-true") if machine.precision == "auto" else machine.precision
    spread = torch.distributed.is_torchelastic_launched()  # else Lightning would start this whole program again
    stop = EarlyStopping(monitor, patience=recipe.patience, check_finite=True)
    return L.Trainer(
        accelerator=machine.accelerator,
        strategy=machine.strategy,
        devices=machine.devices if spread else 1,
        num_nodes=machine.nodes if spread else 1,
        precision=precision,
        max_epochs=recipe.epochs,
        max_time=None if minutes is None else timedelta(minutes=minutes),
        callbacks=[stop, *callbacks],
        logger=logger or False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, _Bar) for callback in callbacks),
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
        sync_batchnorm=spread and on_gpu,
        deterministic="warn",
    )


def _device_name(trainer: L.Trainer) -> str:
    if trainer.strategy.root_device.type == "cuda":
        name = torch.cuda.get_device_name(trainer.strategy.root_device)
    else:
        name = f"cpu, {torch.get_num_threads()} threads"
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


class _Bar(RichProgressBar):
    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Show what is measured, and no logger's version."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


class _Averaging(WeightAveraging):
    """Average weights and batch statistics over steps (Polyak and Juditsky 1992); validation sees the average.

    The decay grows from the first steps on, (1 + n) / (10 + n), so that the average soon forgets the random start.
    """

    def __init__(self, decay: float) -> None:
        def step(mean: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            kept = min(decay, (1 + int(count)) / (10 + int(count)))
            return torch.lerp(mean, current, 1 - kept) if mean.is_floating_point() else current

        super().__init__(avg_fn=step)

    def average(self) -> dict[str, Tensor]:
        """Return the averaged weights under the system's own names."""
        assert self._average_model is not None
        return self._average_model.module.state_dict()


class _Keeper(Callback):
    """Draw chance anew from (seed, epoch) at each epoch's start; keep checkpoint, best weights and curve at its end."""

    def __init__(
        self,
        monitor: str,
        *,
        seed: int,
        checkpoint: Path,
        weights: Path,
        averaging: _Averaging | None,
        on_epoch: Callable[[Epoch], None],
    ) -> None:
        self.monitor, self.seed, self.on_epoch = monitor, seed, on_epoch
        self.checkpoint, self.weights, self.averaging = checkpoint, weights, averaging
        self.curve: list[Metrics] = []
        self.started = 0.0

    def result(self, device: str) -> Fit:
        """Say what the epochs came to."""
        return Fit(
            val_metrics=min(self.curve, key=lambda metrics: metrics[self.monitor]),
            epochs=len(self.curve),
            curve=tuple(self.curve),
            train_seconds=sum(metrics["seconds"] for metrics in self.curve),
            device=device,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"curve": self.curve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curve = state_dict["curve"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        torch.manual_seed(self.seed * SEED_STRIDE + trainer.global_rank * RANK_STRIDE + trainer.current_epoch)
        loader: Any = trainer.train_dataloader
        loader.batch_sampler.set_epoch(trainer.current_epoch)
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(metrics["train_loss"]):
            raise ConfigError(f"training diverged in epoch {trainer.current_epoch}; lower the recipe's learning_rate")
        improved = all(metrics[self.monitor] < earlier[self.monitor] for earlier in self.curve)
        self.curve.append({"epoch": trainer.current_epoch + 1.0, **metrics, "seconds": time.monotonic() - self.started})
        if improved and trainer.is_global_zero:
            state = self.averaging.average() if self.averaging else pl_module.state_dict()
            _publish(self.weights, state)
        temporary = self.checkpoint.with_suffix(".tmp")
        trainer.save_checkpoint(temporary)  # every rank takes part
        if trainer.is_global_zero:
            temporary.replace(self.checkpoint)
            self.on_epoch(Epoch(trainer.current_epoch, trainer.max_epochs or 0, self.curve[-1], improved))


def _publish(path: Path, state: dict[str, Tensor]) -> None:
    temporary = path.with_suffix(".tmp")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}, temporary)
    temporary.replace(path)
