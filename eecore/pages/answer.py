"""The short answer of the book in computed sentences: which regime is ahead, how often, at which cost."""

from collections import Counter

import pandas as pd

from eecore import tables, words
from eecore.plotting import regime_style

__all__ = ["answer"]

Pair = tuple[str, str]
_ASKED: list[tuple[str, list[Pair]]] = [
    ("With equal epochs in every phase", [("mixed", "joint")]),
    ("With equal training cost (joint has as many epochs as both phases of mixed)", [("mixed", "joint_long")]),
    ("With heads on a finished backbone instead", [("disjoint", "joint"), ("disjoint", "mixed")]),
]
_ENDS = ("first exit", "last exit")


def answer(exits: pd.DataFrame) -> str:
    """Who is ahead of whom, counted over the combinations of data and model, as Markdown.

    Args:
        exits: from tables.per_exit, of any runs; comparisons whose regimes it lacks are left out.
    Returns:
        A list with a line for each question; empty where there is nothing to compare.
    """
    last = exits.groupby(["dataset", "model"])["exit"].transform("max")
    ends = dict(zip(_ENDS, (exits[exits["exit"] == 1], exits[exits["exit"] == last]), strict=True))
    lines = []
    for lead, pairs in _ASKED:
        asked = [pair for pair in pairs if set(pair) <= set(exits["regime"])]
        told = [_told(end, part, pair) for pair in asked for end, part in ends.items()]
        lines += [f"- **{lead}:** {'; '.join(told)}."] if told else []
    cells = len(exits[["dataset", "model"]].drop_duplicates())
    of = f"Of {cells} combination{'s' if cells != 1 else ''} of data and model, counted where the 95 % interval of the "
    return f"{of}difference is without zero:\n\n" + "\n".join(lines) if lines else ""


def _told(end: str, part: pd.DataFrame, pair: Pair) -> str:
    """One comparison at one exit: who is ahead more often, and the counts."""
    found = Counter(words.verdicts(tables.differences(part, "accuracy", [pair], ["dataset", "model"])))
    a, b = (regime_style(name).label for name in pair)
    higher, lower, total = found["higher"], found["lower"], found.total()
    if higher == lower:
        return f"neither *{a}* nor *{b}* leads at the {end} ({higher} and {lower} of {total})"
    first, second, most, least = (a, b, higher, lower) if higher > lower else (b, a, lower, higher)
    return f"*{first}* beats *{second}* at the {end} in {most} of {total}, and loses in {least}"
