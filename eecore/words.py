"""Sentences that are computed: what an interval allows to say, and nothing beyond."""

from collections import Counter

import pandas as pd

from eecore.evidence import Estimate, verdict
from eecore.plotting import regime_style

_SAID = {"higher": "**higher**", "lower": "**lower**", "not told apart": "**not told apart**"}


def _verdicts(frame: pd.DataFrame) -> list[str]:
    """The verdict on each row of a frame from tables.differences."""
    rows = frame[["mean", "low", "high", "n"]].itertuples(index=False)
    return [verdict(Estimate(mean, low, high, n, float("nan"))) for mean, low, high, n in rows]


def _pair(a: str, b: str) -> str:
    return f"*{regime_style(a).label}* against *{regime_style(b).label}*"


def in_words(differences: pd.DataFrame, what: str) -> str:
    """Differences as a Markdown list: the verdict, the number, its interval and n.

    Args:
        differences: from tables.differences, fractions.
        what: the quantity, such as "accuracy at the last exit".
    """
    lines = []
    for row, said in zip(differences.itertuples(), _verdicts(differences), strict=True):
        interval = f", 95 % interval {100 * row.low:+.1f} to {100 * row.high:+.1f}" if row.n > 1 else ", no interval"
        numbers = f"{100 * row.mean:+.1f} points{interval}, n = {row.n}"
        cell = row.label.rsplit(" · ", 1)[0]
        lines.append(f"- {cell}, {what}, {_pair(row.a, row.b)}: {_SAID[said]} ({numbers})")
    return "\n".join(lines)


def tally(differences: pd.DataFrame) -> str:
    """How often each verdict falls, one sentence for each pair of regimes."""
    sentences = []
    for (a, b), part in differences.groupby(["a", "b"], sort=False):
        counted = Counter(_verdicts(part))
        sentences.append(
            f"{_pair(a, b)}: of {len(part)} combinations of data and model, {counted['higher']} higher, "
            f"{counted['lower']} lower, {counted['not told apart']} not told apart."
        )
    return "\n\n".join(sentences)


def agreement(differences: pd.DataFrame, column: str) -> str:
    """Whether the values of `column` (such as the exit rules) lead to the same verdicts."""
    judged = differences.assign(verdict=_verdicts(differences))
    keys = [name for name in ("dataset", "model", "a", "b") if name in judged]
    table = judged.pivot(index=keys, columns=column, values="verdict")
    same = int((table.nunique(axis=1) == 1).sum())
    opposite = int(sum({"higher", "lower"} <= set(row) for row in table.to_numpy().tolist()))
    names = " and ".join(map(str, table.columns))
    return (
        f"Under {names}, {same} of {len(table)} comparisons of regimes have the same verdict, and {opposite} have "
        f"opposite ones (higher under one, lower under another)."
    )
