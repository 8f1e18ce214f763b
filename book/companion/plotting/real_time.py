"""Time against multiply-adds, both of the network without early exits."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from eecore.errors import SettingError

__all__ = ["time_against_macs"]

_MARKERS = "osD^vPX"


def time_against_macs(frame: pd.DataFrame, ax: Axes, models: Sequence[str]) -> Axes:
    """One line for each network, and the line where time is what multiply-adds promise.

    Args:
        frame: one row per network and point; columns model, macs, time, low, high: fractions of the backbone's; bars
            reach from low to high.
        ax: where to draw.
        models: all networks of the figure, so that a network has its colour and marker in every panel.
    Raises:
        SettingError: a column is missing, there are no rows, or a network is none of `models`.
    """
    absent = {"model", "macs", "time", "low", "high"} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    unknown = sorted(set(frame["model"]) - set(models))
    if unknown:
        raise SettingError(f"models: expected all networks of the frame, {', '.join(unknown)} is missing")
    for i, name in enumerate(models):
        part = frame[frame["model"] == name].sort_values("macs")
        bars = [part["time"] - part["low"], part["high"] - part["time"]]
        look: dict[str, Any] = {"color": colormaps["Dark2"](i % 8), "marker": _MARKERS[i % len(_MARKERS)]}
        ax.errorbar(part["macs"], part["time"], yerr=bars, label=name, linewidth=1.4, capsize=2, markersize=5, **look)
    ax.plot([0.0, 1.0], [0.0, 1.0], color="#444444", linestyle="--", linewidth=1.2, label="as multiply-adds promise")
    ax.axhline(1.0, color="#666666", linestyle=":", linewidth=1.0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    ax.set_xlim(left=0.0)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("multiply-adds (% of the backbone's)")
    ax.set_ylabel("time (% of the backbone's)")
    ax.legend()
    return ax
