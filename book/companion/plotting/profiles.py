"""A quantity along the network or over training: lines with intervals, and heat maps."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from companion.plotting.style import regime_order, regime_style, shown_value
from eecore.errors import SettingError
from eecore.evidence import interval

__all__ = ["heat_map", "profile"]

_MARKERS = "osD^vPX<>ph"


def profile(
    frame: pd.DataFrame,
    ax: Axes,
    x: str = "block",
    y: str = "rank",
    by: str = "regime",
    xlabel: str | None = None,
    ylabel: str | None = None,
    reference: float | None = None,
    log: bool = False,
    band: bool = False,
) -> Axes:
    """One line for each value of `by`: the mean over the rows at each x and its 95 % t interval.

    Args:
        frame: one row per line, x and seed.
        ax: where to draw.
        x, y: columns of numbers; rows where y is missing are left out.
        by: column of the lines; regimes have their colours, numbers in ascending order those of a sequential map,
            other values those of a categorical one, in the order in which they come.
        xlabel, ylabel: None: the columns' names.
        reference: height of a horizontal line.
        log: logarithmic y axis.
        band: intervals as shades and not as bars; for lines of many points.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    absent = {x, y, by} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    names = regime_order(frame[by]) if by == "regime" else list(dict.fromkeys(frame[by]))
    if by != "regime" and _numbers(names):
        names.sort()
    counts: set[int] = set()
    step = 0.012 * float(np.ptp(frame[x].astype(float)))  # beside each other, so that bars do not hide each other
    for i, name in enumerate(names):
        groups = frame[frame[by] == name].dropna(subset=[y]).groupby(x)[y]
        found = {place: interval(values) for place, values in groups}
        counts |= {estimate.n for estimate in found.values()}
        mean = np.array([estimate.mean for estimate in found.values()])
        half = np.array([estimate.high - estimate.mean for estimate in found.values()])
        at, look = np.array(list(found), dtype=float), _look(by, names, i)
        if band:
            ax.plot(at, mean, linewidth=1.4, **look)
            ax.fill_between(at, mean - half, mean + half, color=look["color"], alpha=0.2, linewidth=0)
            continue
        bars = None if np.isnan(half).all() else np.nan_to_num(half)
        beside = (i - (len(names) - 1) / 2) * step
        ax.errorbar(at + beside, mean, yerr=bars, linewidth=1.4, capsize=2, **look)
    if reference is not None:
        ax.axhline(reference, color="#666666", linewidth=1.0, linestyle=":")
    if log:
        ax.set_yscale("log")
    if all(float(value).is_integer() for value in frame[x].unique()):
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel(x if xlabel is None else xlabel)
    ax.set_ylabel(y if ylabel is None else ylabel)
    low, high = min(counts, default=0), max(counts, default=0)
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    ax.legend(
        title=f"mean of seeds, {'band' if band else 'bars'}: 95% interval ({n})"
        if high > 1
        else "one seed, no interval"
    )
    return ax


def _look(by: str, names: list[Any], index: int) -> dict[str, Any]:
    name = names[index]
    if by == "regime":
        style = regime_style(str(name))
        return {"color": style.colour, "marker": style.marker, "label": style.label, "markersize": 5}
    share = index / max(1, len(names) - 1)
    label = f"{by} {name}" if _numbers(names) else str(name)
    colour = colormaps["viridis"](0.9 * share) if _numbers(names) else colormaps["Dark2"](index % 8)
    return {"color": colour, "marker": _MARKERS[index % len(_MARKERS)], "label": label, "markersize": 5}


def _numbers(names: list[Any]) -> bool:
    return all(isinstance(each, int | float | np.number) and not isinstance(each, bool) for each in names)


def heat_map(
    frame: pd.DataFrame,
    ax: Axes,
    x: str,
    y: str,
    value: str,
    limits: tuple[float, float] | None = None,
    colours: str = "viridis",
    digits: int = 2,
    xlabel: str | None = None,
    ylabel: str | None = None,
    marked: str | None = None,
) -> Axes:
    """Means of `value` in cells, written into them; cells without a value stay white.

    Args:
        frame: one row or more for a cell; their mean is shown.
        ax: where to draw.
        x, y, value: columns; x and y are sorted as they come.
        limits: of the colour scale; None: the smallest and largest mean. Panels that are compared need the same.
        colours: a matplotlib colour map.
        digits: after the decimal point; below 0: nothing is written.
        xlabel, ylabel: None: the columns' names.
        marked: a column of truth values: a star stands behind the number of a cell in whose rows all are true.
    Raises:
        SettingError: a column is missing, or there are no values.
    """
    absent = {x, y, value, *([marked] if marked else [])} - set(frame)
    if absent or frame[value].isna().all():
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'values'}")
    columns, rows = list(dict.fromkeys(frame[x])), list(dict.fromkeys(frame[y]))
    table = frame.pivot_table(index=y, columns=x, values=value, aggfunc="mean").reindex(index=rows, columns=columns)
    cells = table.to_numpy(dtype=float)
    true = frame.assign(true=frame[marked].astype(float) if marked else 0.0)
    stars = true.pivot_table(index=y, columns=x, values="true", aggfunc="min").reindex(index=rows, columns=columns)
    low, high = limits or (float(np.nanmin(cells)), float(np.nanmax(cells)))
    shown = ax.imshow(cells, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for i, j in np.ndindex(cells.shape) if digits >= 0 else ():
        if np.isfinite(cells[i, j]):
            red, green, blue, _ = shown.cmap(shown.norm(cells[i, j]))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = f"{cells[i, j]:.{digits}f}{'*' if stars.iloc[i, j] == 1 else ''}"
            ax.text(j, i, text, ha="center", va="center", fontsize=9.5, color="white" if dark else "black")
    figure = ax.get_figure(root=True)
    assert figure is not None
    across = ax.get_position().width * figure.get_figwidth() / len(columns)  # inches of a column, at most
    letters = max(7, int(0.6 * across / 0.085))
    below = [shown_value(x, name) for name in columns]
    ax.set_xticks(range(len(columns)), [textwrap.fill(name, letters, break_long_words=False) for name in below])
    ax.set_yticks(range(len(rows)), [shown_value(y, name) for name in rows])
    ax.set_xlabel(x if xlabel is None else xlabel)
    ax.set_ylabel(y if ylabel is None else ylabel)
    ax.grid(visible=False)
    return ax
