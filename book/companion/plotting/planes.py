"""Planes through the space of parameters as contour figures, and the loss along paths between networks."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from companion.plotting.numbers import remember
from companion.plotting.style import regime_order, regime_style, shown_value
from eecore.errors import SettingError
from eecore.evidence import interval

__all__ = ["contours", "levels", "paths"]

_STYLES = ("-", "--", ":", "-.")


def levels(low: float, high: float) -> list[float]:
    """Losses at which contour lines are drawn: 1, 2, 5 times powers of ten inside (low, high).

    Where fewer than three fit, four even ones do.

    Example:
        >>> levels(0.08, 3.0)
        [0.1, 0.2, 0.5, 1.0, 2.0]
    """
    if not 0 < low < high < float("inf"):
        raise SettingError(f"low, high: expected 0 < low < high, got {low} and {high}")
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    round_ones = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    fitting = [value for value in round_ones if low < value < high]
    return fitting if len(fitting) >= 3 else np.linspace(low, high, 6)[1:-1].tolist()


def contours(
    frame: pd.DataFrame,
    columns: str = "surface",
    rows: str | None = "regime",
    marks: pd.DataFrame | None = None,
    xlabel: str = "along u",
    ylabel: str = "along v",
    panel: tuple[float, float] = (2.45, 2.4),
) -> Figure:
    """Small multiples of surfaces over a plane, all with one logarithmic colour scale and the same contour lines.

    Args:
        frame: one row per point and panel, on a full grid; columns a, b, loss (nats, above 0) and those named below.
        columns, rows: columns of the frame that tell panels apart; rows None: one row of panels.
        marks: networks to mark in every panel: a, b, regime. None: the centre, in the style of the row's regime.
        xlabel, ylabel: of a and b.
        panel: width and height, inches.
    Returns:
        The figure; lines are labelled in nats.
    Raises:
        SettingError: a column is missing, a grid is not full, or a loss is not finite and above 0.
    """
    absent = {"a", "b", "loss", columns, *([rows] if rows else [])} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    loss = frame["loss"].to_numpy(dtype=float)
    if not np.isfinite(loss).all() or loss.min() <= 0:
        raise SettingError("frame: expected losses that are finite and above 0")
    across = list(frame[columns].unique())
    down = (regime_order(frame[rows]) if rows == "regime" else list(frame[rows].unique())) if rows else [None]
    size = (panel[0] * len(across) + 0.9, panel[1] * len(down) + 0.3)
    figure, axes = plt.subplots(len(down), len(across), figsize=size, squeeze=False, sharex=True, sharey=True)
    norm, lines = LogNorm(loss.min(), max(loss.max(), loss.min() * 1.01)), levels(loss.min(), loss.max() * 1.001)
    for i, row in enumerate(down):
        for j, column in enumerate(across):
            part = frame[frame[columns] == column]
            part = part if row is None else part[part[rows] == row]
            shown = _surface(part, axes[i, j], norm, lines)
            _mark(axes[i, j], marks, row if rows == "regime" else None)
            if i == 0:
                axes[i, j].set_title(column, fontsize=11)
        name = shown_value(rows or "", row)
        axes[i, 0].set_ylabel(ylabel if row is None else f"{name}\n{ylabel}")
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    bar = figure.colorbar(shown, ax=axes, ticks=lines, format="%g", shrink=0.8, label="loss (nats)")
    bar.minorticks_off()
    if marks is not None:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return remember(figure, frame)


def _surface(part: pd.DataFrame, ax: Axes, norm: LogNorm, lines: Sequence[float]) -> QuadMesh:
    """One panel; the mesh is a picture, the lines stay lines."""
    if part.empty or part.duplicated(["a", "b"]).any() or len(part) != part["a"].nunique() * part["b"].nunique():
        raise SettingError("frame: expected a full grid of points for every panel, each point once")
    grid = part.pivot(index="b", columns="a", values="loss")
    a, b, values = grid.columns.to_numpy(dtype=float), grid.index.to_numpy(dtype=float), grid.to_numpy(dtype=float)
    shown = ax.pcolormesh(a, b, values, norm=norm, cmap="viridis", shading="nearest", rasterized=True)
    inside = [level for level in lines if values.min() < level < values.max()]
    if inside:
        drawn = ax.contour(a, b, values, levels=inside, colors="white", linewidths=0.9)
        for text in ax.clabel(drawn, fmt="%g", fontsize=8, inline_spacing=2):
            text.set_color("white")
    ax.set_aspect("equal")
    ax.grid(visible=False)
    return shown


def _mark(ax: Axes, marks: pd.DataFrame | None, regime: str | None) -> None:
    """Networks as points with a white rim; without `marks` the centre, in the row's style."""
    if marks is None:
        marks = pd.DataFrame({"a": [0.0], "b": [0.0], "regime": [regime]})
    points = marks[["a", "b", "regime"]].itertuples(index=False)
    for a, b, name in points:
        style = regime_style(str(name)) if name is not None else None
        colour, marker, label = (style.colour, style.marker, style.label) if style else ("black", "+", "centre")
        (drawn,) = ax.plot([a], [b], linestyle="none", marker=marker, color=colour, markersize=9, label=label)
        if marker != "+":
            drawn.set_markeredgecolor("white")


def paths(frame: pd.DataFrame, ax: Axes, value: str = "loss", ylabel: str = "test loss (nats)") -> Axes:
    """A quantity on the way between networks: for each pair of regimes the mean over seeds and its interval.

    A line begins in the colour and marker of its first regime and ends in those of its second.

    Args:
        frame: of one data set and model, one row per pair of networks and point; columns regime_a, regime_b, pair (its
            name), t, and `value`.
        ax: where to draw.
        value: the column.
        ylabel: of the y axis.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    absent = {"regime_a", "regime_b", "pair", "t", value} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    counts: set[int] = set()
    for i, (pair, part) in enumerate(frame.groupby("pair", sort=False)):
        start, end = (regime_style(str(part[name].iloc[0])) for name in ("regime_a", "regime_b"))
        found = {float(t): interval(values) for t, values in part.groupby("t")[value]}
        t, mean = np.array(list(found)), np.array([estimate.mean for estimate in found.values()])
        half = np.array([estimate.high - estimate.mean for estimate in found.values()])
        counts |= {estimate.n for estimate in found.values()}
        if not np.isnan(half).any():
            ax.fill_between(t, mean - half, mean + half, color=end.colour, alpha=0.15, linewidth=0)
        colours = LinearSegmentedColormap.from_list("pair", [start.colour, end.colour])
        style = _STYLES[i % len(_STYLES)]
        for k in range(len(t) - 1):
            ax.plot(t[k : k + 2], mean[k : k + 2], color=colours((t[k] + t[k + 1]) / 2), linestyle=style)
        for place, look in ((0, start), (-1, end)):
            ax.plot(t[place], mean[place], color=look.colour, marker=look.marker, markersize=7, clip_on=False)
        ax.plot([], [], color=colours(0.5), linestyle=style, label=str(pair))
    low, high = min(counts), max(counts)
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    ax.set_xlabel("t, from the first to the second")
    ax.set_ylabel(ylabel)
    ax.legend(title=f"mean of pairs, band: 95% interval ({n})" if high > 1 else "one pair, no interval")
    return ax
