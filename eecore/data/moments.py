"""What inputs are normalised with: mean and standard deviation of each channel, of the training split alone.

Axes: N samples, C channels, H height, W width, L length.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eecore.data.streamed import Pixels
from eecore.errors import DataError


def channel_moments(name: str, kind: str, x: Tensor | Pixels) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Mean and standard deviation of each channel, (C): float64 where x is, else float32; 0 and 1 for tokens.

    Sums run in float64 and in numpy, whose order does not depend on the number of threads.

    Args:
        name: of the data set, for the error.
        kind: of its samples, as in Info.
        x: the training split's, raw.
    Returns:
        Mean, deviation, and the channels that are constant, as an empty colour is: their deviation counts as 1.
    Raises:
        DataError: all channels are constant, or values are too large for a mean.
    """
    if kind == "tokens":
        return torch.zeros(1), torch.ones(1), ()
    with np.errstate(over="ignore"):
        mean, std = _pixel_moments(x) if isinstance(x, Pixels) or x.dtype == torch.uint8 else _moments(x)
    if not (std > 0).any():
        which = "all channels are" if len(std) > 1 else "channel 0 is"
        raise DataError(f"{name}: {which} constant in the training split: every sample is the same")
    if not np.isfinite(std).all():
        raise DataError(f"{name}: the values of x are too large, divide them by a number first")
    constant = np.flatnonzero(std == 0)
    std[constant] = 1
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.from_numpy(mean).to(dtype), torch.from_numpy(std).to(dtype), tuple(constant.tolist())


def _moments(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, float64, (C); the deviation of a constant one is exactly 0."""
    values = x.flatten(2).numpy()  # (N, C, positions)
    blocks = [values[start : start + 4096] for start in range(0, len(values), 4096)]  # float64 of a few at a time
    mean = sum(block.sum(axis=(0, 2), dtype=np.float64) for block in blocks) / values[:, 0].size
    squares = sum(np.square(block - mean[:, None]).sum(axis=(0, 2)) for block in blocks)
    low = values.min(axis=(0, 2))
    constant = low == values.max(axis=(0, 2))  # there a mean that is rounded leaves more than 0
    return np.where(constant, low, mean), np.where(constant, 0.0, np.sqrt(squares / values[:, 0].size))


def _pixel_moments(x: Tensor | Pixels) -> tuple[np.ndarray, np.ndarray]:
    """The same for uint8, of x / 255, from sums of integers: exact, and fast."""
    sums = x.sums.tolist() if isinstance(x, Pixels) else [_sums(x[:, channel]) for channel in range(x.shape[1])]
    n = x.shape[0] * x.shape[2] * x.shape[3]
    mean = np.array([total / n for total, _ in sums])
    std = np.array([math.sqrt(n * squares - total**2) / n for total, squares in sums])  # of integers of any size
    return mean / 255, std / 255


def _sums(values: Tensor) -> tuple[int, int]:
    """Sum of bytes and of their squares, from their histogram."""
    counts, levels = torch.bincount(values.reshape(-1), minlength=256), torch.arange(256)
    return int((counts * levels).sum()), int((counts * levels**2).sum())


def normalise(x: Any, mean: Tensor, std: Tensor) -> Any:  # the type that comes, a Tensor or Pixels
    """(x - mean) / std, per channel, float32; uint8 counts as x / 255, tokens (int64) come back as they are.

    Of float64 the mean is taken off before it becomes float32, which has 7 digits: around 1e9 it knows steps of 64.
    """
    if x.dtype == torch.int64:
        return x
    if isinstance(x, Pixels):
        return x.prepared(functools.partial(normalise, mean=mean, std=std))
    mean, std = (moment.to(x.device).view(1, -1, *(1,) * (x.ndim - 2)) for moment in (mean, std))
    if x.dtype == torch.uint8:
        return x.float().sub_(255 * mean).div_(255 * std)  # in place: these are the large sets
    return ((x - mean) / std).float()
