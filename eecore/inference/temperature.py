"""Temperature scaling: one number for each exit, fitted on validation, that its logits are divided by.

Axes: K exits, N samples, C classes.
"""

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.calibration import checked_logits
from eecore.inference.checks import check_logits
from eecore.shapes import Float, Int

__all__ = ["TEMPERATURES", "fit_temperature", "scale"]

TEMPERATURES = (0.01, 100.0)  # fitted ones lie in here


def scale(logits: Float[Tensor, "K N C"], temperatures: Float[Tensor, " K"]) -> Float[Tensor, "K N C"]:
    """Logits of every exit divided by its temperature, float32: above 1 less certain, the same predictions.

    Raises:
        SettingError: the logits are not (K, N, C), or there are not K positive temperatures.
    Example:
        >>> scale(torch.tensor([[[2.0, 0.0]]]), torch.tensor([2.0]))
        tensor([[[1., 0.]]])
    """
    logits = check_logits(logits)
    if temperatures.shape != (len(logits),) or not bool(((temperatures > 0) & temperatures.isfinite()).all()):
        raise SettingError(f"temperatures: expected {len(logits)} positive numbers, got {temperatures.tolist()}")
    return (logits.double() / temperatures.double().to(logits.device)[:, None, None]).float()


def fit_temperature(logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"]) -> Float[Tensor, " K"]:
    """The temperature of each exit that makes the labels most likely: fitted on validation, used on test.

    With beta = 1 / T the mean negative log-likelihood of softmax(beta z) is convex; its slope in beta, the mean of
    E_softmax[z] - z_label, grows with beta. Its only zero is found by Brent's method in log T, which cannot diverge.

    Args:
        logits: of every exit, on validation data.
        labels: right classes, 0..C-1.
    Returns:
        Temperatures, float64, in `TEMPERATURES`, at an end of which they stop where likelihood grows beyond. Where
        every label has the largest logit, likelihood grows for ever as T falls: these data say "smaller", but not how
        much, and the temperature stays 1. That is our decision.
    Raises:
        SettingError: shapes, labels or logits are not as in `calibration`.
    Source:
        Guo et al. 2017, arXiv:1706.04599, with one temperature for each exit.
    """
    z, labels = checked_logits(logits, labels)
    return torch.tensor([_temperature(part.numpy(), labels.numpy()) for part in z], dtype=torch.float64)


def _temperature(z: np.ndarray, labels: np.ndarray) -> float:
    z = z - z.max(axis=1, keepdims=True)
    own = float(z[np.arange(len(z)), labels].mean())

    def slope(log_t: float) -> float:
        weight = np.exp(z * np.exp(-log_t))
        return float(((weight * z).sum(axis=1) / weight.sum(axis=1)).mean() - own)

    if own == 0.0:  # every label has the largest logit
        return 1.0
    low, high = np.log(TEMPERATURES)
    if slope(low) <= 0.0:  # at the largest beta the likelihood still grows
        return TEMPERATURES[0]
    if slope(high) >= 0.0:
        return TEMPERATURES[1]
    return float(np.exp(brentq(slope, low, high, xtol=1e-10)))
