"""How sure it is that a risk is within a limit, from the number of losses among n samples."""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import binom

from eecore.errors import SettingError, choose
from eecore.inference.checks import Number

__all__ = ["BOUNDS", "p_values"]


def _binomial(n: int, epsilon: float) -> np.ndarray:
    return binom.cdf(np.arange(n + 1), n, epsilon)


def _hoeffding(n: int, epsilon: float) -> np.ndarray:
    return np.exp(-2.0 * n * np.clip(epsilon - np.arange(n + 1) / n, 0.0, None) ** 2)


def _bentkus(n: int, epsilon: float) -> np.ndarray:
    """The smaller of Hoeffding's bound in its tighter form, exp(-n kl(risk, epsilon)), and Bentkus's, e P(Bin <= .)."""
    r = np.minimum(np.arange(n + 1) / n, epsilon)
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(r > 0, r * np.log(r / epsilon), 0.0) + (1 - r) * np.log((1 - r) / (1 - epsilon))
    return np.minimum(np.minimum(np.exp(-n * kl), math.e * _binomial(n, epsilon)), 1.0)


BOUNDS: dict[str, Callable[[int, float], np.ndarray]] = {
    "binomial": _binomial,
    "bentkus": _bentkus,
    "hoeffding": _hoeffding,
}


def p_values(n: int, epsilon: Number, bound: str = "binomial") -> np.ndarray:
    """p value of "the risk is above epsilon" for 0, 1, ..., n losses among n samples, (n + 1,).

    Args:
        n: samples, at least 1.
        epsilon: in (0, 1).
        bound: "binomial" (exact for losses of 0 and 1, the smallest), "bentkus" (Hoeffding-Bentkus, for any loss in
            [0, 1]) or "hoeffding" (the same, simpler and larger).
    Raises:
        SettingError: an argument is not as above.
    Source:
        Angelopoulos et al. 2021 (learn then test), arXiv:2110.01052.
    Example:
        >>> p_values(2, 0.5)
        array([0.25, 0.75, 1.  ])
    """
    if n < 1 or not 0.0 < epsilon < 1.0:
        raise SettingError(f"n, epsilon: expected 1 or more samples and a number in (0, 1), got {n} and {epsilon}")
    return BOUNDS[choose("bound", bound, BOUNDS)](n, float(epsilon))
