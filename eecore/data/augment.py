"""Random changes of a training batch: a few tensor operations for the whole batch, wherever it lies.

All randomness comes from the generator, which must live on the device of the batch. What is shifted in from
outside is zero: the training mean, since inputs are normalised.

Axes: B batch, C channels, H height, W width, L length.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from eecore.errors import SettingError, choose
from eecore.shapes import Bool, Float, Int

CROP_PADDING = 4  # pixels, as usual for 32 x 32 images
SHIFT_FRACTION = 8  # a shift is at most 1/8 of the side


def augment(x: Tensor, name: str, generator: torch.Generator) -> Tensor:
    """A randomly changed copy of a batch.

    Args:
        x: (B, C, H, W) or (B, C, L), floating point; any shape and type for "none".
        name: "none"; "shift" (translation by whole pixels, up to 1/8 of the side each way);
            "crop_flip" (padded by 4, cropped at random to its old size, mirrored along W or L with
            probability 1/2).
        generator: on the same device as `x`.
    Returns:
        A new tensor like `x`; for "none" `x` itself.
    Raises:
        SettingError: unknown name, a batch that is neither images nor sequences, or a generator elsewhere.
    Example:
        >>> x = torch.arange(8.).reshape(1, 1, 8)
        >>> augment(x, "shift", torch.Generator().manual_seed(2)).shape
        torch.Size([1, 1, 8])
    """
    change = _AUGMENTATIONS[choose("augment", name, _AUGMENTATIONS)]
    if change is None:
        return x
    if x.ndim not in (3, 4) or not x.is_floating_point():
        got = f"{x.dtype} of {tuple(x.shape)}"
        raise SettingError(f"augment: {name!r} needs floating-point (B, C, H, W) or (B, C, L), got {got}")
    if generator.device.type != x.device.type:
        raise SettingError(f"augment: the generator is on {generator.device}, the batch on {x.device}")
    return change(x.unsqueeze(2), generator).squeeze(2) if x.ndim == 3 else change(x, generator)


def augmentations() -> list[str]:
    """The names that `augment` knows."""
    return list(_AUGMENTATIONS)


def _shift(x: Float[Tensor, "B C H W"], generator: torch.Generator) -> Float[Tensor, "B C H W"]:
    """Translate each image by up to 1/8 of each side. A side below 8 stays as it is."""
    reach = (x.shape[2] // SHIFT_FRACTION, x.shape[3] // SHIFT_FRACTION)
    return _crop(x, reach, generator)


def _crop_flip(x: Float[Tensor, "B C H W"], generator: torch.Generator) -> Float[Tensor, "B C H W"]:
    """Pad by 4, crop at random, mirror every other image or so. A side of 1 is a sequence's: not padded."""
    reach = (CROP_PADDING if x.shape[2] > 1 else 0, CROP_PADDING if x.shape[3] > 1 else 0)
    mirror = torch.randint(0, 2, (x.shape[0],), generator=generator, device=x.device).bool()
    return _crop(x, reach, generator, mirror)


def _crop(
    x: Float[Tensor, "B C H W"],
    reach: tuple[int, int],
    generator: torch.Generator,
    mirror: Bool[Tensor, " B"] | None = None,
) -> Float[Tensor, "B C H W"]:
    """From each zero-padded image cut a window of the old size at a place of its own; mirror some."""
    rows = _window(x, 2, reach[0], generator)  # (B, H), positions in the padded image
    columns = _window(x, 3, reach[1], generator)  # (B, W)
    if mirror is not None:
        columns = torch.where(mirror[:, None], columns.flip(1), columns)
    padded = F.pad(x, (reach[1], reach[1], reach[0], reach[0]))
    sample = torch.arange(x.shape[0], device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _window(x: Float[Tensor, "B C H W"], axis: int, reach: int, generator: torch.Generator) -> Int[Tensor, "B side"]:
    """Positions along `axis`, padded by `reach`, of a window of the old length that starts anywhere."""
    start = torch.randint(0, 2 * reach + 1, (x.shape[0], 1), generator=generator, device=x.device)
    return start + torch.arange(x.shape[axis], device=x.device)


_AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor] | None] = {
    "none": None,
    "shift": _shift,
    "crop_flip": _crop_flip,
}
