"""Sentences about thresholds from few validation samples and from test, from the frames of that page."""

import pandas as pd

from companion.pages.pooling import over_cells
from companion.pages.thresholds import ALL, CELL
from companion.tables import RUN_COLUMNS
from eecore.evidence import Estimate, verdict
from eecore.inference.resample import ONE, PER_EXIT

__all__ = ["added_in_words", "methods_in_words", "spent_in_words"]


def _scaled(estimate: Estimate, unit: str = " points") -> str:
    """Mean and interval in hundredths, such as "+0.31 points [0.10, 0.52]"."""
    text = f"{100 * estimate.mean:+.2f}{unit}"
    return text if estimate.n < 2 else f"{text} [{100 * estimate.low:.2f}, {100 * estimate.high:.2f}]"


def _unit(frame: pd.DataFrame, estimate: Estimate) -> str:
    cells = len(frame[CELL].drop_duplicates())
    if estimate.n < 2:
        return "one seed, no interval"
    return f"95 % intervals over {estimate.n} {'combinations of data and model' if cells > 1 else 'seeds'}"


def added_in_words(added: pd.DataFrame) -> str:
    """What choosing on test adds, at every size: a Markdown line for each of the two choices on test.

    Args:
        added: from `what_test_adds`. Regimes, budgets and seeds are averaged within a combination of data and model.
    """
    said = {"higher": "**higher** than", "lower": "**lower** than", "not told apart": "**not told apart** from"}
    lines = []
    for against, part in added.groupby("against", sort=False):
        found = {size: over_cells(rows, "gap", CELL) for size, rows in part.groupby("size", sort=False)}
        each = "; ".join(f"n = {size}: {_scaled(estimate)}" for size, estimate in found.items())
        lines.append(
            f"- *{against}*, accuracy that it adds to that of a threshold from n validation samples: {each} "
            f"({_unit(part, found[ALL])}). Compared with all validation samples, its accuracy is "
            f"{said[verdict(found[ALL])]} ours."
        )
    return "\n".join(lines)


def spent_in_words(frame: pd.DataFrame) -> str:
    """What thresholds from n samples cost on test, and how far one draw is from another: a Markdown line for each.

    Args:
        frame: from `readings`. Means over regimes, budgets, seeds and combinations of data and model.
    """
    lines = []
    chosen = frame[frame["method"].isin([ONE, PER_EXIT])]
    for (method, size), part in chosen.groupby(["method", "size"], sort=False):
        used, often, dear = (over_cells(part, name, CELL).mean for name in ("used", "exceeds", "dear"))
        line = f"- *{method}*, n = {size}: the mean cost on test is {used:.1%} of the budget; {often:.0%}"
        if part["spread"].isna().all():
            lines.append(f"{line} of the runs cost more than the budget.")
            continue
        spread = 100 * over_cells(part, "spread", CELL).mean
        lines.append(
            f"{line} of the draws cost more than the budget; 95 % of a run's draws cost at most {dear:.1%} of it; from "
            f"draw to draw accuracy has a standard deviation of {spread:.2f} points."
        )
    return "\n".join(lines)


def methods_in_words(frame: pd.DataFrame) -> str:
    """What one threshold per exit gives beyond one for all, at every size: a Markdown line for each.

    Args:
        frame: from `readings`.
    """
    keys, lines = [*RUN_COLUMNS, "budget", "size"], []
    wide = frame[frame["method"].isin([ONE, PER_EXIT])].pivot(index=keys, columns="method", values=["accuracy", "used"])
    difference = pd.DataFrame({name: wide[name][PER_EXIT] - wide[name][ONE] for name in ("accuracy", "used")})
    for size in dict.fromkeys(frame.loc[frame["method"] == ONE, "size"]):
        part = difference.xs(size, level="size").reset_index()
        gain, used = (over_cells(part, name, CELL) for name in ("accuracy", "used"))
        known = {"higher": "**more accurate**", "lower": "**less accurate**"}
        said = known.get(verdict(gain), "**not told apart** from one for all")
        lines.append(
            f"- n = {size}: one threshold per exit is {said} ({_scaled(gain)}), and costs "
            f"{_scaled(used, ' % of the budget')} more ({_unit(part, gain)})."
        )
    return "\n".join(lines)
