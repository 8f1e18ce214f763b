"""Changes of colour, each for a batch of images at once, with a strength for each image.

Black is 0, white is 1; 256 levels where an operation counts them. All are those of the Python imaging library.

Axes: M images, C channels, H height, W width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from eecore.shapes import Float

__all__ = ["autocontrast", "brightness", "contrast", "equalize", "posterize", "saturation", "sharpness", "solarize"]

LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601
WHITE = 255  # as a level

Images = Float[Tensor, "M C H W"]
Strength = Float[Tensor, " M"]


def _per_image(strength: Strength) -> Float[Tensor, "M 1 1 1"]:
    return strength.view(-1, 1, 1, 1)


def _blend(plain: Tensor, x: Images, factor: Strength) -> Images:
    """plain at factor 0, x at 1, beyond it above 1; clipped to [0, 1]."""
    return torch.lerp(plain.expand_as(x), x, _per_image(factor)).clamp_(0.0, 1.0)


def _grey(x: Images) -> Float[Tensor, "M 1 H W"]:
    """Luminance of colour images; the mean over channels of any other."""
    if x.shape[1] != len(LUMA):
        return x.mean(dim=1, keepdim=True)
    red, green, blue = x.unbind(dim=1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)


def brightness(x: Images, factor: Strength) -> Images:
    """Black at factor 0, the image itself at 1."""
    return _blend(torch.zeros_like(x), x, factor)


def saturation(x: Images, factor: Strength) -> Images:
    """The image in grey at factor 0; a grey image stays what it is."""
    return _blend(_grey(x), x, factor)


def contrast(x: Images, factor: Strength) -> Images:
    """The image's mean grey at factor 0."""
    return _blend(_grey(x).mean(dim=(2, 3), keepdim=True), x, factor)


def sharpness(x: Images, factor: Strength) -> Images:
    """A smoothed image at factor 0: a 3 x 3 window of ones with 5 in its middle; the border stays."""
    if min(x.shape[2:]) < 3:
        return x
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = (9.0 * F.avg_pool2d(x, 3, stride=1) + 4.0 * x[:, :, 1:-1, 1:-1]) / 13.0
    return _blend(smooth, x, factor)


def posterize(x: Images, bits: Strength) -> Images:
    """Keep the upper `bits` of the 8 bits of each level."""
    step = torch.exp2(8.0 - _per_image(bits))
    return (x * WHITE).round().div_(step).floor_().mul_(step).div_(WHITE)


def solarize(x: Images, threshold: Strength) -> Images:
    """Invert what is at or above the threshold."""
    return torch.where(x >= _per_image(threshold), 1.0 - x, x)


def autocontrast(x: Images) -> Images:
    """Stretch each channel to [0, 1]; one of a single level stays."""
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp_min(1.0 / WHITE**2), x)


def equalize(x: Images) -> Images:
    """Spread the levels of each channel so that each range of them holds about equally many pixels.

    With h(v) pixels of level v and s = (pixels below the highest level that occurs) // 255, level v becomes
    (s // 2 + pixels below v) // s; a channel with s = 0 stays.
    """
    levels = (x * WHITE).round().long().flatten(2)  # (M, C, H W)
    counts = torch.zeros(*levels.shape[:2], WHITE + 1, dtype=torch.int64, device=x.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    highest = counts.gather(2, levels.amax(dim=2, keepdim=True))
    step = (levels.shape[2] - highest) // WHITE
    below = counts.cumsum(dim=2) - counts
    table = ((step // 2 + below) // step.clamp_min(1)).clamp_(max=WHITE)
    spread = (table.gather(2, levels).to(x.dtype) / WHITE).view_as(x)
    return torch.where((step > 0)[..., None], spread, x)
