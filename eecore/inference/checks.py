"""What the functions of eecore.inference demand of their arguments. Each raises a SettingError of one line.

Axes: K exits, N samples, C classes, T thresholds.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.errors import SettingError

__all__ = ["Number", "Numbers", "check_labels", "check_logits", "check_macs", "check_thresholds"]

Number = float | int  # said in full for checkers to whom an int is no float
Numbers: TypeAlias = Sequence[Number] | np.ndarray | pd.Series | Tensor


def check_logits(logits: Tensor) -> Tensor:
    """Return logits (K, N, C) of a floating type, K, N >= 1 and C >= 2; the values are checked where read."""
    logits = torch.as_tensor(logits)
    if logits.ndim == 3 and logits.shape[2] == 1:
        raise SettingError("logits: expected classes >= 2, got one output, as a regression has: use regression_curve")
    if logits.ndim != 3 or logits.shape[0] < 1 or logits.shape[1] < 1 or logits.shape[2] < 2:
        raise SettingError(
            f"logits: expected (exits, samples, classes >= 2), none of them empty, got {tuple(logits.shape)}"
        )
    if not logits.is_floating_point():
        raise SettingError(f"logits: expected floating-point numbers, got {logits.dtype}")
    return logits


def check_labels(labels: Tensor, samples: int, classes: int) -> Tensor:
    """Return labels (N,) as int64, each in 0..classes-1."""
    labels = torch.as_tensor(labels)
    if labels.shape != (samples,):
        raise SettingError(f"labels: expected ({samples},), one per sample, got {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise SettingError(f"labels: expected integers, got {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise SettingError(f"labels: expected 0 to {classes - 1}, got {low} to {high}")
    return labels.long()


def check_macs(macs: Numbers, exits: int) -> np.ndarray:
    """Return macs (K,) as float64: positive, finite, and each exit dearer than the one before."""
    values = np.asarray(macs, dtype=np.float64)
    if values.shape != (exits,):
        raise SettingError(f"macs: expected {exits} numbers, one per exit, got shape {values.shape}")
    if not np.isfinite(values).all() or values[0] <= 0 or (np.diff(values) <= 0).any():
        raise SettingError(f"macs: expected positive, strictly ascending numbers, got {values.tolist()}")
    return values


def check_thresholds(thresholds: Number | Numbers, argument: str = "threshold") -> np.ndarray:
    """Return thresholds (T,) as float64, each in [0, 1]."""
    values = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if values.ndim != 1 or values.size == 0:
        raise SettingError(f"{argument}: expected a list of numbers in [0, 1], got shape {values.shape}")
    if not ((values >= 0.0) & (values <= 1.0)).all():  # false for NaN too
        wrong = values[~((values >= 0.0) & (values <= 1.0))][0]
        raise SettingError(f"{argument}: expected numbers in [0, 1], got {wrong}")
    return values
