"""Sentences and tables about sharpness and barriers: what the intervals over seeds allow to say."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from companion import tables
from companion.plotting import regime_style
from eecore.errors import SettingError, choose
from eecore.evidence import Estimate, verdict

LIMIT = 0.01  # of the error's barrier, a fraction: below it two networks lie in one basin
ONE, TWO, UNDECIDED = "one basin", "two basins", "undecided"


def doublings(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """`frame` with a column `doublings`, the logarithm to base 2 of `value`: differences of it are ratios.

    Raises:
        SettingError: a value is not above 0.
    """
    if not (frame[value] > 0).all():
        raise SettingError(f"{value}: expected numbers above 0 to take logarithms of")
    return frame.assign(doublings=np.log2(frame[value].to_numpy(dtype=float)))


def ratios_in_words(differences: pd.DataFrame, what: str) -> str:
    """Ratios of two regimes as a Markdown list: the verdict, the ratio, its interval and n.

    Args:
        differences: from `tables.differences` of the column that `doublings` adds.
        what: the quantity, such as "sharpness at the last exit".
    """
    said = {"higher": "**sharper**", "lower": "**flatter**", "not told apart": "**not told apart**"}
    lines = []
    for row in differences.itertuples():
        verdict_ = said[verdict(Estimate(row.mean, row.low, row.high, row.n, float("nan")))]
        middle, low, high = (f"{2**number:.2f}" for number in (row.mean, row.low, row.high))
        numbers = f"{middle} times" + (f", 95 % interval {low} to {high}" if row.n > 1 else ", no interval")
        cell = row.label.rsplit(" · ", 1)[0]
        pair = f"*{regime_style(row.a).label}* against *{regime_style(row.b).label}*"
        lines.append(f"- {cell}, {what}, {pair}: {verdict_} ({numbers}, n = {row.n})")
    return "\n".join(lines)


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with a column `pair`, such as "disjoint – mixed" or "joint, two seeds".

    Args:
        frame: from `over_pairs`, columns regime_a, regime_b, seed_a, seed_b.
    """
    labels = {name: regime_style(str(name)).label for name in {*frame["regime_a"], *frame["regime_b"]}}
    sides = zip(frame["regime_a"], frame["regime_b"], frame["seed_a"] == frame["seed_b"], strict=True)
    pairs = [
        (labels[a] if a == b else f"{labels[a]} – {labels[b]}") + ("" if same else ", two seeds")
        for a, b, same in sides
    ]
    return frame.assign(pair=pairs)


def at_exit(frame: pd.DataFrame, exit: int | str = "last") -> pd.DataFrame:
    """The rows of one exit: a number, "mean", or "last", each model's own.

    Args:
        frame: columns model and exit (1..K and perhaps "mean").
        exit: which.
    Raises:
        SettingError: a word that is neither of the two.
    """
    if isinstance(exit, str):
        choose("exit", exit, ("last", "mean"))
    if exit != "last":
        return frame[frame["exit"] == exit]
    numbers = pd.to_numeric(frame["exit"], errors="coerce")
    return frame[numbers == numbers.groupby(frame["model"]).transform("max")]


def basin_table(
    barriers: pd.DataFrame, value: str = "error", limit: float = LIMIT, by: Sequence[str] = ("dataset", "model", "pair")
) -> pd.DataFrame:
    """For each pair of regimes: the barrier's mean over seeds, its interval, and what it decides.

    One basin: the interval of the mean barrier lies below the limit. Two basins: it lies above. Else, and where there
    is no interval, undecided.

    Args:
        barriers: one row per cell and seed, see `named` and `at_exit`.
        value: "error" (fraction) or "loss" (nats).
        limit: in the unit of `value`.
        by: columns that make a cell.
    Returns:
        As `tables.estimates`, and verdict.
    """
    table = tables.estimates(barriers, value, by)
    judged = zip(table["low"], table["high"], strict=True)
    return table.assign(verdict=[ONE if high < limit else TWO if low > limit else UNDECIDED for low, high in judged])


def basins_in_words(table: pd.DataFrame, where: str) -> str:
    """A Markdown list: each cell of a `basin_table` of error barriers with its verdict, barrier and interval."""
    lines = []
    for row in table.itertuples():
        numbers = f"{100 * row.mean:.1f} points"
        numbers += f", 95 % interval {100 * row.low:.1f} to {100 * row.high:.1f}" if row.n > 1 else ", no interval"
        lines.append(f"- {row.label}, {where}: **{row.verdict}** (barrier {numbers}, n = {row.n})")
    return "\n".join(lines)


def change_of_way(barriers: pd.DataFrame, value: str, way: str = "aligned", to: str = "straight") -> pd.DataFrame:
    """By how much one way between two networks changes the barrier of another way between the same two.

    Args:
        barriers: one row per pair of networks and way, see `connectivity_measures.barriers` and `named`.
        value: "error" (fraction) or "loss" (nats).
        way, to: values of the column way.
    Returns:
        Columns dataset, model, pair, seed_a, seed_b, change (`way` minus `to`).
    Raises:
        SettingError: one of the ways is not there, or a pair of networks has several rows for one way.
    """
    keys = ["dataset", "model", "pair", "regime_a", "regime_b", "seed_a", "seed_b"]
    if barriers.duplicated([*keys, "way"]).any():
        raise SettingError("barriers: several rows for one pair of networks and way; take one exit, see at_exit")
    wide = barriers.pivot(index=keys, columns="way", values=value)
    if not {way, to} <= set(wide):
        raise SettingError(f"way: expected {way!r} and {to!r}, got {', '.join(map(str, wide.columns))}")
    return (wide[way] - wide[to]).rename("change").reset_index().drop(columns=["regime_a", "regime_b"])


def claim_in_words(table: pd.DataFrame) -> str:
    """Whether "disjoint and mixed share a basin, joint lies in another" holds, for each data set and model.

    It holds where disjoint – mixed is one basin and both pairs with joint are two; it fails where one of the three is
    decided the other way; else it is undecided.

    Args:
        table: a `basin_table` of pairs of regimes with the same seed.
    """
    expected = {frozenset(("disjoint", "mixed")): ONE, frozenset(("disjoint", "joint")): TWO}
    expected[frozenset(("joint", "mixed"))] = TWO
    lines, tally = [], {"holds": 0, "fails": 0, UNDECIDED: 0}
    for (dataset, model), part in table.groupby(["dataset", "model"], sort=False):
        found = {frozenset(row.pair.split(" – ")): row.verdict for row in part.itertuples()}
        if set(expected) - set(found):
            return "The claim needs the regimes disjoint, joint and mixed; not all three are here."
        against = [pair for pair, said in expected.items() if found[pair] not in (said, UNDECIDED)]
        said = "fails" if against else "holds" if all(found[p] == s for p, s in expected.items()) else UNDECIDED
        tally[said] += 1
        share, *apart = (found[pair] for pair in expected)
        detail = f"disjoint and mixed: {share}; disjoint and joint: {apart[0]}; joint and mixed: {apart[1]}"
        lines.append(f"- {dataset} · {model}: the claim **{said if said != UNDECIDED else 'is undecided'}** ({detail})")
    counted = (
        f"Of {len(lines)} combinations of data and model, it holds in {tally['holds']}, fails in {tally['fails']} "
    )
    return "\n".join(lines) + f"\n\n{counted}and is undecided in {tally[UNDECIDED]}."
