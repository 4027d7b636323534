"""The reader: residual convolutions, a two-way LSTM and a CTC head; a CTC shortcut helps the convolutions learn.

After Retsinas et al. 2022, "Best practices for a handwritten text recognition system" (column max-pooling and the
shortcut head). Every stage is masked beyond each line's end, so that a line gives the same answer alone or in a batch.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from loopline.problems.handwriting.lines import FRAME_PX
from loopline.problems.handwriting.recipe import Recipe

# B lines, H height, W width, T frames, D features, C classes


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, share: Tensor) -> Tensor:
        total = share.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _SumOverRanks.forward(_, gradient)


class Norm(nn.BatchNorm2d):
    """Batch normalisation over the lines of all ranks on CPUs; on GPUs torch's SyncBatchNorm takes its place."""

    def forward(self, x_BDHW: Tensor) -> Tensor:
        """Normalise, and note mean and variance for later."""
        if not (self.training and distributed.is_initialized()):
            return super().forward(x_BDHW)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        count = x_BDHW.new_tensor([x_BDHW[:, 0].numel()])
        sums = torch.cat([x_BDHW.sum((0, 2, 3)), x_BDHW.square().sum((0, 2, 3)), count])
        sums = _SumOverRanks.apply(sums)  # type: ignore[no-untyped-call]
        count, (mean_D, square_D) = sums[-1], (sums[:-1] / sums[-1]).view(2, -1)
        variance_D = square_D - mean_D.square()
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean_D, self.momentum)
            self.running_var.lerp_(variance_D * count / (count - 1), self.momentum)
        scale_D = self.weight * torch.rsqrt(variance_D + self.eps)
        shift_D = self.bias - mean_D * scale_D
        return torch.addcmul(shift_D[:, None, None], x_BDHW, scale_D[:, None, None])


class Block(nn.Module):
    """Two 3x3 convolutions with a skip connection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), Norm(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), Norm(outputs))
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x_BDHW: Tensor, mask_B11W: Tensor) -> Tensor:
        """Keep the size; columns beyond a line's end come out as zero."""
        y_BDHW = F.relu(self.first(x_BDHW)) * mask_B11W
        return F.relu(self.second(y_BDHW) + self.skip(x_BDHW)) * mask_B11W


class TwoWayLSTM(nn.Module):
    """A bidirectional LSTM that never reads padding: its backward half sees each line reversed in its own length."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.forth = nn.LSTM(inputs, hidden, batch_first=True)
        self.back = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(self, x_BTD: Tensor, mirror_BT: Tensor) -> Tensor:
        """Return both directions' states, side by side."""
        forth_BTD = self.forth(x_BTD)[0]
        back_BTD = _pick(self.back(_pick(x_BTD, mirror_BT))[0], mirror_BT)
        return torch.cat([forth_BTD, back_BTD], dim=2)


def _pick(x_BTD: Tensor, frames_BT: Tensor) -> Tensor:
    return x_BTD.gather(1, frames_BT.unsqueeze(2).expand(-1, -1, x_BTD.shape[2]))


class Reader(nn.Module):
    """From ink to the log-probability of each character at each frame."""

    def __init__(self, recipe: Recipe, class_count: int) -> None:
        super().__init__()
        sizes = [recipe.channels, recipe.channels * 2, recipe.channels * 4]
        self.stem = nn.Conv2d(1, sizes[0], 5, stride=2, padding=2, bias=False)
        self.stem_norm = Norm(sizes[0])
        self.stages = nn.ModuleList()
        for inputs, outputs in pairwise(sizes):
            self.stages.append(
                nn.ModuleList(Block(inputs if n == 0 else outputs, outputs) for n in range(recipe.blocks))
            )
        features = sizes[-1]
        self.lstms = nn.ModuleList(
            TwoWayLSTM(features if n == 0 else 2 * recipe.hidden, recipe.hidden) for n in range(recipe.layers)
        )
        self.drop = nn.Dropout(recipe.dropout)
        self.head = nn.Linear(2 * recipe.hidden, class_count)
        self.shortcut = nn.Conv1d(features, class_count, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster on CPUs (docs/lab.md)

    def forward(self, ink_BHW: Tensor, widths_B: Tensor) -> Tensor:
        """Return log-probabilities, (B, T, C) with T = W / 4; `widths_B` are the lines' true widths in columns."""
        return self.head_log_probs(self.features(ink_BHW, widths_B), widths_B)

    def features(self, ink_BHW: Tensor, widths_B: Tensor) -> Tensor:
        """Return the convolutions' features per frame, (B, T, D)."""
        x_BDHW = ink_BHW.unsqueeze(1).float() / 255
        x_BDHW = F.relu(self.stem_norm(self.stem(x_BDHW)))
        x_BDHW = x_BDHW * _mask(widths_B, x_BDHW, columns_px=2)
        for number, stage in enumerate(self.stages):
            x_BDHW = F.max_pool2d(x_BDHW, (2, 2 if number == 0 else 1))
            mask_B11W = _mask(widths_B, x_BDHW, columns_px=FRAME_PX)
            for block in stage:  # type: ignore[attr-defined]
                x_BDHW = block(x_BDHW, mask_B11W)
        return x_BDHW.amax(dim=2).transpose(1, 2)

    def head_log_probs(self, x_BTD: Tensor, widths_B: Tensor) -> Tensor:
        """Read features in context."""
        mirror_BT = _mirror(frames(widths_B), x_BTD.shape[1])
        for lstm in self.lstms:
            x_BTD = lstm(self.drop(x_BTD), mirror_BT)
        logits_BTC: Tensor = self.head(self.drop(x_BTD))
        return logits_BTC.float().log_softmax(dim=2)

    def shortcut_log_probs(self, x_BTD: Tensor) -> Tensor:
        """Read features without context: only training uses it."""
        logits_BCT: Tensor = self.shortcut(x_BTD.transpose(1, 2))
        return logits_BCT.transpose(1, 2).float().log_softmax(dim=2)


def frames(widths_B: Tensor) -> Tensor:
    """Return how many CTC frames each line has."""
    return (widths_B + FRAME_PX - 1) // FRAME_PX


def _mask(widths_B: Tensor, x_BDHW: Tensor, *, columns_px: int) -> Tensor:
    ends_B = (widths_B + columns_px - 1) // columns_px
    inside_BW = torch.arange(x_BDHW.shape[3], device=widths_B.device) < ends_B.unsqueeze(1)
    return inside_BW.to(x_BDHW.dtype)[:, None, None, :]


def _mirror(frames_B: Tensor, total: int) -> Tensor:
    at_T = torch.arange(total, device=frames_B.device)
    mirrored_BT = frames_B.unsqueeze(1) - 1 - at_T
    return torch.where(mirrored_BT >= 0, mirrored_BT, at_T)


def ctc_loss(log_probs_BTC: Tensor, widths_B: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Return the CTC loss, summed over lines (Graves et al. 2006)."""
    lengths = torch.tensor([len(target) for target in targets])
    flat = torch.tensor([number for target in targets for number in target], device=log_probs_BTC.device)
    return F.ctc_loss(
        log_probs_BTC.transpose(0, 1), flat, frames(widths_B).cpu(), lengths, reduction="sum", zero_infinity=False
    )
