"""Distortions that leave a line readable, for whole batches on the training device, drawn from torch's generator.

Shape: lines moved, slanted and locally displaced (after the elastic distortions of Simard et al. 2003), strokes thicker
or thinner by grey morphology. Wear: uneven paper, stains, ruled lines, pale ink, gaps in strokes and noise.
"""

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

LARGEST_PALENESS = 0.5  # of full ink
LARGEST_NOISE = 0.12  # of full ink
LARGEST_SHADE = 0.25  # of full ink: what uneven paper and stains leave
SHADE_PX = 48  # distance between the control points of the shade: stains are larger than letters
RULE_SHARE = 0.3  # of lines on ruled paper
RULE_INK = (0.2, 0.7)  # darkness of the rule, of full ink
GAP_SHARE = 0.3  # of lines with gaps in their strokes
GAP_PX = 2.5  # radius of a gap: it breaks a stroke and never hides a letter
GAP_EVERY_PX = 48  # width for one gap


def distort(ink_BHW: Tensor, widths_B: Tensor, *, shape: float, wear: float) -> Tensor:
    """Return float ink in 0..1, from uint8, changed by chance with strengths in 0..1; padding stays paper."""
    ink_B1HW = ink_BHW.unsqueeze(1).float() / 255
    if shape:
        ink_B1HW = _pen(F.grid_sample(ink_B1HW, _grid(ink_B1HW, shape), align_corners=False), shape)
    if wear:
        ink_B1HW = _dirtied(_broken(ink_B1HW, wear), wear)
    inside_BW = torch.arange(ink_BHW.shape[2], device=widths_B.device) < widths_B.unsqueeze(1)
    return ink_B1HW.squeeze(1).clamp(0, 1) * inside_BW.unsqueeze(1)


def _chance(ink_B1HW: Tensor, *shape: int) -> Tensor:
    """Draw numbers in 0..1 for each line, where the ink is."""
    return torch.rand(len(ink_B1HW), *shape, device=ink_B1HW.device)


def _grid(ink_B1HW: Tensor, strength: float) -> Tensor:
    height, width = ink_B1HW.shape[2:]

    def chance(*shape: int) -> Tensor:
        return (2 * _chance(ink_B1HW, *shape) - 1) * strength

    y_H = torch.linspace(-1, 1, height, device=ink_B1HW.device)
    x_W = torch.linspace(-1, 1, width, device=ink_B1HW.device)
    wave_B2HW = F.interpolate(
        chance(2, 3, max(2, width // WAVE_PX)) * LARGEST_WAVE, (height, width), mode="bicubic", align_corners=True
    )
    y_BHW = y_H[None, :, None] * (1 + LARGEST_SCALE * chance(1, 1)) + 2 * LARGEST_SHIFT * chance(1, 1)
    columns_BHW = LARGEST_SLANT * chance(1, 1) * y_H[None, :, None] * height / 2 + wave_B2HW[:, 1] * height
    x_BHW = x_W[None, None, :] + columns_BHW * (2 / width)
    return torch.stack([x_BHW, y_BHW + 2 * wave_B2HW[:, 0]], dim=3)


def _pen(ink_B1HW: Tensor, strength: float) -> Tensor:
    choice_B111 = _chance(ink_B1HW, 1, 1, 1)
    thick_B1HW = F.max_pool2d(ink_B1HW, 3, stride=1, padding=1)
    thin_B1HW = (ink_B1HW - F.max_pool2d(1 - ink_B1HW, 3, stride=1, padding=1) + 1) / 2
    limit = PEN_SHARE * strength
    return torch.where(choice_B111 < limit / 2, thick_B1HW, torch.where(choice_B111 < limit, thin_B1HW, ink_B1HW))


def _broken(ink_B1HW: Tensor, strength: float) -> Tensor:
    """Fade the ink, and rub out small discs of it on some lines."""
    height, width = ink_B1HW.shape[2:]
    gap_count = max(1, width // GAP_EVERY_PX)
    y_H = torch.arange(height, device=ink_B1HW.device)
    x_W = torch.arange(width, device=ink_B1HW.device)
    down_BGH1 = ((y_H - height * _chance(ink_B1HW, gap_count, 1)) ** 2).unsqueeze(3)
    across_BG1W = ((x_W - width * _chance(ink_B1HW, gap_count, 1)) ** 2).unsqueeze(2)
    gap_B1HW = (down_BGH1 + across_BG1W).amin(dim=1, keepdim=True) < GAP_PX**2
    chosen_B111 = _chance(ink_B1HW, 1, 1, 1) < GAP_SHARE * strength
    gain_B111 = 1 - LARGEST_PALENESS * strength * _chance(ink_B1HW, 1, 1, 1)
    return ink_B1HW * gain_B111 * ~(gap_B1HW & chosen_B111)


def _dirtied(ink_B1HW: Tensor, strength: float) -> Tensor:
    """Lay shade, a rule and noise under the ink."""
    height, width = ink_B1HW.shape[2:]
    shade_B1HW = F.interpolate(
        _chance(ink_B1HW, 1, 2, max(2, width // SHADE_PX)) - 0.5, (height, width), mode="bilinear", align_corners=True
    ).clamp(min=0) * (2 * LARGEST_SHADE * strength)
    place_B111, darkness_B111, chosen_B111 = (_chance(ink_B1HW, 1, 1, 1) for _ in range(3))
    y_H1 = torch.arange(height, device=ink_B1HW.device).unsqueeze(1)
    rule_B1H1 = (1 - (y_H1 - height * place_B111).abs()).clamp(min=0) * (chosen_B111 < RULE_SHARE * strength)
    rule_B1H1 = rule_B1H1 * (RULE_INK[0] + (RULE_INK[1] - RULE_INK[0]) * darkness_B111)
    noise_B1HW = torch.randn_like(ink_B1HW) * (strength * LARGEST_NOISE * _chance(ink_B1HW, 1, 1, 1))
    return torch.maximum(ink_B1HW, torch.maximum(shade_B1HW, rule_B1H1)) + noise_B1HW
