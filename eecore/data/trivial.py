"""TrivialAugment: each image gets one random operation of random strength; all operations of a batch at once.

Colours are changed between black 0 and white 1. What an affine operation brings in from outside is the training mean.

Axes: B batch, C channels, H height, W width, M images of one operation.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from eecore.data import colours
from eecore.shapes import Float

STRENGTHS = 31  # levels, 0..30, the first of them without effect for most operations
SHEAR = 0.99
TRANSLATE = 32.0  # pixels
ROTATE = 135.0  # degrees
FACTOR = 0.99  # colours are multiplied by 1 - 0.99 to 1 + 0.99
AFFINE = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")

Level = Float[Tensor, " M"]  # strength in [0, 1]
Sign = Float[Tensor, " M"]  # 1 or -1


def _enhanced(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Level, Sign], Tensor]:
    return lambda x, level, sign: change(x, 1.0 + sign * FACTOR * level)


_COLOURS: dict[str, Callable[[Tensor, Level, Sign], Tensor]] = {
    "brightness": _enhanced(colours.brightness),
    "colour": _enhanced(colours.saturation),
    "contrast": _enhanced(colours.contrast),
    "sharpness": _enhanced(colours.sharpness),
    "posterize": lambda x, level, sign: colours.posterize(x, 8.0 - (6.0 * level).round()),
    "solarize": lambda x, level, sign: colours.solarize(x, 1.0 - level),
    "autocontrast": lambda x, level, sign: colours.autocontrast(x),
    "equalize": lambda x, level, sign: colours.equalize(x),
}
OPERATIONS = ("identity", *AFFINE, *_COLOURS)


def trivial_augment(
    x: Float[Tensor, "B C H W"], generator: torch.Generator, mean: Float[Tensor, " C"], std: Float[Tensor, " C"]
) -> Float[Tensor, "B C H W"]:
    """Change each image by an operation and a strength of its own, both uniformly at random.

    The batch is dealt out: every operation has the same number of places, every image a random one of them. So
    each image's operation is uniform, the sizes of all parts are known without asking the device, and an operation
    is computed for its own images alone. Within a batch the operations are spread more evenly than by independent
    draws.

    Args:
        x: normalised images.
        generator: on the same device as `x`.
        mean, std: of the normalisation, on the same device: x * std + mean is in [0, 1].
    Returns:
        New images, normalised.
    Source:
        Müller and Hutter 2021, arXiv:2103.10158, the wide space of 14 operations and 31 strengths.
    """
    batch = len(x)
    if batch == 0:
        return x.clone()
    places = -(-batch // len(OPERATIONS))  # for each operation
    order = torch.randperm(places * len(OPERATIONS), generator=generator, device=x.device)
    level = torch.randint(0, STRENGTHS, order.shape, generator=generator, device=x.device) / (STRENGTHS - 1)
    sign = torch.randint(0, 2, order.shape, generator=generator, device=x.device) * 2.0 - 1.0
    dealt = x[order.clamp(max=batch - 1)]  # places beyond the batch hold a copy of its last image, and are not read
    first = places * (1 + len(AFFINE))  # place of the first image whose colours change
    affine, rest = slice(places, first), slice(first, None)
    scale, shift = std.view(1, -1, 1, 1), mean.view(1, -1, 1, 1)
    pixels = (dealt[rest] * scale + shift).clamp(0.0, 1.0)
    changed = [
        change(*parts)
        for change, *parts in zip(
            _COLOURS.values(), pixels.split(places), level[rest].split(places), sign[rest].split(places), strict=True
        )
    ]
    moved = transform(dealt[affine], coordinates(level[affine] * sign[affine], places, x.shape[3], x.shape[2]))
    out = torch.cat([dealt[:places], moved, (torch.cat(changed) - shift) / scale])
    return out[order.argsort()[:batch]]


def coordinates(strength: Float[Tensor, " M"], places: int, width: int, height: int) -> Float[Tensor, "M 2 3"]:
    """For each image the affine map from a pixel's place to where its value comes from, from the image's centre.

    Args:
        strength: in [-1, 1]; `places` of them for each operation of AFFINE.
        places: images of each operation.
        width, height: of the images, pixels; nothing is moved farther than that.
    Returns:
        Rows (a, b, c) of x' = a x + b y + c, for x' and for y', in pixels.
    """
    shear_x, shear_y, move_x, move_y, turn = strength.split(places)
    zero, one = torch.zeros_like(shear_x), torch.ones_like(shear_x)
    angle = turn * (ROTATE * torch.pi / 180.0)
    cosine, sine = angle.cos(), angle.sin()
    across, down = min(TRANSLATE, width), min(TRANSLATE, height)
    rows = [
        [one, SHEAR * shear_x, zero, zero, one, zero],
        [one, zero, zero, SHEAR * shear_y, one, zero],
        [one, zero, across * move_x, zero, one, zero],
        [one, zero, zero, zero, one, down * move_y],
        [cosine, -sine, zero, sine, cosine, zero],
    ]
    return torch.cat([torch.stack(row, dim=1).view(-1, 2, 3) for row in rows])


def transform(x: Float[Tensor, "M C H W"], maps: Float[Tensor, "M 2 3"]) -> Float[Tensor, "M C H W"]:
    """Move each image's pixels by its map, nearest neighbour, zero from outside.

    Written as products and sums, not as `affine_grid`, whose matrix product autocast would round to bfloat16.
    """
    height, width = x.shape[2:]
    down = (torch.arange(height, device=x.device) - (height - 1) / 2)[:, None]
    across = (torch.arange(width, device=x.device) - (width - 1) / 2)[None, :]
    a, b, c, d, e, f = maps.flatten(1).T[:, :, None, None]  # each (M, 1, 1)
    column = (a * across + b * down + c) * (2.0 / width)  # -1 and 1 are the borders of the image
    row = (d * across + e * down + f) * (2.0 / height)
    grid = torch.stack([column, row], dim=3)
    return F.grid_sample(x, grid, mode="nearest", padding_mode="zeros", align_corners=False)
