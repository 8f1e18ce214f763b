"""From seeds to cells to one number: where there are several cells, the cell is the unit.

A cell is a combination such as data set and model. Its runs resemble each other more than runs of other cells do, so
the mean over cells has as many independent values as there are cells, not as there are runs.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eecore.evidence import Estimate, interval

__all__ = ["holm", "over_cells"]


def over_cells(frame: pd.DataFrame, value: str, cells: Sequence[str], level: float | int = 0.95) -> Estimate:
    """Mean over cells of the cell means, with the t interval over cells; of one cell, over its seeds.

    Args:
        frame: long; several rows of one cell and seed are averaged first. Rows where `value` is missing are left out.
        value: column of numbers.
        cells: columns that make a cell.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; n is the number of cells, or of seeds where there is one cell.
    Raises:
        SettingError: no row has a value.
    Example:
        >>> frame = pd.DataFrame({"dataset": ["a", "a", "b"], "seed": [0, 1, 0], "gap": [1.0, 3.0, 5.0]})
        >>> estimate = over_cells(frame, "gap", ["dataset"])
        >>> estimate.mean, estimate.n
        (3.5, 2)
    """
    known = frame.dropna(subset=[value])
    each = known.groupby([*cells, "seed"])[value].mean()
    means = each.groupby(level=list(cells)).mean()
    return interval(means if len(means) > 1 else each, level)


def holm(p: Sequence[float] | pd.Series) -> np.ndarray:
    """p values of one family of tests, corrected after Holm: the i-th smallest of m times m - i + 1, never falling.

    The same numbers as statsmodels' multipletests, which collects the interpreter's garbage at every call: a third of a
    second, where a page asks hundreds of small questions.

    Args:
        p: in [0, 1]; NaN, where there was no test, stays and does not count.
    Example:
        >>> holm([0.04, 0.01]).tolist()
        [0.04, 0.02]
    """
    values = np.asarray(p, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    corrected = np.full(len(values), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.maximum.accumulate(values[order] * factors).clip(max=1.0)
    return corrected
