"""How good predicted numbers are: the measures of a regression.

Axes: K exits, N samples.
"""

import torch
from torch import Tensor

from eecore.shapes import Float

__all__ = ["MEASURES", "mean_squared_error", "pearson"]

MEASURES = {"classification": ("accuracy",), "regression": ("pearson", "mse")}  # of a task; the first one is the main


def mean_squared_error(prediction: Float[Tensor, "K N"], y: Float[Tensor, " N"]) -> Float[Tensor, " K"]:
    """Mean squared difference between predictions and right values, in the squared unit of `y`, float64.

    Example:
        >>> mean_squared_error(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([1.0, 4.0]))
        tensor([2.0000, 8.5000], dtype=torch.float64)
    """
    return (prediction.double() - y.double()).square().mean(dim=1)


def pearson(prediction: Float[Tensor, "K N"], y: Float[Tensor, " N"]) -> Float[Tensor, " K"]:
    """Pearson's correlation of predictions with right values, in [-1, 1], float64; NaN where one of them is constant.

    Example:
        >>> prediction = torch.tensor([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]])
        >>> [round(value, 6) for value in pearson(prediction, torch.tensor([2.0, 4.0, 6.0])).tolist()]
        [1.0, nan]
    """
    a, b = prediction.double(), y.double()
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean()
    varies = (prediction != prediction[:, :1]).any(dim=1) & (y != y[0]).any()  # rounding may leave a tiny spread
    together = (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm())
    return torch.where(varies, together.clamp(-1.0, 1.0), torch.nan)
