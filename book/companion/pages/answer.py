"""The short answer of the book in computed sentences: which regime is ahead, how often, at which cost of training."""

from collections import Counter

import numpy as np
import pandas as pd
from scipy import stats

from companion import tables, words
from companion.plotting import regime_style
from eecore.evidence import detectable

__all__ = ["answer"]

Pair = tuple[str, str]
_ASKED: list[tuple[str, list[Pair]]] = [
    ("At equal training cost (joint has as many epochs as both phases of mixed)", [("mixed", "joint_long")]),
    (
        "At unequal cost, as many epochs in every phase",
        [("mixed", "joint"), ("disjoint", "joint"), ("mixed", "disjoint")],
    ),
]
_EQUAL = 1.1  # costs are called equal up to this ratio
_ENDS = ("first exit", "last exit")
_CELL = ["dataset", "model"]


def answer(exits: pd.DataFrame, costs: pd.DataFrame) -> str:
    """Who is ahead of whom, counted over the combinations of data and model, with the cost of training, as Markdown.

    Args:
        exits: from tables.per_exit, of any runs; comparisons whose regimes it lacks are left out.
        costs: from tables.training_costs, of the same runs.
    Returns:
        A list with a line for each question, and what so many seeds could have seen; empty where there is nothing to
        compare.
    """
    last = exits.groupby(_CELL)["exit"].transform("max")
    ends = dict(zip(_ENDS, (exits[exits["exit"] == 1], exits[exits["exit"] == last]), strict=True))
    lines = []
    for lead, pairs in _ASKED:
        asked = [pair for pair in pairs if set(pair) <= set(exits["regime"])]
        told = [_told(ends, pair, _ratio(costs, pair)) for pair in asked]
        lines += [f"- **{lead}:** {'; '.join(told)}."] if told else []
    cells = len(exits[_CELL].drop_duplicates())
    of = f"Of {cells} combination{'s' if cells != 1 else ''} of data and model, counted where the 95 % interval of the "
    said = f"{of}difference is without zero:\n\n" + "\n".join(lines) if lines else ""
    fair = _ASKED[0][1][0]
    return said + (f"\n\n{_seen(ends['last exit'], fair)}" if set(fair) <= set(exits["regime"]) else "")


def _ratio(costs: pd.DataFrame, pair: Pair) -> float:
    """Training multiply-adds of a over those of b; each combination counts once."""
    spent = costs.groupby([*_CELL, "regime"])["training_macs"].mean().unstack("regime")
    return float((spent[pair[0]] / spent[pair[1]]).mean())


def _told(ends: dict[str, pd.DataFrame], pair: Pair, ratio: float) -> str:
    """One comparison at both exits: who is ahead more often, the counts, and what it cost."""
    said = [_at(end, part, pair) for end, part in ends.items()]
    a, b = (regime_style(name).label for name in pair)
    if ratio < 1:
        a, b, ratio = b, a, 1 / ratio
    cost = "" if ratio < _EQUAL else f" (*{a}* took {ratio:.1f} times the training of *{b}*)"
    return f"{said[0]}; {said[1]}{cost}"


def _at(end: str, part: pd.DataFrame, pair: Pair) -> str:
    found = Counter(words.verdicts(tables.differences(part, "accuracy", [pair], _CELL)))
    a, b = (regime_style(name).label for name in pair)
    higher, lower, total = found["higher"], found["lower"], found.total()
    if higher == lower:
        return f"neither *{a}* nor *{b}* leads at the {end} ({higher} and {lower} of {total})"
    first, second, most, least = (a, b, higher, lower) if higher > lower else (b, a, lower, higher)
    return f"*{first}* beats *{second}* at the {end} in {most} of {total}, and loses in {least}"


def _seen(part: pd.DataFrame, pair: Pair) -> str:
    """How large a difference must be for these seeds to show it in four of five experiments: the median combination."""
    found = tables.differences(part, "accuracy", [pair], _CELL)
    found = found[(found["n"] > 1) & (found["high"] > found["low"])]
    if found.empty:
        return "One seed shows no difference, however large: there is no interval."
    t = stats.t.ppf(0.975, found["n"] - 1)
    sd = (found["high"] - found["low"]) / 2 / t * np.sqrt(found["n"])
    least = np.median([detectable(float(s), int(n)) for s, n in zip(sd, found["n"], strict=True)])
    a, b = (regime_style(name).label for name in pair)
    return (
        f"*Neither* is no proof of equality: between *{a}* and *{b}* at the last exit these seeds would show a true "
        f"difference of {100 * least:.1f} points in four of five experiments (median over combinations), a smaller one "
        "less often."
    )
