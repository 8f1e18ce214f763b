"""Differences of differences: does what one regime has over another change with something else?"""

from collections.abc import Sequence

import pandas as pd

from companion import tables
from companion.plotting import regime_style
from eecore.errors import choose


def each_difference(
    frame: pd.DataFrame, value: str, pairs: Sequence[tuple[str, str]], by: Sequence[str]
) -> pd.DataFrame:
    """The differences between regimes seed by seed, so that they can be compared with each other.

    Args:
        frame: long, one row per cell, regime and seed.
        value, pairs, by: as in `differences`.
    Returns:
        Columns of `by`, pair (such as "mixed − joint"), seed and difference; seeds that lack a regime are left out.
    Raises:
        SettingError: a regime of a pair is not in the frame.
    """
    wide = frame.pivot(index=[*by, "seed"], columns="regime", values=value)
    for name in {name for pair in pairs for name in pair}:
        choose("regime", name, wide.columns)
    parts = {f"{regime_style(a).label} − {regime_style(b).label}": wide[a] - wide[b] for a, b in pairs}
    each = pd.concat([part.rename("difference").reset_index().assign(pair=name) for name, part in parts.items()])
    return each.dropna(subset=["difference"])[[*by, "pair", "seed", "difference"]].reset_index(drop=True)


def changes(
    frame: pd.DataFrame,
    value: str,
    pairs: Sequence[tuple[str, str]],
    by: Sequence[str],
    column: str,
    to: tuple[str, str],
) -> pd.DataFrame:
    """How much a difference between regimes differs between two values of a column, paired over seeds.

    Args:
        frame: long, one row per cell, value of `column`, regime and seed.
        value, pairs, by: as in `tables.differences`.
        column: what may change the difference, such as "start".
        to: (a, b): the difference under a, minus that under b.
    Returns:
        As `tables.differences`; a cell has the pair of regimes as its last part.
    """
    each = each_difference(frame, value, pairs, [*by, column])
    return tables.differences(each, "difference", [to], [*by, "pair"], column)
