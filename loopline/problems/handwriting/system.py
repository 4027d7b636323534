"""How the reader learns: losses, optimiser and validation, as a LightningModule."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor

from loopline.problems import Answer
from loopline.problems.handwriting.alphabet import encode, greedy
from loopline.problems.handwriting.augment import distort
from loopline.problems.handwriting.data import Batch
from loopline.problems.handwriting.metrics import tally
from loopline.problems.handwriting.model import Block, Reader, ctc_loss, frames
from loopline.problems.handwriting.recipe import Recipe

LARGEST_GRADIENT = 5.0  # norm; CTC's first steps are steep


class ReaderSystem(L.LightningModule):
    """Train with CTC on both heads; validate with the greedy reading's CER."""

    def __init__(self, recipe: Recipe, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self.recipe, self.vocabulary = recipe, tuple(vocabulary)
        self.reader = Reader(recipe, len(vocabulary) + 1)
        self._counts = torch.zeros(2, dtype=torch.float64)  # edits, characters

    def compile(self, *_: Any, **__: Any) -> None:
        """Compile the convolutions, for any width; around them are strings and lengths that no compiler follows."""
        for block in self.reader.stages.modules():
            if isinstance(block, Block):
                block.compile(dynamic=True)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss per character of the whole batch, of which this rank may have a share."""
        ink_BHW = distort(batch.ink_BHW, batch.widths_B, shape=self.recipe.augment, wear=self.recipe.wear) * 255
        features_BTD = self.reader.features(ink_BHW, batch.widths_B)
        targets = [encode(label, self.vocabulary) for label in batch.labels]
        loss = ctc_loss(self.reader.head_log_probs(features_BTD, batch.widths_B), batch.widths_B, targets)
        shortcut = ctc_loss(self.reader.shortcut_log_probs(features_BTD), batch.widths_B, targets)
        total = loss + self.recipe.shortcut * shortcut
        count = sum(map(len, targets))
        self.log(
            "train_loss",
            total.detach() / count,
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=count * self.trainer.world_size,  # Lightning takes their mean over ranks, in whole numbers
            sync_dist=True,
        )
        return total / self._mean_over_ranks(count)

    def _mean_over_ranks(self, count: int) -> float:
        """Return what each rank divides its sum by, so that the mean of their gradients is the whole batch's."""
        if self.trainer.world_size == 1:
            return count
        return float(self.trainer.strategy.reduce(torch.tensor(float(count), device=self.device), reduce_op="mean"))

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count edits and characters."""
        for truth, answer in zip(batch.labels, self.read(batch), strict=True):
            self._counts += torch.tensor(tally(truth, answer.text)["cer"], dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Log the CER of the whole split, over all ranks."""
        counts = self.trainer.strategy.reduce(self._counts.to(self.device), reduce_op="sum")
        self.log("val_cer", float(counts[0] / counts[1].clamp(min=1)), prog_bar=True)
        self._counts.zero_()

    def forward(self, ink_BHW: Tensor, widths_B: Tensor) -> Tensor:
        """Return log-probabilities, (B, T, C)."""
        return self.reader(ink_BHW, widths_B)  # type: ignore[no-any-return]

    def read(self, batch: Batch) -> list[Answer]:
        """Read a batch with the weights as they are."""
        log_probs_BTC = self(batch.ink_BHW, batch.widths_B).float().cpu().numpy()
        lengths = frames(batch.widths_B).tolist()
        return [
            Answer(*greedy(line[:length], self.vocabulary)) for line, length in zip(log_probs_BTC, lengths, strict=True)
        ]

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule (Smith and Topin 2018) over all steps of the plan."""
        optimizer = torch.optim.AdamW(
            self.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.recipe.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=self.recipe.warm_up,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm."""
        self.clip_gradients(optimizer, gradient_clip_val=LARGEST_GRADIENT, gradient_clip_algorithm="norm")
