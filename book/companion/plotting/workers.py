"""How long a set of tasks takes with more and more workers, and what no number of workers can go below."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from eecore.errors import SettingError

__all__ = ["days_by_workers"]


def days_by_workers(frame: pd.DataFrame, ax: Axes) -> Axes:
    """Days against the number of workers, between the two limits that no number of workers can beat.

    Args:
        frame: columns workers, days, work_days (of one worker for everything) and chain_days (of the longest chain of
            tasks that wait for each other); the last two are the same in all rows.
        ax: where to draw; both axes are logarithmic.
    Returns:
        The ax.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    absent = {"workers", "days", "work_days", "chain_days"} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    rows = frame.sort_values("workers")
    counts = rows["workers"]
    ax.plot(counts, rows["days"], color="#0173b2", marker="o", markersize=5, linewidth=1.4, label="all phases")
    ax.plot(counts, rows["work_days"] / counts, color="#666666", linestyle="--", linewidth=1.0, label="evenly divided")
    ax.axhline(rows["chain_days"].iloc[0], color="#666666", linestyle=":", linewidth=1.2, label="longest chain")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(list(counts), [str(count) for count in counts])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("workers (accelerators)")
    ax.set_ylabel("days")
    ax.legend()
    return ax
