"""What moves the accuracy: data, model, regime, or their combinations? An analysis of variance over the grid."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from eecore.errors import SettingError
from eecore.evidence.paired import Estimate, interval

__all__ = ["between_cells", "variance_table"]

_TERMS = {
    "dataset": ("dataset",),
    "model": ("model",),
    "dataset × model": ("dataset", "model"),
    "regime": ("regime",),
    "dataset × regime": ("dataset", "regime"),
    "model × regime": ("model", "regime"),
    "dataset × model × regime": ("dataset", "model", "regime"),
    "seed, within data and model": ("dataset", "model", "seed"),
}
_BETWEEN_SEEDS = 3  # terms that are compared with how seeds differ; the others with what is left within seeds


def variance_table(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """Analysis of variance of one value per run over data sets, models and regimes, seeds as blocks within cells.

    Runs of one seed share their start, so regimes are compared within seeds: terms with the regime are tested against
    what is left within seeds, data and model against how seeds differ within a cell (a split plot). Effects are equal
    for all cells only if variances are; they are not quite, so take F as a summary and not as a proof.

    Args:
        frame: one row per run: dataset, model, regime, seed and `value`. Seeds of a data set and model that lack a
            regime are left out; data sets may have different numbers of seeds (terms are then entered in order).
        value: column of numbers.
    Returns:
        One row per term and for what is left: term, df, sum_sq, share (of the total sum of squares), F, p (NaN where a
        term has no degrees of freedom or nothing is left to compare it with).
    Raises:
        SettingError: a column is missing, a run occurs twice, or no seed has all regimes.
    Source:
        Fisher 1935; sums of squares of nested least squares fits, in the order of the rows.
    """
    cell = ["dataset", "model", "seed"]
    absent = {*cell, "regime", value} - set(frame)
    if absent:
        raise SettingError(f"frame: lacks the columns {', '.join(sorted(absent))}")
    if frame.duplicated([*cell, "regime"]).any():
        raise SettingError("frame: a run occurs twice; one row per data set, model, regime and seed is needed")
    whole = frame.groupby(cell)["regime"].transform("nunique") == frame["regime"].nunique()
    known = frame[whole & frame[value].notna()].reset_index(drop=True)
    if known.empty:
        raise SettingError("frame: no seed has all regimes")
    target = known[value].to_numpy(dtype=float)
    design, rows = np.ones((len(known), 1)), []
    left, rank = float(((target - target.mean()) ** 2).sum()), 1
    total = left
    for term, factors in _TERMS.items():
        names = known[list(factors)].astype(str).agg(" ".join, axis=1)
        design = np.hstack([design, pd.get_dummies(names, dtype=float).to_numpy()])
        fit, _, found, _ = np.linalg.lstsq(design, target, rcond=1e-10)
        rest = float(((target - design @ fit) ** 2).sum())
        rows.append({"term": term, "df": int(found) - rank, "sum_sq": max(left - rest, 0.0)})
        left, rank = rest, int(found)
    rows.append({"term": "what is left", "df": len(known) - rank, "sum_sq": left})
    table = pd.DataFrame(rows)
    table["share"] = table["sum_sq"] / total if total > 0 else float("nan")
    return _tested(table)


def _tested(table: pd.DataFrame) -> pd.DataFrame:
    mean_sq = table["sum_sq"] / table["df"].where(table["df"] > 0)
    seeds, rest = len(table) - 2, len(table) - 1
    f, p = [], []
    for i in range(len(table)):
        against = seeds if i < _BETWEEN_SEEDS else rest
        known = i < seeds and mean_sq.notna()[i] and mean_sq.notna()[against] and mean_sq[against] > 0
        f.append(float(mean_sq[i] / mean_sq[against]) if known else float("nan"))
        p.append(float(stats.f.sf(f[-1], table["df"][i], table["df"][against])) if known else float("nan"))
    return table.assign(F=f, p=p)


class AcrossCells(NamedTuple):
    """Differences over combinations of data and model.

    Args:
        mean: an estimate over cells; its interval speaks of the mean over combinations like these.
        spread: standard deviation of the true differences between cells, what seeds explain taken off; at least 0.
        new_low, new_high: prediction interval for the difference in one more combination like these.
    """

    mean: Estimate
    spread: float
    new_low: float
    new_high: float


def between_cells(differences: pd.DataFrame, level: float = 0.95) -> AcrossCells:
    """Differences of two regimes summed up over combinations of data and model, each of which counts once.

    Args:
        differences: one row per cell: mean, and sd and n of the paired differences over seeds.
        level: of the intervals, in (0, 1).
    Returns:
        The mean, the spread and the prediction interval; all but the mean are NaN for one cell.
    Raises:
        SettingError: a column is missing, or there is no cell.
    Source:
        Random effects by the method of moments, cells weighted equally, and the t prediction interval for one more
        value of a normal sample.
    """
    absent = {"mean", "sd", "n"} - set(differences)
    if absent or differences.empty:
        raise SettingError(f"differences: lacks {', '.join(sorted(absent)) or 'rows'}")
    found = interval(differences["mean"], level)
    within = float((differences["sd"] ** 2 / differences["n"]).mean())
    spread = max(found.sd**2 - within, 0.0) ** 0.5 if found.n > 1 else float("nan")
    half = stats.t.ppf(0.5 + level / 2, found.n - 1) * found.sd * (1 + 1 / found.n) ** 0.5 if found.n > 1 else np.nan
    return AcrossCells(found, spread, found.mean - float(half), found.mean + float(half))
