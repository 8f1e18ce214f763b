"""Small multiples: one panel for each combination of two columns of a frame."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companion.plotting.curves import accuracy_cost, accuracy_per_exit, differences
from companion.plotting.numbers import curve_numbers, drawn_numbers, remember
from companion.plotting.style import shown_value

WIDEST = 10.0  # inches of a figure: a page shows 720 pixels, on which wider ones have letters below 7 points
ABREAST = 4  # panels in a line: with more, names of axes run into each other
LETTER = 0.095  # inches of a title's letter, about


def facets(
    frame: pd.DataFrame,
    draw: Callable[..., Axes],
    *,
    columns: str = "dataset",
    rows: str = "model",
    panel: tuple[float, float] = (4.2, 3.2),
    **options: Any,
) -> Figure:
    """Draw one panel for each value of `columns` and `rows` that the frame has; each has its own scale.

    A line has a panel for each value of `columns`; where these are more than 4, panels follow each other over lines.

    Args:
        frame: long; every part that belongs to one panel is passed to `draw`.
        draw: function of (frame, ax), such as companion.plotting.accuracy_cost.
        columns, rows: columns of the frame.
        panel: width and height of a panel, inches; narrower where the figure would be wider than WIDEST.
        options: passed on to `draw`.
    Returns:
        The figure, with one legend below the panels.
    """
    across, down = list(frame[columns].unique()), list(frame[rows].unique())
    parts = {
        (row, column): frame[(frame[rows] == row) & (frame[columns] == column)] for row in down for column in across
    }
    parts = {named: part for named, part in parts.items() if len(part)}
    beside = max(1, len(across))
    if beside > ABREAST:
        beside = -(-len(parts) // -(-len(parts) // ABREAST))  # as few lines as possible, as full as each other
    wide = min(panel[0], WIDEST / beside)
    lines = -(-len(parts) // beside)
    figure, axes = plt.subplots(lines, beside, figsize=(wide * beside, panel[1] * lines), squeeze=False)
    for ax in axes.flat[len(parts) :]:
        ax.set_axis_off()
    for i, ((row, column), part) in enumerate(parts.items()):
        ax = axes.flat[i]
        draw(part, ax, **options)
        named = {columns: column, rows: row}.items()
        said = [shown_value(of, value) for of, value in named]
        ax.set_title((", " if len(", ".join(said)) * LETTER < 0.85 * wide else ",\n").join(said))
        if i % beside:
            ax.set_ylabel("")
        if i + beside < len(parts):
            ax.set_xlabel("")
    _one_legend(figure, axes.flat)
    return remember(figure, drawn_numbers(draw, frame, [rows, columns], **options))


def _one_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """Take the legends out of all panels and put the first panel's below them."""
    drawn = [(ax, legend) for ax in axes if (legend := ax.get_legend()) is not None]
    if not drawn:
        return
    first, legend = drawn[0]
    handles, labels = first.get_legend_handles_labels()
    title = _common_title([other.get_title().get_text() for _, other in drawn])
    columns = len(labels)
    if sum(len(label) * LETTER + 0.6 for label in labels) > figure.get_figwidth():
        columns = min(len(labels), max(2, int(figure.get_figwidth() / 2)))
    order = [i for first_of in range(columns) for i in range(first_of, len(labels), columns)]  # lines, not columns
    handles, labels = [handles[i] for i in order], [labels[i] for i in order]
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=columns)
    for _, legend in drawn:
        legend.remove()


def _common_title(titles: list[str]) -> str:
    """One title for legends that differ in the number of seeds: with the smallest and the largest of them.

    Example:
        >>> _common_title(["band: 95% interval (n = 5)", "one seed, no interval", "band: 95% interval (n = 2 to 3)"])
        'band: 95% interval (n = 1 to 5)'
        >>> _common_title(["bars: 95% interval (n = 5)", "band: 95% interval (n = 5)"])
        'bars or band: 95% interval (n = 5)'
    """
    counted = [title for title in titles if "(n = " in title]
    if len(set(titles)) == 1 or not counted:
        return titles[0]
    numbers = [int(text) for title in counted for text in re.findall(r"\d+", title.partition("(n = ")[2])]
    low, high = 1 if len(counted) < len(titles) else min(numbers), max(numbers)
    marks = list(dict.fromkeys(title.partition(": ")[0] for title in counted))
    before, _, rest = marks[0].rpartition(" ")
    named = f"{before} " * bool(before) + " or ".join([rest, *(mark.rpartition(" ")[2] for mark in marks[1:])])
    seeds = f"n = {low}" if low == high else f"n = {low} to {high}"
    return f"{named}: {counted[0].partition(': ')[2].partition('(n = ')[0]}({seeds})"


def forests(
    parts: Mapping[str, pd.DataFrame],
    quantity: str = "difference in accuracy",
    unit: str = "percentage points",
    scale: float = 100.0,
) -> Figure:
    """Forest plots beside each other, with the same rows.

    Args:
        parts: title -> frame for companion.plotting.differences, with the same labels in the same order.
        quantity, unit, scale: of the x axis, as in companion.plotting.differences.
    """
    rows = max(len(part) for part in parts.values())
    letters = max((len(str(label)) for part in parts.values() for label in part["label"]), default=0)
    size = (min(WIDEST, 0.08 * letters + 3.8 * len(parts)), 0.27 * rows + 1.3)
    figure, axes = plt.subplots(1, len(parts), figsize=size, squeeze=False, sharex=True)
    for j, (title, part) in enumerate(parts.items()):
        differences(part, axes[0, j], quantity, unit, scale)
        axes[0, j].set_title(title)
        axes[0, j].locator_params(axis="x", nbins=5)
        if j:
            axes[0, j].set_yticklabels([])
    if len(parts) > 1:  # said once, for it is wider than a panel
        figure.supxlabel(axes[0, 0].get_xlabel(), fontsize=11)
        for ax in axes.flat:
            ax.set_xlabel("")
    return remember(figure, parts)


def side_by_side(exits: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Accuracy per exit and the accuracy-cost curve of one data set and model, with one legend."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    accuracy_per_exit(exits, left)
    accuracy_cost(curves, right)
    right.set_ylabel("")
    _one_legend(figure, (left, right))
    return remember(figure, {"per exit": exits, "against cost": curve_numbers(curves)})
