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
from loopline.problems.handwriting.model import Reader, ctc_loss, frames
from loopline.problems.handwriting.recipe import Recipe

SHORTCUT_WEIGHT = 0.1  # of the loss of the head without context (Retsinas et al. 2022)
WARM_UP = 0.15  # of all steps
LARGEST_GRADIENT = 5.0  # norm; CTC's first steps are steep


class ReaderSystem(L.LightningModule):
    """Train with CTC on both heads; validate with the greedy reading's CER."""

    def __init__(self, recipe: Recipe, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self.recipe, self.vocabulary = recipe, tuple(vocabulary)
        self.reader = Reader(recipe, len(vocabulary) + 1)
        self._edits = self._characters = 0.0

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss per character."""
        ink_BHW = distort(batch.ink_BHW, batch.widths_B, strength=self.recipe.augment) * 255
        features_BTD = self.reader.features(ink_BHW, batch.widths_B)
        targets = [encode(label, self.vocabulary) for label in batch.labels]
        loss = ctc_loss(self.reader.head_log_probs(features_BTD, batch.widths_B), batch.widths_B, targets)
        shortcut = ctc_loss(self.reader.shortcut_log_probs(features_BTD), batch.widths_B, targets)
        total = loss + SHORTCUT_WEIGHT * shortcut
        self.log("train_loss", total, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch))
        return total

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count edits, and the loss where the truth can be spelt."""
        for truth, answer in zip(batch.labels, self.read(batch), strict=True):
            edits, characters = tally(truth, answer.text)["cer"]
            self._edits += edits
            self._characters += characters

    def on_validation_epoch_end(self) -> None:
        """Log the CER of the whole split."""
        self.log("val_cer", self._edits / max(self._characters, 1), prog_bar=True)
        self._edits = self._characters = 0.0

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
            pct_start=WARM_UP,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm."""
        self.clip_gradients(optimizer, gradient_clip_val=LARGEST_GRADIENT, gradient_clip_algorithm="norm")
