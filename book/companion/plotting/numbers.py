"""The numbers behind a figure, kept with it, so that a page can offer them as a file."""

from collections.abc import Callable, Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eecore.evidence import half_width

__all__ = ["curve_numbers", "mean_curve", "numbers_behind", "remember"]

_BEHIND: WeakKeyDictionary[Figure, pd.DataFrame] = WeakKeyDictionary()


def remember(figure: Figure, frame: pd.DataFrame | Mapping[str, pd.DataFrame]) -> Figure:
    """The figure; from now on `numbers_behind` knows its numbers.

    Args:
        figure: any.
        frame: what is drawn; several frames by the name of their panel become one, with a column panel.
    """
    if not isinstance(frame, pd.DataFrame):
        frame = pd.concat([part.assign(panel=name) for name, part in frame.items()], ignore_index=True)
    _BEHIND[figure] = frame
    return figure


def numbers_behind(figure: Figure) -> pd.DataFrame | None:
    """What is drawn in a figure of companion.plotting; None where nobody said so."""
    return _BEHIND.get(figure)


def mean_curve(runs: Sequence[pd.DataFrame], points: int, value: str, level: float = 0.95) -> pd.DataFrame:
    """Curves of several seeds, read at common costs as steps: see `companion.plotting.accuracy_cost`.

    Args:
        runs: one frame a seed; columns threshold, macs_fraction and that of the value.
        points: number of common costs.
        value: name of a column.
        level: of the interval.
    Returns:
        Columns macs_fraction, the value (mean over seeds), half (half the width of its interval, NaN for one seed), n.
    """
    cheapest = max(run["macs_fraction"].min() for run in runs)
    grid = np.linspace(cheapest, max(run["macs_fraction"].max() for run in runs), points)
    values = np.stack([_step(run, grid, value) for run in runs])
    sd = values.std(axis=0, ddof=1) if len(runs) > 1 else np.full(points, np.nan)
    half = half_width(sd, len(runs), level)
    return pd.DataFrame({"macs_fraction": grid, value: values.mean(axis=0), "half": half, "n": len(runs)})


def _step(run: pd.DataFrame, at: np.ndarray, value: str) -> np.ndarray:
    """`value` of one seed's dearest point that costs no more, at each cost; of equal costs the highest threshold."""
    points = run.sort_values(["macs_fraction", "threshold"])
    index = np.searchsorted(points["macs_fraction"].to_numpy(), at, side="right") - 1
    return points[value].to_numpy()[index]


def curve_numbers(
    frame: pd.DataFrame, by: Sequence[str] = (), points: int = 120, value: str = "accuracy"
) -> pd.DataFrame:
    """What `companion.plotting.accuracy_cost` draws: a row for each regime and cost.

    Args:
        frame: as there; of several panels.
        by: columns that tell panels apart.
        points, value: as there.
    Returns:
        The columns of `by`, regime, and those of `mean_curve`.
    """
    parts = []
    keys = [*by, "regime"]
    for names, part in frame.groupby(keys, sort=False):
        found = mean_curve([run for _, run in part.groupby("seed")], points, value)
        parts.append(pd.DataFrame(dict(zip(keys, names, strict=True)), index=found.index).join(found))
    return pd.concat(parts, ignore_index=True)


def drawn_numbers(
    draw: Callable[..., object], frame: pd.DataFrame, by: Sequence[str], /, **options: object
) -> pd.DataFrame:
    """The numbers of panels that `draw` draws: curves are read at common costs there, all else is drawn as it is."""
    if getattr(draw, "__name__", "") != "accuracy_cost":
        return frame
    known = {name: option for name, option in options.items() if name in ("points", "value")}
    return curve_numbers(frame, list(dict.fromkeys(by)), **known)  # type: ignore[arg-type]
