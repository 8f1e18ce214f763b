"""How long a set of tasks takes with more and more workers, and what no number of workers can go below."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from eecore.errors import SettingError

__all__ = ["days_by_workers"]

_LOOK = (("#0173b2", "o"), ("#de8f05", "s"), ("#029e73", "^"), ("#cc78bc", "D"))


def days_by_workers(frame: pd.DataFrame, ax: Axes) -> Axes:
    """Days against the number of workers, a line for each model; dotted: the longest chain of phases.

    Args:
        frame: columns model, workers, days, and chain_days (of the longest chain, the same for all rows of a model).
        ax: where to draw; both axes are logarithmic.
    Returns:
        The ax.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    absent = {"model", "workers", "days", "chain_days"} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    for i, (model, rows) in enumerate(frame.groupby("model", sort=False)):
        colour, marker = _LOOK[i % len(_LOOK)]
        rows = rows.sort_values("workers")
        ax.plot(rows["workers"], rows["days"], color=colour, marker=marker, markersize=5, linewidth=1.4, label=model)
        ax.axhline(rows["chain_days"].iloc[0], color=colour, linestyle=":", linewidth=1.2)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    counts = sorted(frame["workers"].unique())
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("workers (accelerators)")
    ax.set_ylabel("days")
    ax.legend(title="dotted: the longest chain of phases")
    return ax
