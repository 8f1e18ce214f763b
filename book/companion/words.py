"""Sentences that are computed: what an interval allows to say, and nothing beyond."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from companion.plotting import regime_style, shown_value
from eecore.evidence import Estimate, interval, verdict

KEPT = "\u00a0"  # a space at which no line breaks
_SAID = {"higher": "**higher**", "lower": "**lower**", "not told apart": "**not told apart**"}
_FROM_ZERO = {"higher": " than zero", "lower": " than zero", "not told apart": " from zero"}


def over_seeds(frame: pd.DataFrame) -> str:
    """Over how many seeds the rows of a frame are means, each data set that has more of them named.

    Args:
        frame: columns dataset and seed.
    Example:
        >>> over_seeds(pd.DataFrame({"dataset": ["a", "a", "b"], "seed": [0, 1, 0]}))
        '1 seed (a: 2)'
    """
    counts = frame.groupby("dataset", sort=False)["seed"].nunique()
    usual = int(counts.min())
    more = ", ".join(f"{name}: {count}" for name, count in counts.items() if count > usual)
    return f"{usual} seed{'s' if usual != 1 else ''}" + (f" ({more})" if more else "")


def verdicts(frame: pd.DataFrame) -> list[str]:
    """The verdict on each row of a frame from tables.differences."""
    rows = frame[["mean", "low", "high", "n"]].itertuples(index=False)
    return [verdict(Estimate(mean, low, high, n, float("nan"))) for mean, low, high, n in rows]


def _pair(a: str, b: str) -> str:
    return f"*{regime_style(a).label}* against *{regime_style(b).label}*"


def in_words(differences: pd.DataFrame, what: str, unit: str = " points", scale: float = 100.0, digits: int = 1) -> str:
    """Differences as a Markdown list: the verdict, the number, its interval and n.

    Args:
        differences: from tables.differences, or from tables.estimates where zero is what a mean is compared with.
        what: the quantity, such as "accuracy at the last exit".
        unit: what stands behind a number; the default is for fractions.
        scale: what numbers are multiplied by.
        digits: after the decimal point.
    """
    lines = []
    paired = {"a", "b"} <= set(differences)
    for row, said in zip(differences.itertuples(), verdicts(differences), strict=True):
        mean, low, high = (f"{scale * number:+.{digits}f}" for number in (row.mean, row.low, row.high))
        numbers = f"{mean}{unit}, {f'95 % interval {low} to {high}' if row.n > 1 else 'no interval'}, n = {row.n}"
        cell = row.label.rsplit(" · ", 1)[0] if paired else row.label
        who = f", {_pair(row.a, row.b)}" if paired else ""
        lines.append(f"- {cell}, {what}{who}: {_SAID[said]}{'' if paired else _FROM_ZERO[said]} ({numbers})")
    return "\n".join(lines)


def tally(differences: pd.DataFrame, cells: str = "data and model") -> str:
    """How often each verdict falls, one sentence for each pair of regimes (from tables.differences) or one regime.

    Args:
        differences: from tables.differences or tables.estimates.
        cells: what the rows of a pair are combinations of.
    """
    sentences = []
    if "a" not in differences:
        for regime, part in differences.groupby("regime", sort=False):
            counted = Counter(verdicts(part))
            sentences.append(
                f"*{regime_style(str(regime)).label}*: of {len(part)} combinations, {counted['higher']} higher than "
                f"zero, {counted['lower']} lower, {counted['not told apart']} not told apart from it."
            )
        return "\n\n".join(sentences)
    for (a, b), part in differences.groupby(["a", "b"], sort=False):
        counted = Counter(verdicts(part))
        sentences.append(
            f"{_pair(a, b)}: of {len(part)} combination{'' if len(part) == 1 else 's'} of {cells}, "
            f"{counted['higher']} higher, "
            f"{counted['lower']} lower, {counted['not told apart']} not told apart."
        )
    return "\n\n".join(sentences)


def verdict_counts(parts: Mapping[str, pd.DataFrame], what: str) -> pd.DataFrame:
    """How often each verdict falls, as text for a table: a row for each quantity and pair of regimes, or each regime.

    Args:
        parts: by the name of a quantity, from tables.differences or tables.estimates.
        what: name of the first column.
    """
    rows = []
    for name, differences in parts.items():
        for key, part in differences.groupby(["a", "b"] if "a" in differences else ["regime"], sort=False):
            compared, counted = " − ".join(regime_style(str(one)).label for one in key), Counter(verdicts(part))
            about = {what: name, "compared": compared, "combinations": str(len(part))}
            rows.append({**about, **{said: str(counted[said]) for said in _SAID}})
    return pd.DataFrame(rows, columns=[what, "compared", "combinations", *_SAID])


def difference_table(parts: Mapping[str, pd.DataFrame], what: str) -> pd.DataFrame:
    """Paired differences in points as text for a table: a row for each quantity and cell, a column for each pair.

    Args:
        parts: by the name of a quantity, from tables.differences of fractions.
        what: name of the first column.
    Returns:
        Columns `what`, "of" (the cell) and one for each pair, such as "mixed − joint". An entry is the mean and the
        interval's ends, starred where the interval leaves zero out; with one seed the mean alone, and "–" where the
        pair was not run.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    pairs: dict[str, str] = {}
    for name, differences in parts.items():
        for row, said in zip(differences.itertuples(), verdicts(differences), strict=True):
            pair = " − ".join(regime_style(regime).label for regime in (row.a, row.b))
            mean, low, high = (f"{100 * number:+.1f}" for number in (row.mean, row.low, row.high))
            star = "" if said == "not told apart" else f"{KEPT}*"
            cell = row.label.rsplit(" · ", 1)[0]
            rows.setdefault((name, cell), {})[pair] = f"{mean} ({low}{KEPT}to{KEPT}{high}){star}" if row.n > 1 else mean
            pairs[pair] = "–"
    return pd.DataFrame([{what: name, "of": cell, **pairs, **there} for (name, cell), there in rows.items()])


def agreement(differences: pd.DataFrame, column: str) -> str:
    """Whether the values of `column` (such as the exit rules) lead to the same verdicts."""
    judged = differences.assign(verdict=verdicts(differences))
    keys = [name for name in ("dataset", "model", "a", "b") if name in judged]
    table = judged.pivot(index=keys, columns=column, values="verdict")
    same = int((table.nunique(axis=1) == 1).sum())
    opposite = int(sum({"higher", "lower"} <= set(row) for row in table.to_numpy().tolist()))
    *most, last = [str(name) for name in table.columns] or [""]
    names = f"{', '.join(most)} and {last}" if most else last
    return (
        f"Under {names}, {same} of {len(table)} comparisons of regimes have the same verdict, and {opposite} have "
        f"opposite ones (higher under one, lower under another)."
    )


def peaks(frame: pd.DataFrame, x: str, y: str, by: Sequence[str], digits: int = 2) -> str:
    """Where along `x` the mean of `y` over seeds is largest, a Markdown line for each cell.

    Args:
        frame: one row per cell, seed and x.
        x, y: columns, such as "exit" and "ratio".
        by: columns that make a cell; "regime" is shown by its name in prose.
        digits: of y.
    """
    lines = []
    for cell, part in frame.groupby(list(by), sort=False):
        means = part.groupby(x)[y].mean()
        best = means.idxmax()
        each = part.loc[part.groupby("seed")[y].idxmax(), x]
        estimate = interval(part.loc[part[x] == best, y])
        spread = f", 95 % interval {estimate.low:.{digits}f} to {estimate.high:.{digits}f}" if estimate.n > 1 else ""
        names = [shown_value(name, value) for name, value in zip(by, cell, strict=True)]
        lines.append(
            f"- {' · '.join(names)}: {x} {best} ({estimate.mean:.{digits}f}{spread}); largest in "
            f"{int((each == best).sum())} of {len(each)} seeds"
        )
    return "\n".join(lines)


def associations(found: pd.DataFrame, titles: Mapping[str, str], level: float = 0.05) -> str:
    """Which measurements go with which outcome, a Markdown line for each outcome.

    Args:
        found: from eecore.evidence.correlations.
        titles: names of the measurements in prose.
        level: of Holm's p.
    """
    lines = []
    for outcome, part in found.groupby("outcome", sort=False):
        clear = part[part["p_holm"] < level].sort_values("r", key=abs, ascending=False)
        named = [f"{titles[row.feature]} ({row.r:+.2f})" for row in clear.itertuples()]
        rest = int(part["p"].notna().sum()) - len(named)
        said = ", ".join(named) or "nothing that stands after the correction"
        lines.append(f"- *{outcome}* goes with: {said}. Not told apart from no correlation: {rest} of the others.")
    return "\n".join(lines)


def unexplained(shares: pd.DataFrame) -> str:
    """What eecore.evidence.explained found, a Markdown line for each outcome."""
    lines = []
    for outcome, part in shares.groupby("outcome", sort=False):
        r2 = part.set_index("predictor")["r2"]
        more = r2["both"] - r2["regime"]
        lines.append(
            f"- *{outcome}*: the regime's name alone explains {r2['regime']:.0%}, the measurements without it "
            f"{r2['measurements']:.0%}, both {r2['both']:.0%}. Beyond the name, the measurements add {100 * more:+.0f} "
            f"points; {1 - r2['both']:.0%} stay unexplained."
        )
    return "\n".join(lines)
