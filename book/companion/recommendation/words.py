"""A recommendation as sentences, computed from its tables."""

import numpy as np
import pandas as pd

from companion.plotting import regime_style

CHEAPER = 0.9  # of the recommended regime's training: a saving that is worth a sentence
__all__ = ["gap_in_words", "in_words", "label", "points"]


def label(regime: str) -> str:
    """The name of a regime in prose."""
    return regime_style(regime).label


def points(fraction: float) -> float:
    """A fraction in percentage points, rounded as it is shown; never minus zero.

    Example:
        >>> points(-0.0001), points(0.0213)
        (0.0, 2.1)
    """
    return round(100 * fraction, 1) + 0.0


def gap_in_words(row: pd.Series) -> str:
    """A difference and its interval in points, from a row of a recommendation's table.

    Example:
        >>> gap_in_words(pd.Series({"difference": 0.021, "low": 0.012, "high": 0.03}))
        '2.1 [1.2, 3.0]'
    """
    text = f"{points(row['difference']):.1f}"
    return text if np.isnan(row["low"]) else f"{text} [{points(row['low']):.1f}, {points(row['high']):.1f}]"


def in_words(
    table: pd.DataFrame, cells: pd.DataFrame, runs: pd.DataFrame, about: str, training: str, level: float
) -> str:
    """A recommendation as a paragraph: what for, the regime, how far the others are, on what it rests, what it costs.

    Args:
        table, cells, runs, training, level: of a Recommendation.
        about: the runs and the budget, in words.
    """
    best, others = table["regime"].iloc[0], table.iloc[1:]
    ahead = "; ".join(_ahead(row, label(row["regime"])) for _, row in others.iterrows())
    basis = _basis(table, cells, runs, level)
    parts = [
        f"For {about}: **{label(best)}**. It is {ahead}.",
        basis,
        _spent(table),
        _cost(table, training),
        _heterogeneity(table, cells),
    ]
    return " ".join(part for part in parts if part)


def _ahead(row: pd.Series, name: str) -> str:
    if row["difference"] <= 0.0:
        return f"exactly as accurate as {name}"
    if row["apart"] or np.isnan(row["low"]):
        return f"{gap_in_words(row)} points above {name}"
    return f"not told apart from {name} (+{gap_in_words(row)} points)"


def _basis(table: pd.DataFrame, cells: pd.DataFrame, runs: pd.DataFrame, level: float) -> str:
    n, count = int(table["n"].iloc[1:].min()), int(runs["count"].sum())
    if n < 2:
        return f"It rests on one seed ({count} runs): no uncertainty can be given."
    unit = f"{n} combinations of data and model" if len(cells) > 1 else f"{n} seeds"
    return f"{100 * level:g} % intervals over {unit}, {count} runs; told apart after Holm's correction."


def _spent(table: pd.DataFrame) -> str:
    """What inference really costs on test, where that is known."""
    known = table.dropna(subset=["spent"]) if "spent" in table else table.iloc[:0]
    each = ", ".join(f"{label(row.regime)} {row.spent:.0%}" for row in known.itertuples())
    return f"Spent on test, in % of the backbone's cost: {each}." if each else ""


def _cost(table: pd.DataFrame, training: str) -> str:
    """What the others cost to train, where it matters: of equals, of those that are not told apart, of disjoint."""
    parts, best, others = [], label(table["regime"].iloc[0]), table.iloc[1:]
    if ((others["difference"] <= 0.0) & (others["training"] > 1.0)).any():
        parts.append(f"Of equals, {best} is recommended because it costs less to train.")
    said = others[~others["apart"].astype(bool) & others["low"].notna() & (others["training"] < CHEAPER)]
    cheap = [f"{label(row.regime)} {row.training:.0%}" for row in said.sort_values("training").itertuples()]
    if cheap:
        parts.append(f"Not told apart and cheaper to train, in % of its multiply-adds: {', '.join(cheap)}.")
    cost = table.set_index("regime")["training"]
    if training == "same total" and "disjoint" not in set(said["regime"]) and cost["disjoint"] < cost.max():
        parts.append(f"Disjoint, with as many epochs, trains for {cost['disjoint'] / cost.max():.0%} of the dearest's.")
    return " ".join(parts)


def _heterogeneity(table: pd.DataFrame, cells: pd.DataFrame) -> str:
    if len(cells) < 2:
        return ""
    wins, beaten = int((cells["best"] == table["regime"].iloc[0]).sum()), int(cells["beaten"].sum())
    text = f"It has the highest mean in {wins} of {len(cells)} combinations"
    return f"{text}; in {beaten} another regime is told apart above it." if beaten else f"{text}."
