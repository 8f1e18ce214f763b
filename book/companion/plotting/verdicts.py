"""Which side each combination of data and model takes on each reading of a claim."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from companion.plotting.numbers import remember
from eecore.errors import SettingError

__all__ = ["side_matrices", "side_matrix"]

# blue and vermilion of the colour-blind palette; no side looks like another in grey, and each has its own sign
SIDES = {"for": ("#0173b2", "white", "+"), "open": ("#e4e4e4", "black", "·"), "against": ("#d55e00", "white", "−")}
NOT_MEASURED = "white"


def side_matrix(cells: pd.DataFrame, ax: Axes, rows: Sequence[str], scales: Mapping[str, float]) -> Axes:
    """A square for each reading and combination: its colour and sign say for, open or against, its number the effect.

    Args:
        cells: columns reading, dataset, model, mean, side (see `evidence.cell_verdicts`), of one source.
        ax: where to draw.
        rows: readings from the top; one without cells stays empty.
        scales: reading -> what its mean is multiplied by.
    Raises:
        SettingError: a column is missing, a side is not known, or a reading has no scale.
    """
    absent = {"reading", "dataset", "model", "mean", "side"} - set(cells)
    if absent or not set(cells["side"]) <= set(SIDES) or not set(rows) <= set(scales):
        raise SettingError(f"cells: lacks {', '.join(sorted(absent)) or 'a known side, or a reading its scale'}")
    names = list(dict.fromkeys(zip(cells["dataset"], cells["model"], strict=True)))
    grid = np.full((len(rows), max(len(names), 1)), np.nan)
    for cell in cells[cells["reading"].isin(rows)].itertuples():
        i, j = list(rows).index(cell.reading), names.index((cell.dataset, cell.model))
        grid[i, j] = list(SIDES).index(cell.side)
        _, ink, sign = SIDES[cell.side]
        text = f"{sign} {abs(scales[cell.reading] * cell.mean):.1f}" if cell.side != "open" else "·"
        ax.text(j, i, text, ha="center", va="center", fontsize=8.5, color=ink)
    colours = ListedColormap([colour for colour, _, _ in SIDES.values()]).with_extremes(bad=NOT_MEASURED)
    shown = np.ma.masked_invalid(grid)
    ax.imshow(shown, cmap=colours, norm=BoundaryNorm([-0.5, 0.5, 1.5, 2.5], 3), aspect="auto")
    ax.set_xticks(range(len(names)), [f"{d}\n{m}" for d, m in names], fontsize=8.5, rotation=90)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    ax.grid(visible=False)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    return ax


def side_matrices(
    cells: pd.DataFrame, rows: Sequence[str], scales: Mapping[str, float], titles: Mapping[str, str]
) -> Figure:
    """`side_matrix` of each source beside each other, with one legend.

    Args:
        cells, rows, scales: as in `side_matrix`; of all sources.
        titles: source -> title of its panel; sources without cells are left out.
    Raises:
        SettingError: none of the sources has cells.
    """
    sources = [source for source in titles if (cells["source"] == source).any()]
    if not sources:
        raise SettingError(f"cells: none of the sources {', '.join(titles)} has any")
    counts = [max(len(cells[cells["source"] == source].drop_duplicates(["dataset", "model"])), 2) for source in sources]
    size = (0.5 * sum(counts) + 1.2 * len(sources) + 0.6, 0.3 * len(rows) + 2.3)
    figure, axes = plt.subplots(1, len(sources), figsize=size, squeeze=False, width_ratios=counts, sharey=True)
    for source, ax in zip(sources, axes.flat, strict=True):
        side_matrix(cells[cells["source"] == source], ax, rows, scales)
        ax.set_title(titles[source])
    words = {"for": "for the claim", "open": "not told apart", "against": "against it"}
    handles = [Patch(facecolor=colour, label=f"{sign} {words[side]}") for side, (colour, _, sign) in SIDES.items()]
    handles.append(Patch(facecolor=NOT_MEASURED, edgecolor="#999999", label="not measured"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2 if len(sources) == 1 else 4)
    return remember(figure, cells)
