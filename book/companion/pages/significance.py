"""Every comparison of two regimes, tested in three ways and corrected for their number; and how many seeds it takes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from companion.pages.contrasts import each_difference
from companion.plotting import regime_style
from eecore.errors import SettingError
from eecore.evidence import (
    between_cells,
    bootstrap_interval,
    corrected,
    detectable,
    hedges_g,
    interval,
    seeds_needed,
    sign_flip,
)

__all__ = [
    "across_cells",
    "compared",
    "compared_table",
    "needed",
    "needed_in_words",
    "needed_table",
    "survivors_in_words",
    "variance_in_text",
    "variance_in_words",
]


def compared(
    frame: pd.DataFrame,
    value: str,
    pairs: Sequence[tuple[str, str]],
    by: Sequence[str],
    level: float = 0.95,
    correction: str = "holm",
) -> pd.DataFrame:
    """Paired differences between regimes with t and bootstrap intervals, two tests, their correction and effect sizes.

    Args:
        frame, value, pairs, by: as in `tables.differences`.
        level: of the intervals, in (0, 1).
        correction: of the p values of the t test over all rows that come out, see evidence.CORRECTIONS.
    Returns:
        The columns of `by`, a, b, label, mean, sd, low, high (t interval), boot_low, boot_high (fractions), n, p (t
        test), p_flip (sign flips), p_corrected, g (Hedges'), in the order of `tables.differences`. Pairs without a
        common seed in a cell are left out.
    """
    rows = []
    for cell, part in frame.groupby(list(by), sort=False):
        names = dict(zip(by, cell, strict=True))
        here = [pair for pair in pairs if set(pair) <= set(part["regime"])]
        each = each_difference(part, value, here, by) if here else pd.DataFrame({"pair": []})
        for a, b in here:
            label = f"{regime_style(a).label} − {regime_style(b).label}"
            values = each.loc[each["pair"] == label, "difference"]
            if not values.empty:
                about = {**names, "a": a, "b": b, "label": " · ".join([*map(str, names.values()), label])}
                rows.append({**about, **_row(values, level)})
    table = pd.DataFrame(rows)
    if table.empty:
        raise SettingError("pairs: none of them occurs in the frame")
    return table.assign(p_corrected=corrected(table["p"], correction))


def _row(values: pd.Series, level: float) -> dict[str, float]:
    found = interval(values, level)
    low, high = bootstrap_interval(values, level)
    numbers = {"mean": found.mean, "sd": found.sd, "low": found.low, "high": found.high}
    numbers |= {"boot_low": low, "boot_high": high, "n": found.n, "p": found.p, "p_flip": sign_flip(values)}
    return {**numbers, "g": hedges_g(values)}


def survivors_in_words(table: pd.DataFrame, level: float = 0.95) -> str:
    """How many comparisons keep a verdict under each test, one sentence for each pair of regimes.

    Args:
        table: from `compared`.
        level: 1 minus the level of the tests.
    """
    lines = []
    for (a, b), part in table.groupby(["a", "b"], sort=False):
        counts = {
            "their t interval": part["p"] < 1 - level,
            "the sign-flip test": part["p_flip"] < 1 - level,
            "the t test after correction": part["p_corrected"] < 1 - level,
        }
        said = ", ".join(f"{int(told.sum())} by {name}" for name, told in counts.items())
        left = part[part["p_corrected"] < 1 - level]["mean"]
        lines.append(
            f"- *{regime_style(a).label}* − *{regime_style(b).label}*, {len(part)} comparisons: told apart are {said} "
            f"({int((left > 0).sum())} higher, {int((left < 0).sum())} lower)."
        )
    return "\n".join(lines)


def compared_table(table: pd.DataFrame, cell: Sequence[str] = ("dataset", "model")) -> pd.DataFrame:
    """`compared` as text in percentage points: the difference with both intervals, n, three p values and g."""
    points = {name: 100 * table[name] for name in ("mean", "low", "high", "boot_low", "boot_high")}
    text = pd.DataFrame(points).map(lambda number: "–" if np.isnan(number) else f"{number:+.1f}")
    out = table[list(cell)].astype(str)
    pairs = zip(table["a"], table["b"], strict=True)
    out["difference"] = [f"{regime_style(a).label} − {regime_style(b).label}" for a, b in pairs]
    out["mean"] = text["mean"]
    out["t interval"] = "[" + text["low"] + ",\u00a0" + text["high"] + "]"  # a space at which no line breaks
    out["bootstrap"] = "[" + text["boot_low"] + ",\u00a0" + text["boot_high"] + "]"
    out["n"] = table["n"].astype(str)
    for title, name in {"p (t)": "p", "p (sign flips)": "p_flip", "p (corrected)": "p_corrected"}.items():
        out[title] = ["–" if np.isnan(p) else "<\u00a00.001" if p < 0.001 else f"{p:.3f}" for p in table[name]]
    out["g"] = ["–" if np.isnan(g) else f"{g:+.1f}" for g in table["g"]]
    return out


def across_cells(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """For each pair of regimes: the difference over all cells as text, in percentage points, and in one more cell."""
    rows = []
    for (a, b), part in table.groupby(["a", "b"], sort=False):
        found = between_cells(part, level)
        mean = found.mean
        near = "–" if np.isnan(mean.low) else f"[{100 * mean.low:+.1f}, {100 * mean.high:+.1f}]"
        new = [100 * found.new_low, 100 * found.new_high]
        rows.append(
            {
                "difference": f"{regime_style(a).label} − {regime_style(b).label}",
                "combinations": str(mean.n),
                "mean": f"{100 * mean.mean:+.1f}",
                f"{level:.0%} interval of the mean": near,
                "spread between combinations": "–" if np.isnan(found.spread) else f"{100 * found.spread:.1f}",
                "one more combination": "–" if np.isnan(new[0]) else f"[{new[0]:+.1f}, {new[1]:+.1f}]",
            }
        )
    return pd.DataFrame(rows)


def needed(table: pd.DataFrame, sizes: Sequence[float], level: float = 0.95, chance: float = 0.8) -> pd.DataFrame:
    """For each pair of regimes: seeds that a difference needs to be seen, from how much differences vary over seeds.

    Args:
        table: from `compared`.
        sizes: true differences, as fractions.
        level, chance: as in evidence.seeds_needed.
    Returns:
        One row per pair and size: a, b, pair, size, sd (root mean square over cells, fraction), seeds (inf: more than
        100 000), and detectable (the smallest difference that the median number of seeds shows). Pairs that do not vary
        are left out.
    """
    rows = []
    for (a, b), part in table.groupby(["a", "b"], sort=False):
        sd = float(np.sqrt((part["sd"].dropna() ** 2).mean())) if part["sd"].notna().any() else 0.0
        if not sd > 0:
            continue
        least = detectable(sd, int(part["n"].median()), chance, level)
        pair = f"{regime_style(a).label} − {regime_style(b).label}"
        for size in sizes:
            about = {"a": a, "b": b, "pair": pair, "size": size, "sd": sd, "detectable": least}
            rows.append({**about, "seeds": seeds_needed(size, sd, chance, level)})
    return pd.DataFrame(rows)


def needed_table(needs: pd.DataFrame) -> pd.DataFrame:
    """`needed` with a column exit, as text: one row per exit and pair, one column per size in percentage points."""
    sizes = {size: f"{100 * size:g}" for size in sorted(needs["size"].unique())}
    seeds = needs["seeds"].map(lambda n: f"{n:.0f}" if np.isfinite(n) else "> 100000")
    wide = needs.assign(text=seeds, column=needs["size"].map(sizes)).pivot(
        index=["exit", "pair", "sd", "detectable"], columns="column", values="text"
    )
    out = wide[list(sizes.values())].reset_index()
    out.columns.name = None
    for name in ("sd", "detectable"):
        out[name] = [f"{100 * number:.2f}" for number in out[name]]
    return out.rename(columns={"pair": "difference", "sd": "sd over seeds", "detectable": "seen with these seeds"})


def needed_in_words(needs: pd.DataFrame) -> str:
    """What differences can be seen here at all, in a sentence, from `needed`."""
    least = 100 * needs["detectable"]
    one = needs.loc[(needs["size"] - 0.01).abs() < 1e-9, "seeds"]
    said = f"With the seeds of this page, differences of {least.min():.1f} to {least.max():.1f} points are seen with a "
    said += (
        "chance of 80 %, depending on the comparison; smaller ones mostly are not told apart, even where they exist."
    )
    if one.empty:
        return said
    return f"{said} For one point it takes {one.min():.0f} to {one.max():.0f} seeds."


def variance_in_text(shares: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of evidence.variance_table beside each other: share of the sum of squares (%), and p value."""
    out = pd.DataFrame()
    for where, table in shares.items():
        out["term"] = table["term"]
        p = ["" if np.isnan(p) else " (p < 0.001)" if p < 0.001 else f" (p = {p:.3f})" for p in table["p"]]
        out[where] = [f"{100 * share:.1f} %{said}" for share, said in zip(table["share"], p, strict=True)]
    return out


def variance_in_words(shares: Mapping[str, pd.DataFrame]) -> str:
    """How much of the variation the regime explains, alone and in combination, a sentence for each table."""
    lines = []
    for where, table in shares.items():
        share = table.set_index("term")["share"]
        outside = share["dataset"] + share["model"] + share["dataset × model"]
        together = sum(share[term] for term in share.index if "× regime" in term)
        luck = share["seed, within data and model"] + share["what is left"]
        lines.append(
            f"- *{where}*: data and network explain {outside:.1%} of how accuracies vary; the regime by itself "
            f"{share['regime']:.1%}, and by what it does in some combinations and not in others {together:.1%}; seeds "
            f"{luck:.1%}."
        )
    return "\n".join(lines)
