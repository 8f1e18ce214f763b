"""From seeds to cells to one number: where there are several cells, the cell is the unit.

A cell is a combination such as data set and model. Its runs resemble each other more than runs of other cells do, so
the mean over cells has as many independent values as there are cells, not as there are runs.
"""

from collections.abc import Sequence

import pandas as pd

from eecore.evidence import Estimate, interval

__all__ = ["over_cells"]


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
