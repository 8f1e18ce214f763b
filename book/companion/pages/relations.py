"""Tables for the pages that relate networks and measurements to each other."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from companion.plotting import regime_order, regime_style
from companion.tables import RUN_COLUMNS, areas, last_exit, per_exit
from eecore.training import Result


def pair_names(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame from over_pairs(regime_pairs(...)) with the columns pair ("joint and mixed", in that order) and seed."""
    names = [" and ".join(regime_order(pair)) for pair in zip(frame["regime_a"], frame["regime_b"], strict=True)]
    return frame.assign(pair=names, seed=frame["seed_a"])


def mean_of_regimes(frame: pd.DataFrame, value: str, by: Sequence[str]) -> pd.DataFrame:
    """A frame from over_pairs(seed_pairs(...)), averaged over regimes: a row per data set, model, pair, seed, `by`."""
    keys = ["dataset", "model", "pair", "seed_a", *by]
    return frame.groupby(keys, sort=False)[value].mean().reset_index().rename(columns={"seed_a": "seed"})


def side_by_side_gains(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Differences of several quantities in one table of text, in percentage points with 95 % intervals.

    Args:
        parts: title of a column -> frame from `differences`, all with the same cells and pairs; the first one gives
            the order.
    """
    columns = {}
    for title, part in parts.items():
        known = part.set_index(["dataset", "model", "a", "b"])
        rows = zip(known["mean"], known["low"], known["high"], strict=True)
        texts = [
            f"{100 * mean:+.1f}" + ("" if np.isnan(low) else f" [{100 * low:.1f}, {100 * high:.1f}]")
            for mean, low, high in rows
        ]
        columns[title] = pd.Series(texts, index=known.index)
    order = next(iter(columns.values())).index  # a union of indices in different orders would be sorted
    table = pd.DataFrame(columns, index=order).reset_index()
    against = [
        f"{regime_style(a).label} − {regime_style(b).label}" for a, b in zip(table["a"], table["b"], strict=True)
    ]
    table.insert(2, "difference", against)
    return table.drop(columns=["a", "b"])


def outcomes(results: Iterable[Result]) -> pd.DataFrame:
    """One row per run: accuracy on test of the first and of the last exit, and the area under the curve (fractions)."""
    runs = list(results)
    exits = per_exit(runs)
    parts = {
        "first exit": exits[exits["exit"] == 1].set_index(RUN_COLUMNS)["accuracy"],
        "last exit": last_exit(runs).set_index(RUN_COLUMNS)["accuracy"],
        "area under the curve": areas(runs).set_index(RUN_COLUMNS)["area"],
    }
    return pd.DataFrame(parts).reset_index()


def correlation_table(found: pd.DataFrame, titles: Mapping[str, str], level: float = 0.05) -> pd.DataFrame:
    """Correlations from eecore.evidence.correlations as text: one row per measurement, one column per outcome.

    Args:
        found: the frame.
        titles: names of the measurements in prose.
        level: a star stands where Holm's p is below it.
    """
    texts = [
        "–" if np.isnan(row.r) else f"{row.r:+.2f} [{row.low:+.2f}, {row.high:+.2f}]{'*' if row.p_holm < level else ''}"
        for row in found.itertuples()
    ]
    table = found.assign(text=texts, measurement=found["feature"].map(titles))
    wide = table.pivot(index="measurement", columns="outcome", values="text")
    order = [titles[name] for name in dict.fromkeys(found["feature"])]
    wide = wide.loc[order, list(dict.fromkeys(found["outcome"]))].reset_index()
    wide.columns.name = None
    return wide
