"""Which points are worth their cost: the Pareto front of a cost and a value."""

import numpy as np
import pandas as pd

from eecore.errors import choose
from eecore.evidence import interval
from eecore.inference.checks import Number, Numbers
from eecore.plotting import regime_style
from eecore.training_budget import CELL, COSTS

__all__ = ["front_table", "fronts", "undominated"]


def undominated(costs: Numbers, values: Numbers, slack: Number = 0.0) -> np.ndarray:
    """Which points no other one beats: none is as cheap and better, or cheaper and as good.

    Args:
        costs, values: of the points, as many of one as of the other; low costs and high values are good.
        slack: costs that differ by less than this fraction count as equal.
    Example:
        >>> undominated([1.0, 2.0, 2.04, 3.0], [0.5, 0.7, 0.8, 0.6]).tolist()
        [True, True, True, False]
        >>> undominated([1.0, 2.0, 2.04, 3.0], [0.5, 0.7, 0.8, 0.6], slack=0.05).tolist()
        [True, False, True, False]
    """
    cost, value = np.asarray(costs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    as_cheap = cost <= (1 + slack) * cost[:, None]  # [i, j]: point j is as cheap as point i
    cheaper = (1 + slack) * cost < cost[:, None]
    as_good, better = value >= value[:, None], value > value[:, None]
    return np.asarray(~((as_cheap & better) | (cheaper & as_good)).any(axis=1))


def fronts(frame: pd.DataFrame, cost: str = "training_macs", slack: Number = 0.0) -> pd.DataFrame:
    """Which (regime, epochs) are worth their training cost: the Pareto front of cost and value.

    Args:
        frame: from `long_outcomes`.
        cost: "training_macs" or "training_seconds".
        slack: see `undominated`.
    Returns:
        One row per cell, regime and epochs, in ascending cost: mean cost, mean, low, high (value and its t interval),
        n, front (whether no other point beats it in the means), on_front_of (in how many seeds none does, each judged
        alone).
    Raises:
        SettingError: the cost is not there.
    """
    choose("cost", cost, COSTS)
    rows = []
    for cell, part in frame.groupby(CELL, sort=False):
        alone = pd.Series(False, index=part.index)
        for _, own in part.groupby("seed"):
            alone[own.index] = undominated(own[cost].to_numpy(), own["value"].to_numpy(), slack)
        for (regime, epochs), runs in part.groupby(["regime", "epochs"], sort=False):
            found = interval(runs["value"])
            point = {**dict(zip(CELL, cell, strict=True)), "regime": regime, "epochs": epochs, cost: runs[cost].mean()}
            limits = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}
            rows.append({**point, **limits, "on_front_of": int(alone[runs.index].sum())})
    points = pd.DataFrame(rows)
    for _, part in points.groupby(CELL, sort=False):
        points.loc[part.index, "front"] = undominated(part[cost].to_numpy(), part["mean"].to_numpy(), slack)
    order = {value: i for i, value in enumerate(dict.fromkeys(points["outcome"]))}
    keys = points.assign(outcome=points["outcome"].map(order))
    points = points.loc[keys.sort_values(["dataset", "model", "outcome", cost]).index]
    return points.astype({"front": bool}).reset_index(drop=True)


def front_table(points: pd.DataFrame, cost: str = "training_macs") -> pd.DataFrame:
    """A table of text of one outcome's points, cheapest first.

    Args:
        points: from `fronts`, of one outcome.
        cost: the one of `fronts`.
    Returns:
        Columns model, regime, epochs a phase, the cost (multiply-adds in 10^9, or seconds), the outcome (%, with the
        half width of its interval), on the front ("yes" or ""), seeds (in how many of them it is there).
    """
    title, scale = {"training_macs": ("10⁹ multiply-adds", 1e-9), "training_seconds": ("seconds", 1.0)}[cost]
    rows = []
    for point in points.itertuples():
        half = "" if np.isnan(point.low) else f" ± {50 * (point.high - point.low):.1f}"
        rows.append(
            {
                "model": point.model,
                "regime": regime_style(point.regime).label,
                "epochs a phase": point.epochs,
                title: f"{scale * getattr(point, cost):.3g}",
                point.outcome: f"{100 * point.mean:.1f}{half}",
                "on the front": "yes" if point.front else "",
                "seeds": f"{point.on_front_of} of {point.n}",
            }
        )
    return pd.DataFrame(rows)
