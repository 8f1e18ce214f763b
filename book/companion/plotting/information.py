"""Figures of mutual information: errors where the answer is known, information planes, differences by estimator.

Intervals are drawn as bands: many panels of separate bars make a page heavy.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from companion.plotting.curves import differences
from companion.plotting.numbers import remember
from companion.plotting.style import regime_order, regime_style
from eecore.errors import SettingError
from eecore.evidence import interval

__all__ = ["bands", "difference_panels", "errors", "plane", "planes"]

_TICKS, _LARGEST = [-8, -4, -2, -1, -0.5, 0, 0.5, 1, 2, 4, 8], 9.0
# one look for each estimator in every figure of the page
_LOOKS = {
    "binning": ("#949494", "x"),
    "KDE": ("#d55e00", "P"),
    "KDE lower": ("#d55e00", "^"),
    "KDE upper": ("#d55e00", "v"),
    "Kawaguchi": ("#ca9161", "d"),
    "Kawaguchi, drawn": ("#ca9161", "D"),
    "KSG": ("#0173b2", "o"),
    "Ross": ("#0173b2", "o"),
    "InfoNCE": ("#029e73", "s"),
    "probe": ("#cc78bc", "*"),
}


def errors(summary: pd.DataFrame, x: str = "truth", columns: str = "d", xlabel: str = "true value (nats)") -> Figure:
    """Mean error of each estimator with its standard deviation, one panel for each value of `columns`.

    The vertical axis is linear within half a nat of zero and logarithmic beyond, so that small and gross errors can
    both be read.

    Args:
        summary: from information_checks.bias_and_spread, of one quantity.
        x: column of the horizontal axis.
        columns: column of the panels; "d" and "n" are shown as D and N.
        xlabel: of the horizontal axis.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    _need(summary, {x, columns, "estimator", "bias", "sd", "draws"})
    values = list(dict.fromkeys(summary[columns]))
    size = (min(10.5, 3.3 * len(values) + 1.2), 4.2)
    figure, axes = plt.subplots(1, len(values), figsize=size, squeeze=False, sharey=True)
    shown: dict[str, Line2D] = {}
    for ax, value in zip(axes[0], values, strict=True):
        part = summary[summary[columns] == value]
        ax.axhline(0.0, color="#666666", linewidth=1.0)
        for name, line in part.groupby("estimator", sort=False):
            colour, marker = _LOOKS.get(str(name), ("#333333", "."))
            line = line.sort_values(x)
            sd = line["sd"].fillna(0.0)
            ax.fill_between(line[x], line["bias"] - sd, line["bias"] + sd, color=colour, alpha=0.2, linewidth=0)
            look = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.3}
            shown[str(name)] = ax.plot(line[x], line["bias"], label=name, **look)[0]
        ax.set_yscale("symlog", linthresh=0.5, linscale=0.8)
        ax.set_title(f"{columns.upper()} = {value}" if columns in ("d", "n") else str(value))
        ax.set_xlabel(xlabel)
    reach = min(_LARGEST, 1.2 * max(0.5, float(summary["bias"].abs().max())))
    ticks = [t for t in _TICKS if abs(t) <= reach]
    axes[0, 0].set_ylim(-reach, reach)
    axes[0, 0].set_yticks(ticks, [f"{t:+g}" if t else "0" for t in ticks])
    axes[0, 0].minorticks_off()
    axes[0, 0].set_ylabel("mean error ± sd (nats)")
    across = max(3, int(size[0] / 1.6))
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=min(across, len(shown)))
    return remember(figure, summary)


def bands(frame: pd.DataFrame, ax: Axes, xlabel: str = "block", ylabel: str = "nats") -> Axes:
    """One line for each regime: the mean of `value` at each block, its 95 % t interval as a band.

    Args:
        frame: columns regime, block, value; one row for each regime, block and seed.
        ax: where to draw.
        xlabel, ylabel: of the axes.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    _need(frame, {"regime", "block", "value"})
    counts = set()
    for name in regime_order(frame["regime"]):
        style = regime_style(name)
        found = {block: interval(part) for block, part in frame[frame["regime"] == name].groupby("block")["value"]}
        at, mean = np.array(list(found)), np.array([e.mean for e in found.values()])
        low, high = np.array([[e.low, e.high] for e in found.values()]).T
        counts |= {e.n for e in found.values()}
        ax.fill_between(at, low, high, color=style.colour, alpha=0.2, linewidth=0)
        ax.plot(at, mean, color=style.colour, marker=style.marker, markersize=4, linewidth=1.4, label=style.label)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    n = f"n = {min(counts)}" if len(counts) == 1 else f"n = {min(counts)} to {max(counts)}"
    ax.legend(title=f"mean of seeds, bands: 95% interval ({n})" if max(counts) > 1 else "one seed, no interval")
    return ax


def _need(frame: pd.DataFrame, columns: set[str]) -> None:
    if columns - set(frame) or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(columns - set(frame))) or 'rows'}")


def plane(frame: pd.DataFrame, ax: Axes, shades: int | None = None) -> Axes:
    """Information plane of one regime: a line for each block over training, mean over the seeds.

    A hollow circle is the network before training, a filled one its end, small dots are snapshots, a cross the end of
    a phase with another one behind it.

    Args:
        frame: columns block, seed, phase, epoch, trained, input, label; from information_measures.information_plane.
        ax: where to draw.
        shades: colours from the first to the last block; None: as many as there are blocks. Panels that are compared
            need the same.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    _need(frame, {"block", "phase", "epoch", "trained", "input", "label"})
    blocks = sorted(frame["block"].unique())
    shades = shades or int(blocks[-1]) + 1
    last = frame["phase"].max()
    for block in blocks:
        part = frame[frame["block"] == block]
        path = part.groupby(["trained", "phase"], sort=True)[["input", "label"]].mean().reset_index()
        colour = colormaps["viridis"](0.9 * block / max(1, shades - 1))
        ax.plot(path["input"], path["label"], color=colour, marker=".", markersize=3, linewidth=1.2)
        ax.plot(*path[["input", "label"]].iloc[0], color=colour, marker="o", markerfacecolor="white", markersize=5)
        ends = path[path["phase"].between(1, last - 1)].groupby("phase").tail(1)
        ax.plot(ends["input"], ends["label"], color=colour, marker="x", linestyle="none", markersize=7)
        ends = path.iloc[-1]
        ax.plot(ends["input"], ends["label"], color=colour, marker="o", markersize=6, label=f"block {block}")
    return ax


def planes(frame: pd.DataFrame) -> Figure:
    """`plane` of every regime (columns) with the same axes, one row for each data set and model; one legend.

    Args:
        frame: as for `plane`, with columns dataset, model and regime; every regime for every data set and model.
    Raises:
        SettingError: a column is missing, there are no rows, or a regime is missing somewhere.
    """
    _need(frame, {"dataset", "model", "regime", "block"})
    shades = int(frame["block"].max()) + 1
    cells = list(dict.fromkeys(zip(frame["dataset"], frame["model"], strict=True)))
    regimes = regime_order(frame["regime"])
    size = (min(10.5, 3.3 * len(regimes) + 1), 3.6 * len(cells) + 0.6)
    figure, axes = plt.subplots(len(cells), len(regimes), figsize=size, squeeze=False, sharex="row", sharey="row")
    for i, (dataset, model) in enumerate(cells):
        for j, regime in enumerate(regimes):
            chosen = (frame["dataset"] == dataset) & (frame["model"] == model) & (frame["regime"] == regime)
            plane(frame[chosen], axes[i, j], shades)
            axes[i, j].set_title(regime_style(regime).label)
            axes[i, j].set_xlabel("I(X;Z), nats")
        axes[i, 0].set_ylabel(f"{dataset}, {model}\nI(Y;Z), nats")
    deepest = max(axes[:, 0], key=lambda ax: len(ax.get_legend_handles_labels()[1]))
    handles, labels = deepest.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)))
    return remember(figure, frame)


def difference_panels(parts: Mapping[str, pd.DataFrame], quantity: str, unit: str = "nats") -> Figure:
    """Forest plots beside each other with the same rows; each has its own scale, since estimators differ in theirs.

    Args:
        parts: title -> frame for companion.plotting.differences, with the same labels in the same order.
        quantity, unit: of the x axis.
    Raises:
        SettingError: there are no parts, or rows differ.
    """
    names = [list(part["label"]) for part in parts.values()]
    if not names or any(other != names[0] for other in names):
        raise SettingError("parts: at least one is needed, and all need the same labels in the same order")
    size = (min(11.0, 2.6 * len(parts) + 3.2), 0.27 * len(names[0]) + 1.4)
    figure, axes = plt.subplots(1, len(parts), figsize=size, squeeze=False)
    for j, (title, part) in enumerate(parts.items()):
        differences(part, axes[0, j], quantity, unit, 1.0)
        axes[0, j].set_xlabel(f"{quantity} ({unit})")
        axes[0, j].set_title(title)
        axes[0, j].locator_params(axis="x", nbins=4)
        if j:
            axes[0, j].set_yticklabels([])
    return remember(figure, parts)
