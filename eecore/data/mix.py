"""Mixing two samples of a batch, and their labels with them: mixup and CutMix.

Each sample has a partner, a share and a box of its own, drawn on the device of the batch, so that nothing waits
for the host.

Axes: B batch, C channels, H height, W width, L length.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.shapes import Float, Int

__all__ = ["Target", "mix"]


class Target(NamedTuple):
    """What the samples of a batch are to be mapped to.

    Args:
        y: classes, int64, or numbers, float32; (B).
        other: where samples are mixed: the class of each one's partner; else None.
        share: of `y` in each label, in [0, 1]; the partner has the rest. None where `other` is.
    """

    y: Tensor
    other: Tensor | None = None
    share: Tensor | None = None


def mix(
    x: Float[Tensor, " B *sample"],
    y: Int[Tensor, " B"],
    generator: torch.Generator,
    mixup: float | None = None,
    cutmix: float | None = None,
) -> tuple[Float[Tensor, " B *sample"], Target]:
    """Mix every sample with another one of its batch.

    mixup: x and its partner added with weights s and 1 - s, s from Beta(mixup, mixup). CutMix: a box of the share
    1 - s of the area, at a place of its own, comes from the partner, s from Beta(cutmix, cutmix); what a border cuts
    off the box goes back to x, and to its label. With both, each sample takes one of them with probability 1/2.

    Differs from the authors' code in that each sample draws its own s and its own box, not each batch.

    Args:
        x: (B, C, H, W), or for mixup any floating-point batch.
        y: classes.
        generator: on the same device as `x`; not used where nothing is mixed.
        mixup, cutmix: parameter of the Beta distribution, above 0, or None: off.
    Returns:
        A new batch and its target; with both off `x` itself.
    Raises:
        SettingError: a parameter is not above 0, or CutMix is asked of anything but images.
    Source:
        Zhang et al. 2018, arXiv:1710.09412 (mixup); Yun et al. 2019, arXiv:1905.04899 (CutMix).
    Example:
        >>> x, y = torch.eye(2).view(2, 1, 1, 2), torch.tensor([0, 1])
        >>> mixed, target = mix(x, y, torch.Generator().manual_seed(0), mixup=1.0)
        >>> mixed.shape, target.share.shape
        (torch.Size([2, 1, 1, 2]), torch.Size([2]))
    """
    for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        if alpha is not None and not alpha > 0:
            raise SettingError(f"{name}: expected a number above 0, or None for off, got {alpha}")
    if mixup is None and cutmix is None:
        return x, Target(y)
    if cutmix is not None and x.ndim != 4:
        raise SettingError(f"cutmix: needs images (B, C, H, W), got {tuple(x.shape)}; use mixup")
    partner = torch.randperm(len(x), generator=generator, device=x.device)
    weight = _weights(x, mixup, cutmix, generator)
    share = weight.flatten(1).mean(dim=1)
    return torch.lerp(x[partner], x, weight.to(x.dtype)), Target(y, y[partner], share)


def _weights(x: Tensor, mixup: float | None, cutmix: float | None, generator: torch.Generator) -> Tensor:
    """Weight of each sample itself: one number a sample (mixup), or one a pixel, 0 inside the box (CutMix)."""
    ones = (1,) * (x.ndim - 1)
    if cutmix is None or mixup is None:
        alpha = mixup if cutmix is None else cutmix
        assert alpha is not None
        share = _beta(alpha, x, generator)
        return share.view(-1, *ones) if cutmix is None else _outside_box(share, x, generator)
    blended = _beta(mixup, x, generator).view(-1, *ones)
    cut = _outside_box(_beta(cutmix, x, generator), x, generator)
    blends = torch.rand(len(x), generator=generator, device=x.device).view(-1, *ones) < 0.5
    return torch.where(blends, blended, cut)


def _beta(alpha: float, x: Tensor, generator: torch.Generator) -> Float[Tensor, " B"]:
    """A draw from Beta(alpha, alpha) for each sample."""
    # torch.distributions draws from the global generator only; this is the function that it calls, with ours
    both = torch._sample_dirichlet(torch.full((len(x), 2), alpha, device=x.device), generator=generator)
    return both[:, 0]


def _outside_box(
    share: Float[Tensor, " B"], x: Float[Tensor, "B C H W"], generator: torch.Generator
) -> Float[Tensor, "B 1 H W"]:
    """0 inside a box of the relative area 1 - share around a point anywhere in the image, 1 elsewhere."""
    inside = []
    for side in (x.shape[2], x.shape[3]):
        length = (side * (1.0 - share).sqrt()).round()[:, None]
        centre = torch.randint(0, side, (len(x), 1), generator=generator, device=x.device)
        start = centre - (length / 2).floor()
        place = torch.arange(side, device=x.device)
        inside.append((place >= start) & (place < start + length))  # (B, side)
    return 1.0 - (inside[0][:, None, :, None] & inside[1][:, None, None, :]).to(share.dtype)
