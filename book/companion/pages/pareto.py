"""Which points are worth their cost: the Pareto front of a cost and a value."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from companion.pages.training_budget import CELL, COSTS
from companion.plotting import regime_style
from eecore.errors import choose
from eecore.evidence import interval
from eecore.inference.checks import Number, Numbers

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
    parts = []
    for _, part in points.groupby(CELL, sort=False):
        front = undominated(part[cost], part["mean"], slack)
        parts.append(part.assign(front=front).sort_values(cost, kind="stable"))
    return pd.concat(parts, ignore_index=True)


def front_table(points: pd.DataFrame, outcomes: Sequence[str], cost: str = "training_macs") -> pd.DataFrame:
    """A table of text of the points, cheapest first.

    Args:
        points: from `fronts`.
        outcomes: which ones are shown.
        cost: the one of `fronts`.
    Returns:
        Columns model, regime, epochs a phase, the cost (multiply-adds in 10^9, or seconds), and for each outcome its
        mean (%, with the half width of its interval) and whether it is on the front: "yes" or "–", and in how many
        seeds.
    """
    title, scale = {"training_macs": ("10⁹ multiply-adds", 1e-9), "training_seconds": ("seconds", 1.0)}[cost]
    rows: dict[tuple[str, str, int], dict[str, object]] = {}
    for point in points[points["outcome"].isin(outcomes)].itertuples():
        about = {"model": point.model, "regime": regime_style(point.regime).label, "epochs a phase": point.epochs}
        row = rows.setdefault((point.model, point.regime, point.epochs), {**about, title: ""})
        row[title] = f"{scale * getattr(point, cost):.3g}"
        half = "" if np.isnan(point.low) else f" ± {50 * (point.high - point.low):.1f}"
        row[point.outcome] = f"{100 * point.mean:.1f}{half}"
        row[f"front of {point.outcome}"] = f"{'yes' if point.front else '–'}, {point.on_front_of} of {point.n}"
    return pd.DataFrame(list(rows.values()))
