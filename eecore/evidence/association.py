"""Does one measurement go with another? Correlations within and across groups, and what they leave unexplained.

Runs of one data set, model and seed share weights and samples, so they are drawn together in the bootstrap: a cluster.
A correlation over runs is no cause: regimes move many measurements at once.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.linear_model import RidgeCV

from eecore.errors import SettingError
from eecore.evidence.resampling import corrected

__all__ = ["correlations", "explained", "within_groups"]


def within_groups(values: pd.Series, groups: pd.DataFrame) -> pd.Series:
    """What is left of values when the mean of their group is taken away.

    Args:
        values: numbers.
        groups: columns that make the groups, one row per value.
    """
    return values - values.groupby([groups[name] for name in groups]).transform("mean")


def correlations(
    frame: pd.DataFrame,
    features: Sequence[str],
    outcomes: Sequence[str],
    groups: Sequence[str],
    cell: Sequence[str] = ("dataset", "model"),
    cluster: Sequence[str] = ("dataset", "model", "seed"),
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Pearson correlation of every feature with every outcome, both taken relative to the mean of their group.

    Deviations are divided by their root mean square in the cell, so that every cell counts by its runs and not by how
    far its values spread.

    Args:
        frame: one row per run.
        features, outcomes: columns of numbers; rows that lack one are left out of its correlations.
        groups: columns that make a group. With data set, model and regime what remains is the variation over seeds;
            with data set, model and seed it is the variation over regimes.
        cell: columns that make a cell.
        cluster: columns of what the bootstrap draws whole.
        draws: bootstrap samples, for the percentile interval.
        seed: of the bootstrap.
    Returns:
        A row per pair: feature, outcome, r, low, high (95 % percentile interval), n (runs), groups (their number), p
        (t test with n - groups - 1 degrees of freedom), p_holm (corrected over all rows). NaN where nothing varies.
    Raises:
        SettingError: a column is missing, or draws is below 100.
    """
    absent = {*features, *outcomes, *groups, *cell, *cluster} - set(frame)
    if absent:
        raise SettingError(f"frame: lacks the columns {', '.join(sorted(absent))}")
    if draws < 100:
        raise SettingError(f"draws: at least 100 are needed, got {draws}")
    rows = []
    for outcome in outcomes:
        for feature in features:
            known = frame.dropna(subset=[feature, outcome])
            x, y = (_deviations(known, name, groups, cell) for name in (feature, outcome))
            count = known.groupby(list(groups)).ngroups
            r = _correlation(float(x @ y), float(x @ x), float(y @ y))
            low, high = _bootstrap(x, y, known[list(cluster)], draws, seed)
            p = _p_value(r, len(known) - count - 1)
            about = {"feature": feature, "outcome": outcome, "r": r, "low": low, "high": high}
            rows.append({**about, "n": len(known), "groups": count, "p": p})
    table = pd.DataFrame(rows)
    return table.assign(p_holm=corrected(table["p"]))


def explained(
    frame: pd.DataFrame,
    features: Sequence[str],
    outcomes: Sequence[str],
    cell: Sequence[str] = ("dataset", "model"),
    regime: str = "regime",
    left_out: str = "seed",
) -> pd.DataFrame:
    """How much of an outcome's variation within cells can be told from measurements, on seeds that were left out.

    Ridge regression on standardised values, both relative to the mean of their cell over the seeds that were fitted.

    Args:
        frame: one row per run; rows that lack a value are left out.
        features, outcomes: columns of numbers.
        cell: columns that make a cell.
        regime: column of the regime's name.
        left_out: column whose values are left out one after the other.
    Returns:
        A row per outcome and kind of predictor: outcome, predictor ("regime", "measurements", "both"), r2 (1 - squared
        errors over squared deviations from the cell's mean; below 0: worse than that mean), n.
    Raises:
        SettingError: a column is missing, or there are fewer than two values of `left_out`.
    """
    absent = {*features, *outcomes, *cell, regime, left_out} - set(frame)
    if absent:
        raise SettingError(f"frame: lacks the columns {', '.join(sorted(absent))}")
    known = frame.dropna(subset=[*features, *outcomes]).reset_index(drop=True)
    if known[left_out].nunique() < 2:
        raise SettingError(
            f"{left_out}: two values or more are needed to leave one out, got {known[left_out].nunique()}"
        )
    # a regime's effect may differ from cell to cell, so it has one indicator in each
    names = known[[*cell, regime]].astype(str).agg(" ".join, axis=1)
    kinds = {"regime": pd.get_dummies(names, dtype=float), "measurements": known[list(features)].astype(float)}
    kinds["both"] = pd.concat(kinds.values(), axis=1)
    rows = []
    for outcome in outcomes:
        for kind, inputs in kinds.items():
            errors, deviations = _left_out_errors(
                inputs, known[outcome].astype(float), known[list(cell)], known[left_out]
            )
            r2 = 1 - errors / deviations if deviations > 0 else np.nan
            rows.append({"outcome": outcome, "predictor": kind, "r2": r2, "n": len(known)})
    return pd.DataFrame(rows)


def _deviations(frame: pd.DataFrame, name: str, groups: Sequence[str], cell: Sequence[str]) -> pd.Series:
    centred = within_groups(frame[name].astype(float), frame[list(groups)])
    size = np.sqrt((centred**2).groupby([frame[c] for c in cell]).transform("mean"))
    return centred / size.where(size > 1e-10 * max(1.0, float(frame[name].abs().max())), np.inf)


def _correlation(xy: float, xx: float, yy: float) -> float:
    return xy / np.sqrt(xx * yy) if xx > 1e-20 and yy > 1e-20 else float("nan")


def _p_value(r: float, freedom: int) -> float:
    if np.isnan(r) or freedom < 1:
        return float("nan")
    return float(2 * stats.t.sf(abs(r) * np.sqrt(freedom / max(1 - r * r, 1e-12)), freedom))


def _bootstrap(x: pd.Series, y: pd.Series, cluster: pd.DataFrame, draws: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the correlation, clusters drawn with replacement."""
    number = cluster.groupby(list(cluster)).ngroup().to_numpy()
    sums = [np.bincount(number, weights=part) for part in (x * y, x * x, y * y)]
    if len(sums[0]) < 3 or min(sums[1].sum(), sums[2].sum()) <= 1e-20:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(len(sums[0]), size=(draws, len(sums[0])))
    xy, xx, yy = (part[drawn].sum(axis=1) for part in sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = np.nanquantile(xy / np.sqrt(xx * yy), [0.025, 0.975])
    return float(low), float(high)


def _left_out_errors(
    inputs: pd.DataFrame, target: pd.Series, cells: pd.DataFrame, left_out: pd.Series
) -> tuple[float, float]:
    """Sums of squares of the errors and of the deviations from the cell's mean, over all values that were left out."""
    errors = deviations = 0.0
    key = cells.astype(str).agg(" ".join, axis=1)
    for value in left_out.unique():
        held = (left_out == value).to_numpy()
        both = inputs.assign(**{"": target})
        means = both[~held].groupby(key[~held]).mean()
        held = held & key.isin(means.index).to_numpy()  # a cell that was never fitted has no mean
        centred = both - means.reindex(key).to_numpy()
        scale = centred[~held].std().replace(0.0, 1.0)
        scaled = (centred / scale).fillna(0.0)
        x, y = scaled.drop(columns=""), scaled[""]
        fitted = RidgeCV(alphas=np.logspace(-2, 3, 11)).fit(x[~held], y[~held])
        errors += float(((fitted.predict(x[held]) - y[held]) ** 2).sum() * scale[""] ** 2)
        deviations += float((y[held] ** 2).sum() * scale[""] ** 2)
    return errors, deviations
