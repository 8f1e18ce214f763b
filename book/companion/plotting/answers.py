"""Which regime is recommended where: a map of coloured cells."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from companion.plotting.style import regime_style
from eecore.errors import SettingError

__all__ = ["answer_map"]


def answer_map(frame: pd.DataFrame, ax: Axes, regimes: Sequence[str] = ()) -> Axes:
    """A cell for each answer, in the colour of the recommended regime: strong where it is told apart from the next.

    Args:
        frame: one row per answer, such as from companion.recommendation.decisions.map_of; columns group (the row of the
            map), column (its column, text), regime, apart, text (written into the cell).
        ax: where to draw; groups from the top, columns from the left, as they come.
        regimes: of the legend; empty: those of the frame.
    Returns:
        The ax. Cells without an answer stay white.
    Raises:
        SettingError: a column is missing, there are no rows, or a cell has two answers.
    """
    absent = {"group", "column", "regime", "apart", "text"} - set(frame)
    if absent or frame.empty or frame.duplicated(["group", "column"]).any():
        raise SettingError(f"frame: lacks {', '.join(sorted(absent)) or 'rows, or has two for one cell'}")
    groups, columns = list(dict.fromkeys(frame["group"])), list(dict.fromkeys(frame["column"]))
    for row in frame.itertuples():
        x, y = columns.index(row.column), groups.index(row.group)
        colour, strength = regime_style(str(row.regime)).colour, 0.6 if row.apart else 0.2
        ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, alpha=strength, linewidth=0))
        ax.text(x, y, str(row.text), ha="center", va="center", fontsize=8)
    for name in regimes or dict.fromkeys(frame["regime"]):
        style = regime_style(str(name))
        ax.scatter([], [], marker="s", s=60, color=style.colour, label=style.label)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(groups)), groups)
    ax.grid(visible=False)
    ax.set_xlabel("budget of inference (% of the backbone's MACs)")
    ax.legend(
        title="recommended; pale: not told apart from the runner-up, which the cell names with the lead in points"
    )
    return ax
