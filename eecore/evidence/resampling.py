"""Tests and intervals that assume less than the t test does, a correction for many tests, and effect sizes.

All take one value per seed: the difference of two regimes that were trained from the same start.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from eecore.errors import SettingError, choose
from eecore.evidence.paired import interval

__all__ = ["CORRECTIONS", "bootstrap_interval", "corrected", "hedges_g", "least_sign_flip", "sign_flip"]

CORRECTIONS = ("holm", "none")
EXACT = 2**14  # sign patterns that are all looked at; beyond, as many are drawn


def sign_flip(values: Iterable[float | int], seed: int = 0) -> float:
    """Two-sided p value of a permutation test: if nothing differs, each difference could as well have the other sign.

    Args:
        values: paired differences, one per seed.
        seed: of the patterns that are drawn where there are too many to look at all.
    Returns:
        The share of sign patterns whose mean lies at least as far from 0; exact up to 14 values. NaN for one value.
    Raises:
        SettingError: no values, or one that is not finite.
    Source:
        Fisher 1935, The Design of Experiments; computed by scipy.
    Example:
        >>> sign_flip([1.0, 2.0, 3.0, 2.5, 1.7])  # all of one sign: 2 patterns of 32
        0.0625
    """
    x = _checked(values)
    if x.size < 2:
        return float("nan")
    drawn = np.inf if 2**x.size <= EXACT else EXACT
    rng = np.random.default_rng(seed)
    found = stats.permutation_test((x,), _mean, permutation_type="samples", n_resamples=drawn, vectorized=True, rng=rng)
    return float(found.pvalue)


def least_sign_flip(n: int) -> float:
    """The smallest p value that `sign_flip` can give for n values: 2 of 2^n patterns.

    Example:
        >>> least_sign_flip(5), least_sign_flip(6)
        (0.0625, 0.03125)
    """
    if n < 1:
        raise SettingError(f"n: expected at least one value, got {n}")
    return min(1.0, 2.0 / 2**n)


def bootstrap_interval(
    values: Iterable[float | int], level: float | int = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval of the mean.

    With few values it is too short: of 5 seeds, a 95 % interval covers the mean in fewer than 95 % of cases (see the
    tests). It is here to be compared with the t interval, not to replace it.

    Args:
        values: paired differences, one per seed.
        level: of the interval, in (0, 1).
        draws: bootstrap samples, at least 100.
        seed: of the draws.
    Returns:
        Its ends; NaN for one value.
    Raises:
        SettingError: an argument is not as above.
    Source:
        Efron 1987, Better bootstrap confidence intervals; computed by scipy.
    """
    x = _checked(values)
    if not 0.0 < level < 1.0:
        raise SettingError(f"level: expected a number in (0, 1), such as 0.95, got {level}")
    if draws < 100:
        raise SettingError(f"draws: at least 100 are needed, got {draws}")
    if x.size < 2:
        return float("nan"), float("nan")
    if np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    rng = np.random.default_rng(seed)
    found = stats.bootstrap((x,), _mean, n_resamples=draws, confidence_level=level, method="BCa", rng=rng)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def corrected(p: pd.Series, correction: str = "holm") -> pd.Series:
    """p values of tests that belong together, corrected so that one false alarm among all of them is rare.

    Args:
        p: p values; NaN stays NaN and is not counted.
        correction: "holm", or "none".
    Raises:
        SettingError: the correction is not known.
    Source:
        Holm 1979, A simple sequentially rejective multiple test procedure. Our own three lines: statsmodels' function
        collects garbage at every call, which takes a quarter of a second (the tests compare the two).
    Example:
        >>> corrected(pd.Series([0.01, 0.04, 0.03])).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    choose("correction", correction, CORRECTIONS)
    if correction == "none":
        return p.astype(float)
    ordered = p.astype(float).sort_values()  # NaN last
    raised = (ordered * (p.notna().sum() - np.arange(len(p)))).where(ordered.notna())
    return raised.cummax().clip(upper=1.0).reindex(p.index)


def hedges_g(values: Iterable[float | int]) -> float:
    """Size of an effect: the mean of paired differences in units of their standard deviation, corrected for few values.

    Args:
        values: paired differences, one per seed.
    Returns:
        J mean / sd with J = 1 - 3 / (4 (n - 1) - 1); 0 where all are 0, infinite where all are equal otherwise, NaN for
        one value.
    Source:
        Hedges 1981, Distribution theory for Glass's estimator of effect size; for paired differences (d_z).
    Example:
        >>> round(hedges_g([1.0, 2.0, 3.0]), 3)  # mean 2, sd 1, J = 4/7
        1.143
    """
    found = interval(values)
    if found.n < 2:
        return float("nan")
    if found.sd == 0.0:
        return 0.0 if found.mean == 0.0 else float(np.copysign(np.inf, found.mean))
    return (1 - 3 / (4 * (found.n - 1) - 1)) * found.mean / found.sd


def _mean(x: np.ndarray, axis: int = -1) -> np.ndarray | np.floating:
    return x.mean(axis=axis)


def _checked(values: Iterable[float | int]) -> np.ndarray:
    x = np.asarray(list(values), dtype=np.float64)
    interval(x)  # refuses what is no list of finite numbers
    return x
