"""Distortions that leave a line readable, for whole batches on the training device, drawn from torch's generator."""

import torch
from torch import Tensor
from torch.nn import functional as F

# B lines, H height, W width

LARGEST_SLANT = 0.35  # columns a row at full strength, about 20 degrees
LARGEST_SHIFT = 0.12  # of the height
LARGEST_SCALE = 0.15
LARGEST_WAVE = 0.12  # of the height: local displacement, in both directions
WAVE_PX = 24  # distance between the control points of the local displacement
PEN_SHARE = 0.3  # of lines whose strokes are made thicker or thinner
LARGEST_NOISE = 0.12  # of full ink


def distort(ink_BHW: Tensor, widths_B: Tensor, *, strength: float) -> Tensor:
    """Return float ink in 0..1, moved, slanted, waved, thickened and dirtied by chance; padding stays paper."""
    ink_B1HW = ink_BHW.unsqueeze(1).float() / 255
    if strength == 0:
        return ink_B1HW.squeeze(1)
    ink_B1HW = F.grid_sample(ink_B1HW, _grid(ink_B1HW, strength), align_corners=False)
    ink_B1HW = _pen(ink_B1HW, strength)
    gain_B111 = 1 - 0.5 * strength * torch.rand(len(ink_BHW), 1, 1, 1, device=ink_BHW.device)
    noise_B1HW = strength * LARGEST_NOISE * torch.randn_like(ink_B1HW) * torch.rand_like(gain_B111)
    inside_BW = torch.arange(ink_BHW.shape[2], device=widths_B.device) < widths_B.unsqueeze(1)
    return ((ink_B1HW * gain_B111 + noise_B1HW).clamp(0, 1) * inside_BW[:, None, None, :]).squeeze(1)


def _grid(ink_B1HW: Tensor, strength: float) -> Tensor:
    lines, _, height, width = ink_B1HW.shape

    def chance(*shape: int) -> Tensor:
        return (2 * torch.rand(*shape, device=ink_B1HW.device) - 1) * strength

    y_H = torch.linspace(-1, 1, height, device=ink_B1HW.device)
    x_W = torch.linspace(-1, 1, width, device=ink_B1HW.device)
    wave_B2HW = F.interpolate(
        chance(lines, 2, 3, max(2, width // WAVE_PX)) * LARGEST_WAVE,
        (height, width),
        mode="bicubic",
        align_corners=True,
    )
    y_BHW = y_H[None, :, None] * (1 + LARGEST_SCALE * chance(lines, 1, 1)) + 2 * LARGEST_SHIFT * chance(lines, 1, 1)
    columns_BHW = LARGEST_SLANT * chance(lines, 1, 1) * y_H[None, :, None] * height / 2 + wave_B2HW[:, 1] * height
    x_BHW = x_W[None, None, :] + columns_BHW * (2 / width)
    return torch.stack([x_BHW, y_BHW + 2 * wave_B2HW[:, 0]], dim=3)


def _pen(ink_B1HW: Tensor, strength: float) -> Tensor:
    choice_B111 = torch.rand(len(ink_B1HW), 1, 1, 1, device=ink_B1HW.device)
    thick_B1HW = F.max_pool2d(ink_B1HW, 3, stride=1, padding=1)
    thin_B1HW = (ink_B1HW - F.max_pool2d(1 - ink_B1HW, 3, stride=1, padding=1) + 1) / 2
    limit = PEN_SHARE * strength
    return torch.where(choice_B111 < limit / 2, thick_B1HW, torch.where(choice_B111 < limit, thin_B1HW, ink_B1HW))
