"""How many seeds does it take to see a difference? The paired t test, before it is made."""

from typing import Any

import numpy as np

from eecore.errors import SettingError, library

__all__ = ["detectable", "power", "seeds_needed"]

MOST = 100_000


def _power_of_t() -> Any:
    return library("statsmodels.stats.power", "'eecore[statistics]'").TTestPower()


def power(difference: float | int, sd: float | int, n: int, level: float | int = 0.95) -> float:
    """Chance that a paired t test over n seeds tells a true difference apart from 0.

    Args:
        difference: the true mean difference, in any unit.
        sd: standard deviation of the paired differences over seeds, in the same unit, above 0.
        n: seeds, at least 2.
        level: 1 minus the test's level; 0.95 tests at 0.05, two-sided.
    Raises:
        SettingError: an argument is not as above.
    Source:
        The noncentral t distribution; computed by statsmodels.
    Example:
        >>> round(power(difference=1.0, sd=1.0, n=5), 2), round(power(1.0, 1.0, 10), 2)
        (0.4, 0.8)
    """
    _check(sd, level)
    if n < 2:
        raise SettingError(f"n: a test needs at least 2 seeds, got {n}")
    return float(_power_of_t().power(abs(difference) / sd, n, 1 - level))


def seeds_needed(
    difference: float | int, sd: float | int, chance: float | int = 0.8, level: float | int = 0.95
) -> float:
    """The fewest seeds with which a paired t test sees a true difference with the given chance.

    Args:
        difference, sd, level: as in `power`.
        chance: of seeing it, in (0, 1).
    Returns:
        A whole number, at least 2; infinite where more than 100 000 are needed.
    Raises:
        SettingError: an argument is not as above.
    Example:
        >>> seeds_needed(difference=1.0, sd=1.0)
        10.0
    """
    _check(sd, level)
    _check_chance(chance)
    if power(difference, sd, MOST, level) < chance:
        return float("inf")
    low, high = 1, 2  # power(low) < chance <= power(high), by doubling and then halving
    while power(difference, sd, high, level) < chance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, sd, middle, level) >= chance else (middle, high)
    return float(high)


def detectable(sd: float | int, n: int, chance: float | int = 0.8, level: float | int = 0.95) -> float:
    """The smallest true difference that n seeds show with the given chance, in the unit of `sd`.

    Example:
        >>> round(detectable(sd=1.0, n=5), 2)
        1.68
    """
    _check(sd, level)
    _check_chance(chance)
    if n < 2:
        raise SettingError(f"n: a test needs at least 2 seeds, got {n}")
    found = _power_of_t().solve_power(effect_size=None, nobs=n, alpha=1 - level, power=chance)
    return float(np.squeeze(found)) * sd


def _check(sd: float | int, level: float | int) -> None:
    if not 0 < sd < float("inf"):
        raise SettingError(f"sd: expected a number above 0, got {sd}")
    if not 0 < level < 1:
        raise SettingError(f"level: expected a number in (0, 1), such as 0.95, got {level}")


def _check_chance(chance: float | int) -> None:
    if not 0 < chance < 1:
        raise SettingError(f"chance: expected a number in (0, 1), such as 0.8, got {chance}")
