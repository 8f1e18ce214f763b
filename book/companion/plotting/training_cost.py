"""What a network is worth against what its training cost: one line a regime, one point a length of training."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from companion.plotting.style import regime_order, regime_style
from eecore.errors import SettingError, choose
from eecore.evidence import interval

__all__ = ["value_against_training"]

_COSTS = {  # column: what its axis says, and what numbers are multiplied by
    "training_macs": ("10⁹ multiply-adds\nof the whole training", 1e-9),
    "training_seconds": ("seconds of the whole training", 1.0),
}


def value_against_training(
    frame: pd.DataFrame, ax: Axes, cost: str = "training_macs", ylabel: str = "accuracy or area (%)"
) -> Axes:
    """For each regime and length the mean over seeds and its 95 % t interval, against the mean cost of its training.

    Args:
        frame: one row per regime, length and seed; columns regime, epochs, seed, value (fraction), `cost` and front
            (whether the regime at that length is on the Pareto front; the same for all its seeds).
        ax: where to draw. The cost has a logarithmic axis. Points on the front are filled, the others hollow.
        cost: "training_macs" or "training_seconds".
        ylabel: what the values are.
    Returns:
        The ax.
    Raises:
        SettingError: columns or rows are missing, or the cost is another.
    """
    choose("cost", cost, _COSTS)
    label, scale = _COSTS[cost]
    absent = {"regime", "epochs", "seed", "value", "front", cost} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    counts: set[int] = set()
    for regime in regime_order(frame["regime"]):
        style, points = regime_style(regime), []
        for _, runs in frame[frame["regime"] == regime].groupby("epochs"):
            found = interval(runs["value"])
            points.append((scale * runs[cost].mean(), found.mean, found.high - found.mean, bool(runs["front"].all())))
            counts.add(found.n)
        at, mean, half, front = map(np.array, zip(*sorted(points), strict=True))
        bars = None if np.isnan(half).all() else np.nan_to_num(half)
        look: dict[str, Any] = {
            "color": style.colour,
            "marker": style.marker,
            "linewidth": 1.4,
            "capsize": 2,
            "markersize": 5,
        }
        ax.errorbar(at, mean, yerr=bars, label=style.label, **look)
        hollow: dict[str, Any] = {"marker": style.marker, "markerfacecolor": "white", "markeredgecolor": style.colour}
        ax.plot(at[~front], mean[~front], linestyle="none", markersize=5, zorder=3, **hollow)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    ax.set_xlabel(label)
    ax.set_ylabel(ylabel)
    low, high = min(counts), max(counts)
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    said = f"mean of seeds, bars: 95% interval ({n})" if high > 1 else "one seed, no interval"
    ax.legend(title=f"{said}; hollow: not on the front")
    return ax
