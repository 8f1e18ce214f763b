"""Random changes of a training batch: a few tensor operations for the whole batch, wherever it lies.

All randomness comes from the generator, which must live on the device of the batch. What is shifted in from
outside is zero: the training mean, since inputs are normalised. Nothing waits for the host.

Axes: B batch, C channels, H height, W width, L length.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from eecore.data.augment_tokens import DROPPED, drop_words
from eecore.data.trivial import trivial_augment
from eecore.errors import SettingError, choose
from eecore.shapes import Bool, Float, Int

CROP_PADDING = 4  # pixels, as usual for 32 x 32 images
SHIFT_FRACTION = 8  # a shift is at most 1/8 of the side
ERASED = 0.5  # probability that an image loses a rectangle
ERASED_AREA = (0.02, 0.4)  # of the image
ERASED_ASPECT = (0.3, 1 / 0.3)  # height to width
IMAGE_STEPS = frozenset({"trivial_augment", "erase"})  # what makes no sense for sequences


def augment(
    x: Tensor,
    name: str,
    generator: torch.Generator,
    mean: Float[Tensor, " C"] | None = None,
    std: Float[Tensor, " C"] | None = None,
) -> Tensor:
    """A randomly changed copy of a batch.

    Args:
        x: (B, C, H, W) or (B, C, L), floating point; any shape and type for "none".
        name: "none"; "shift" (translation by whole pixels, up to 1/8 of the side each way);
            "crop_flip" (padded by 4, cropped at random to its old size, mirrored along W or L with
            probability 1/2); for images alone "erase" (a rectangle of noise, with probability 1/2),
            "trivial_augment" (one random operation), "crop_flip_erase" and "trivial" (crop, flip, TrivialAugment,
            erasing, in this order); for tokens alone "drop_words" and "drop_many_words" (a third
            or so, or most of the words are unknown).
        generator: on the same device as `x`.
        mean, std: what images were normalised with, on the same device; TrivialAugment needs them, to find black
            (0) and white (1).
    Returns:
        A new tensor like `x`; for "none" `x` itself.
    Raises:
        SettingError: unknown name, a batch that it does not fit, a generator elsewhere, or mean and std missing.
    Example:
        >>> x = torch.arange(8.).reshape(1, 1, 8)
        >>> augment(x, "shift", torch.Generator().manual_seed(2)).shape
        torch.Size([1, 1, 8])
    """
    steps = _AUGMENTATIONS[choose("augment", name, _AUGMENTATIONS)]
    if not steps:
        return x
    if name in DROPPED:
        return drop_words(x, generator, name)
    for_images = not IMAGE_STEPS.isdisjoint(steps)
    if x.ndim not in ((4,) if for_images else (3, 4)) or not x.is_floating_point():
        allowed = "(B, C, H, W)" if for_images else "(B, C, H, W) or (B, C, L)"
        raise SettingError(f"augment: {name!r} needs floating-point {allowed}, got {x.dtype} of {tuple(x.shape)}")
    if generator.device.type != x.device.type:
        raise SettingError(f"augment: the generator is on {generator.device}, the batch on {x.device}")
    flat = x.ndim == 3
    x = x.unsqueeze(2) if flat else x
    for step in steps:
        if step != "trivial_augment":
            x = _STEPS[step](x, generator)
        elif mean is None or std is None:
            raise SettingError(f"augment: {name!r} changes colours and needs mean and std, got None")
        else:
            x = trivial_augment(x, generator, mean, std)
    return x.squeeze(2) if flat else x


def augmentations(kind: str | None = None) -> list[str]:
    """The names that `augment` knows: all, or those that fit a kind of data.

    Example:
        >>> augmentations("sequence"), augmentations("tokens")
        (['none', 'shift', 'crop_flip'], ['none', 'drop_words', 'drop_many_words'])
    """
    tokens = set(DROPPED)
    fitting = {
        "tokens": {"none", *tokens},
        "sequence": {name for name, steps in _AUGMENTATIONS.items() if IMAGE_STEPS.isdisjoint(steps)} - tokens,
        "image": set(_AUGMENTATIONS) - tokens,
    }.get(str(kind), set(_AUGMENTATIONS))
    return [name for name in _AUGMENTATIONS if name in fitting]


def changes_colours(name: str) -> bool:
    """Whether an augmentation changes colours, and so needs images between black (0) and white (1)."""
    return "trivial_augment" in _AUGMENTATIONS[choose("augment", name, _AUGMENTATIONS)]


def _shift(x: Float[Tensor, "B C H W"], generator: torch.Generator) -> Float[Tensor, "B C H W"]:
    """Translate each image by up to 1/8 of each side. A side below 8 stays as it is."""
    reach = (x.shape[2] // SHIFT_FRACTION, x.shape[3] // SHIFT_FRACTION)
    return _crop(x, reach, generator)


def _crop_flip(x: Float[Tensor, "B C H W"], generator: torch.Generator) -> Float[Tensor, "B C H W"]:
    """Pad by 4, crop at random, mirror every other image or so. A side of 1 is a sequence's: not padded."""
    reach = (CROP_PADDING if x.shape[2] > 1 else 0, CROP_PADDING if x.shape[3] > 1 else 0)
    mirror = torch.randint(0, 2, (x.shape[0],), generator=generator, device=x.device).bool()
    return _crop(x, reach, generator, mirror)


def _erase(x: Float[Tensor, "B C H W"], generator: torch.Generator) -> Float[Tensor, "B C H W"]:
    """In every other image or so, put noise of the data's mean and deviation in place of a rectangle.

    Differs from the authors' algorithm, which draws again until a rectangle fits: here a side that is too long is cut
    to the image's, so that nothing waits for an outcome.

    Source:
        Zhong et al. 2017, Random Erasing, arXiv:1708.04896; its probability, areas, aspects and random values.
    """
    height, width = x.shape[2:]
    chance, area, aspect, *place = torch.rand(5, len(x), 1, generator=generator, device=x.device)
    area = height * width * (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area)
    low, high = math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1])
    aspect = torch.exp(low + (high - low) * aspect)
    inside = []
    for side, length, at in zip((height, width), ((area * aspect).sqrt(), (area / aspect).sqrt()), place, strict=True):
        length = length.round().clamp(1, side)
        start = (at * (side - length + 1)).floor()
        position = torch.arange(side, device=x.device)
        inside.append((position >= start) & (position < start + length))  # (B, side)
    erased = (inside[0] & (chance < ERASED))[:, None, :, None] & inside[1][:, None, None, :]
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return torch.where(erased, noise, x)


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


_STEPS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "shift": _shift,
    "crop_flip": _crop_flip,
    "erase": _erase,
}

_AUGMENTATIONS: dict[str, tuple[str, ...]] = {  # name: steps, in their order
    "none": (),
    "shift": ("shift",),
    "crop_flip": ("crop_flip",),
    "erase": ("erase",),
    "trivial_augment": ("trivial_augment",),
    "crop_flip_erase": ("crop_flip", "erase"),
    "trivial": ("crop_flip", "trivial_augment", "erase"),
    **{name: (name,) for name in DROPPED},
}
