"""Pictures of single samples, and how far the confidence of exits can be relied on.

Axes: N samples, C channels, H height, W width, L length.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from companion.plotting.numbers import remember
from companion.plotting.profiles import profile
from eecore.errors import SettingError

__all__ = ["gallery", "reliability"]


def gallery(frame: pd.DataFrame, x: np.ndarray) -> Figure:
    """Samples as small pictures: a row for each kind, a column for each class.

    Args:
        frame: one row or more for a kind and class; columns kind, label, sample (index into `x`), difficulty (their
            mean is written below the picture).
        x: images (N, C, H, W), whose values are stretched to the whole scale, or sequences (N, C, L).
    Raises:
        SettingError: a column is missing, there are no rows, or `x` is neither images nor sequences.
    """
    absent = {"kind", "label", "sample", "difficulty"} - set(frame)
    if absent or frame.empty:
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows'}")
    if x.ndim not in (3, 4):
        raise SettingError(f"x: expected images (N, C, H, W) or sequences (N, C, L), got {tuple(x.shape)}")
    kinds, labels = list(dict.fromkeys(frame["kind"])), list(dict.fromkeys(frame["label"]))
    size = (0.85 * len(labels) + 0.6, 1.2 * len(kinds) + 0.3)
    figure, axes = plt.subplots(len(kinds), len(labels), figsize=size, squeeze=False)
    for (kind, label), part in frame.groupby(["kind", "label"], sort=False):
        row, column = kinds.index(kind), labels.index(label)
        ax = axes[row, column]
        _draw(x[int(part["sample"].iloc[0])], ax)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(visible=False)
        ax.set_xlabel(f"{part['difficulty'].mean():.2f}", fontsize=9)
        if row == 0:
            ax.set_title(str(label), fontsize=10)
        if column == 0:
            ax.set_ylabel(str(kind), fontsize=10)
    return remember(figure, frame)


def _draw(sample: np.ndarray, ax: Axes) -> None:
    if sample.ndim == 2:
        ax.plot(sample.T, linewidth=1.0, color="#333333")
        return
    low, high = float(sample.min()), float(sample.max())
    pixels = np.moveaxis((sample - low) / (high - low if high > low else 1.0), 0, -1)
    ax.imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, cmap="gray_r", vmin=0, vmax=1)


def reliability(frame: pd.DataFrame, ax: Axes, **options: Any) -> Axes:
    """Accuracy against confidence, a line for each regime, and the diagonal on which calibrated exits lie.

    Args:
        frame: one row per line, bin and seed; columns centre (of the bin), accuracy (fractions) and that of the lines.
        ax: where to draw.
        options: of companion.plotting.profile.
    Returns:
        The ax. Above the diagonal an exit is right more often than it says, below it less often.
    Raises:
        SettingError: a column is missing, or there are no rows.
    """
    profile(frame, ax, x="centre", y="accuracy", xlabel="confidence", ylabel="accuracy", **options)
    ax.plot([0, 1], [0, 1], color="#666666", linewidth=1.0, linestyle=":", zorder=0)
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return ax
