"""The figures that recur: accuracy against cost, per exit, per budget, and differences with intervals.

Every function takes a long frame and an ax, returns the ax and saves nothing. Bands and bars are 95 % t
intervals over seeds and the legend says so; with one seed there is none, and the legend says that. Fractions
are drawn as they are and labelled in percent.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from companion.plotting.numbers import mean_curve
from companion.plotting.style import regime_order, regime_style
from eecore.errors import SettingError, choose
from eecore.evidence import interval

__all__ = ["accuracy_cost", "accuracy_per_exit", "budget_bars", "differences"]

LEVEL = 0.95
MEASURES = {  # column: label of its axis
    "accuracy": "test accuracy (%)",
    "pearson": "test Pearson correlation",
    "mse": "test mean squared error",
}


def accuracy_cost(frame: pd.DataFrame, ax: Axes, points: int = 120, value: str = "accuracy") -> Axes:
    """Accuracy against mean cost: for each regime the mean over seeds and its interval.

    Seeds have their points at different costs, so each seed's curve is read at common costs, from the dearest of
    the seeds' cheapest points to their dearest point, as a step: the accuracy of the dearest point that costs no
    more. No maximum is taken over accuracies, which would be to choose thresholds by test labels; so a curve may
    fall, where a later exit turns right answers into wrong ones.

    Args:
        frame: of one data set and model, one row per regime, seed and threshold; columns regime, seed,
            threshold, accuracy (fraction), macs_fraction (mean cost / the backbone's).
        ax: where to draw.
        points: number of common costs.
        value: column to draw in place of accuracy: a key of MEASURES.
    Returns:
        The ax.
    Raises:
        SettingError: columns are missing, or a regime, seed and threshold has several rows.
    """
    _check(frame, ("regime", "seed", "threshold", value, "macs_fraction"), ("regime", "seed", "threshold"))
    seeds = []
    for regime in regime_order(frame["regime"]):
        runs = [run for _, run in frame[frame["regime"] == regime].groupby("seed")]
        found, style = mean_curve(runs, points, value, LEVEL), regime_style(regime)
        grid, mean = found["macs_fraction"], found[value]
        ax.plot(
            grid,
            mean,
            color=style.colour,
            marker=style.marker,
            markevery=(points // 10, points // 5),
            label=style.label,
        )
        if len(runs) > 1:
            half = found["half"]
            ax.fill_between(grid, mean - half, mean + half, color=style.colour, alpha=0.2, linewidth=0)
        seeds.append(len(runs))
    ax.axvline(1.0, color="#666666", linewidth=1.0, linestyle=":")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel("mean cost per sample\n(% of the backbone's MACs)")
    return _finish(ax, seeds, "band", value)


def accuracy_per_exit(frame: pd.DataFrame, ax: Axes, value: str = "accuracy") -> Axes:
    """Accuracy of every exit on all samples: for each regime the mean over seeds and its interval.

    Args:
        frame: of one data set and model, one row per regime, seed and exit; columns regime, seed, exit (a
            number), accuracy (fraction).
        ax: where to draw. Regimes stand beside each other at every exit, so that bars do not hide each other.
        value: column to draw in place of accuracy: a key of MEASURES.
    Returns:
        The ax.
    Raises:
        SettingError: columns are missing, or a regime, seed and exit has several rows.
    """
    _check(frame, ("regime", "seed", "exit", value), ("regime", "seed", "exit"))
    seeds = _grouped(frame, "exit", np.unique(frame["exit"]), ax, linestyle="-", value=value)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("exit")
    return _finish(ax, seeds, "bars", value)


def budget_bars(frame: pd.DataFrame, ax: Axes, choice: str = "validation") -> Axes:
    """Accuracy within each budget: for each regime the mean over seeds and its interval.

    Args:
        frame: tables from `eecore.inference.budget_table` of one data set and model; columns regime, seed,
            budget (fraction of the backbone's MACs, or inf), choice, accuracy (fraction). A budget that
            nothing fits has NaN and no point.
        ax: where to draw; budgets stand at 0, 1, 2, ... from the smallest.
        choice: which reading of the tables.
    Returns:
        The ax.
    Raises:
        SettingError: columns are missing, the choice does not occur, or a regime, seed and budget has several
            rows.
    """
    _check(frame, ("regime", "seed", "budget", "choice", "accuracy"), ("regime", "seed", "budget", "choice"))
    frame = frame[frame["choice"] == choose("choice", choice, sorted(frame["choice"].unique()))]
    budgets = np.unique(frame["budget"])
    seeds = _grouped(frame, "budget", budgets, ax, linestyle="none", at=range(len(budgets)))
    ax.set_xticks(range(len(budgets)), ["unlimited" if np.isinf(b) else f"{b:.0%}" for b in budgets])
    ax.set_xlim(-0.5, len(budgets) - 0.5)
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("budget (% of the backbone's MACs)")
    return _finish(ax, seeds, "bars")


def differences(
    frame: pd.DataFrame,
    ax: Axes,
    quantity: str = "difference in accuracy",
    unit: str = "percentage points",
    scale: float = 100.0,
) -> Axes:
    """Forest plot of differences: a point and its interval on each row, and a line at zero.

    A filled point has an interval that excludes zero; a hollow one is not told apart from it.

    Args:
        frame: one row per difference, drawn from the top; columns label, mean, low, high (fractions; low and
            high NaN where there is no interval).
        ax: where to draw.
        quantity: what the x axis measures.
        unit: of the x axis; the default is for fractions. Empty: none.
        scale: what numbers on the axis are multiplied by.
    Returns:
        The ax.
    Raises:
        SettingError: columns are missing, or there are no rows.
    """
    _check(frame, ("label", "mean", "low", "high"), ())
    ax.axvline(0.0, color="#666666", linewidth=1.0)
    for row, (_, difference) in enumerate(frame.iterrows()):
        apart = difference["low"] > 0 or difference["high"] < 0
        reach = np.array([[difference["mean"] - difference["low"]], [difference["high"] - difference["mean"]]])
        ax.errorbar(
            [difference["mean"]],
            [row],
            xerr=None if np.isnan(reach).any() else reach,
            fmt="o",
            color="#333333",
            markerfacecolor="#333333" if apart else "white",
            capsize=3,
        )
    ax.set_yticks(range(len(frame)), [str(label) for label in frame["label"]])
    ax.set_ylim(len(frame) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{scale * value:+.4g}" if value else "0"))
    ax.set_xlabel(f"{quantity}{f' ({unit})' if unit else ''}\nbar: {LEVEL:.0%} interval, filled: without zero")
    return ax


def _check(frame: pd.DataFrame, columns: Sequence[str], key: Sequence[str]) -> None:
    """Raise where columns are missing, no rows are there, or two rows have the same key."""
    absent = [column for column in columns if column not in frame]
    if absent:
        has = ", ".join(map(str, frame.columns)) or "none"
        raise SettingError(f"frame: lacks the columns {', '.join(absent)}; it has {has}")
    if frame.empty:
        raise SettingError("frame: has no rows")
    if key and frame.duplicated(list(key)).any():
        raise SettingError(f"frame: several rows for one {', '.join(key)}; pass one data set and model, each row once")


def _grouped(
    frame: pd.DataFrame,
    column: str,
    groups: np.ndarray,
    ax: Axes,
    linestyle: str,
    at: Iterable[float | int] | None = None,
    value: str = "accuracy",
) -> list[int]:
    """Mean and interval of each regime at each group, regimes side by side; returns the numbers of seeds."""
    places = np.asarray(list(groups if at is None else at), dtype=np.float64)
    regimes, seeds = regime_order(frame["regime"]), []
    step = min(0.12, 0.6 / len(regimes))
    for index, regime in enumerate(regimes):
        rows = frame[(frame["regime"] == regime) & frame[value].notna()]
        values = [rows.loc[rows[column] == group, value] for group in groups]
        estimates = [interval(part, LEVEL) if len(part) else None for part in values]
        mean = np.array([e.mean if e else np.nan for e in estimates])
        half = np.array([e.high - e.mean if e else np.nan for e in estimates])
        style = regime_style(regime)
        ax.errorbar(
            places + (index - (len(regimes) - 1) / 2) * step,
            mean,
            yerr=None if np.isnan(half).all() else np.nan_to_num(half),
            color=style.colour,
            marker=style.marker,
            linestyle=linestyle,
            linewidth=1.2,
            capsize=3,
            label=style.label,
        )
        seeds += [len(part) for part in values if len(part)]
    return seeds


def _finish(ax: Axes, seeds: Sequence[int], mark: str, value: str = "accuracy") -> Axes:
    """The axis of a measure, accuracy in percent, and a legend that says what band or bars are."""
    ax.set_ylabel(MEASURES[value])
    bottom, top = ax.get_ylim()
    if value == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        ax.set_ylim(max(bottom, -0.02), min(top, 1.02))  # an interval may reach beyond what an accuracy can be
    low, high = (min(seeds), max(seeds)) if seeds else (0, 0)
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    title = f"mean of seeds, {mark}: {LEVEL:.0%} interval ({n})" if high > 1 else "one seed, no interval"
    ax.legend(title=title)
    return ax
