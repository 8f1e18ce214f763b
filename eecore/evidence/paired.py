"""Means with t intervals, and differences paired over seeds.

Runs of different regimes with the same data set, model and seed start from the same weights; disjoint and
mixed even share their phase 1. So regimes are compared within such a pair: what these do to both cancels. The
order of the samples is not shared beyond a shared phase.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from eecore.errors import SettingError

__all__ = ["Estimate", "half_width", "interval", "paired_difference", "verdict"]


@dataclass(frozen=True)
class Estimate:
    """A mean and how well it is known.

    Args:
        mean: of the n values, in their unit.
        low, high: ends of the t interval of the mean; NaN where n < 2.
        n: number of values.
        sd: their standard deviation (divided by n - 1); NaN where n < 2.
        p: two-sided p value of "the mean is 0" (for differences: the paired t test); NaN where n < 2.
    Example:
        >>> print(Estimate(mean=1.2, low=0.4, high=2.0, n=5, sd=0.64))
        +1.2 [0.4, 2] (n = 5)
        >>> f"{Estimate(mean=0.0121, low=0.004, high=0.0202, n=5, sd=0.0065):.1%}"
        '+1.2% [0.4%, 2.0%] (n = 5)'
    """

    mean: float
    low: float
    high: float
    n: int
    sd: float
    p: float = float("nan")

    def __format__(self, spec: str) -> str:
        """All three numbers with one format, such as ".1f" or ".1%"; the mean with its sign."""
        spec = spec or ".3g"
        if np.isnan(self.low):
            return f"{self.mean:+{spec}} (n = {self.n}, no interval)"
        return f"{self.mean:+{spec}} [{self.low:{spec}}, {self.high:{spec}}] (n = {self.n})"

    def __str__(self) -> str:
        return format(self)


def half_width(sd: float | np.ndarray, n: int, level: float | int = 0.95) -> float | np.ndarray:
    """Half the width of the t interval of a mean: t_{n-1} sd / sqrt(n); NaN where n < 2.

    Args:
        sd: standard deviation (divided by n - 1) of the values; an array for many means of n values each.
        n: number of values.
        level: share of such intervals that contain the true mean, in (0, 1).
    Raises:
        SettingError: `level` is not in (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise SettingError(f"level: expected a number in (0, 1), such as 0.95, got {level}")
    if n < 2:
        return sd * np.nan
    return sd * (stats.t.ppf(0.5 + level / 2, n - 1) / np.sqrt(n))


def interval(values: Iterable[float | int], level: float | int = 0.95) -> Estimate:
    """Mean of independent values, such as one per seed, with its t interval.

    Args:
        values: finite numbers, at least one.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; its p tests "the mean is 0".
    Raises:
        SettingError: no values, a value that is not finite, or a level outside (0, 1).
    Example:
        >>> print(interval([1.0, 2.0, 3.0]))
        +2 [-0.484, 4.48] (n = 3)
    """
    x = np.asarray(list(values), dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise SettingError(f"values: expected at least one number, all of them finite, got {x.tolist()}")
    mean = float(x.mean())
    sd = float(x.std(ddof=1)) if x.size > 1 else float("nan")
    half = float(half_width(sd, x.size, level))
    return Estimate(mean, mean - half, mean + half, int(x.size), sd, _p_value(mean, sd, x.size))


def _p_value(mean: float, sd: float, n: int) -> float:
    """Two-sided p value of the t test of "the mean is 0"; where all values are equal, 0 or 1."""
    if n < 2:
        return float("nan")
    if sd == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2.0 * stats.t.sf(abs(mean) / (sd / np.sqrt(n)), n - 1))


def paired_difference(
    frame: pd.DataFrame,
    value: str,
    between: str,
    a: object,
    b: object,
    pair: Sequence[str] = ("dataset", "model", "seed"),
    level: float | int = 0.95,
) -> Estimate:
    """Mean of a - b over pairs, with its t interval and the p value of the paired t test.

    Args:
        frame: long, one row for each pair and each value of `between`.
        value: column that is compared, such as "accuracy".
        between: column that tells the two apart, such as "regime".
        a, b: the two values of `between`.
        pair: columns that make a pair. Pairs that lack a or b, or have NaN there, are left out; n says how
            many are not.
        level: of the interval, in (0, 1).
    Returns:
        The estimate of a - b, in the unit of `value`. The interval treats pairs as independent: over several
        data sets or models it speaks of their mean, and pairs of one cell resemble each other more than that
        assumes.
    Raises:
        SettingError: a column is missing, a or b does not occur, a pair has several rows (filter or average
            them first), or no pair is complete.
    Example:
        >>> runs = pd.DataFrame({"seed": [0, 0, 1, 1], "regime": ["joint", "mixed"] * 2, "loss": [7, 8, 5, 9]})
        >>> paired_difference(runs, "loss", "regime", "mixed", "joint", pair=["seed"]).mean
        2.5
    """
    pair = list(pair)
    absent = [column for column in (value, between, *pair) if column not in frame]
    if absent:
        raise SettingError(f"frame: lacks the columns {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}")
    sides = []
    for name in (a, b):
        rows = frame[frame[between] == name]
        if rows.empty:
            known = ", ".join(map(str, sorted(frame[between].unique(), key=str)))
            raise SettingError(f"{between}: {name!r} does not occur in the frame, which has {known}")
        if rows.duplicated(pair).any():
            raise SettingError(
                f"frame: several rows for one {', '.join(pair)} of {name!r}; filter or average them first"
            )
        sides.append(rows.set_index(pair)[value])
    differences = (sides[0] - sides[1]).dropna()  # aligned on the pair
    if differences.empty:
        raise SettingError(f"frame: no {', '.join(pair)} has {value} for both {a!r} and {b!r}")
    return interval(differences, level)


def verdict(estimate: Estimate) -> Literal["higher", "lower", "not told apart"]:
    """What an interval of a difference allows to say: its sign, or nothing where it contains zero.

    Example:
        >>> verdict(Estimate(mean=1.2, low=0.4, high=2.0, n=5, sd=0.64))
        'higher'
    """
    if estimate.low > 0:
        return "higher"
    if estimate.high < 0:
        return "lower"
    return "not told apart"
