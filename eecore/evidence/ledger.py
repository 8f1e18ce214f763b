"""Verdicts on claims, from numbers alone: supported, contradicted or undecided.

A *cell* is a combination of data and model. A reading of a claim is tested in each cell by a t test over seeds; a cell
is *for* it or *against* it where the test says so after correction over the cells of the reading, else *open*.

- A reading that holds "in most" is supported where more than a given share of its cells is for it and none against, and
  contradicted the other way round.
- A reading that holds "in some" is supported where a cell is for it, and contradicted where all are against.
- Else, and where nothing was measured, it is undecided.
- A claim is supported where all its readings are, contradicted where one is, else undecided.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from eecore.errors import SettingError
from eecore.evidence.claims import Claim, Reading
from eecore.evidence.paired import interval
from eecore.evidence.resampling import corrected

__all__ = ["CONTRADICTED", "SUPPORTED", "UNDECIDED", "cell_verdicts", "claim_verdicts", "reading_verdicts"]

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
FOR, AGAINST, OPEN = "for", "against", "open"
VALUES = ["reading", "source", "dataset", "model", "seed", "value"]


def cell_verdicts(
    values: pd.DataFrame, readings: Mapping[str, Reading], level: float = 0.95, correction: str = "holm"
) -> pd.DataFrame:
    """Each reading in each cell: the mean over seeds, its interval, its test and the side that it takes.

    Args:
        values: one row per reading, source (such as "grid" or "records"), dataset, model and seed: `value`, the number
            whose mean is compared with the reading's reference, in the same unit.
        readings: by name; rows of other readings are left out.
        level: of the intervals, and 1 minus the level of the tests, in (0, 1).
        correction: over the cells of a reading from one source, see evidence.CORRECTIONS.
    Returns:
        Columns reading, source, dataset, model, mean, low, high (not corrected), n (seeds), p, p_corrected, side.
    Raises:
        SettingError: a column is missing, a value is not finite, or an argument is not as above.
    """
    absent = set(VALUES) - set(values)
    if absent:
        raise SettingError(f"values: lacks the columns {', '.join(sorted(absent))}")
    columns = [*VALUES[:4], "mean", "low", "high", "n", "p"]
    rows = []
    for keys, part in values[values["reading"].isin(list(readings))].groupby(VALUES[:4], sort=False):
        reference = readings[str(keys[0])].reference
        found = interval(part["value"] - reference, level)
        numbers = (found.mean + reference, found.low + reference, found.high + reference, found.n, found.p)
        rows.append(dict(zip(columns, (*keys, *numbers), strict=True)))
    table = pd.DataFrame(rows, columns=columns)
    table["p_corrected"] = np.nan
    for _, part in table.groupby(["reading", "source"]):
        table.loc[part.index, "p_corrected"] = corrected(part["p"], correction)
    table["side"] = [_side(readings[row.reading], row.mean, row.p_corrected, level) for row in table.itertuples()]
    return table


def _side(reading: Reading, mean: float, p: float, level: float) -> str:
    if not p < 1 - level:
        return OPEN
    return FOR if (mean > reading.reference) == (reading.expects == "above") else AGAINST


def reading_verdicts(
    cells: pd.DataFrame, readings: Mapping[str, Reading], agreement: float = 0.5, level: float = 0.95
) -> pd.DataFrame:
    """The verdict on each reading from each source.

    Args:
        cells: from `cell_verdicts`.
        readings: by name; one that has no cells is undecided.
        agreement: share of the cells, more of which must be for a reading that holds "in most", in [0, 1).
        level: of the interval of the effect.
    Returns:
        One row per reading and source: claim, reading, source, verdict, effect, low, high, cells, supporting, opposing,
        n (numbers of all cells), p (least corrected p value of a cell), page. The effect is the mean over cells, each
        counts once, with its t interval over cells; of a single cell its mean and interval over seeds.
    Raises:
        SettingError: `agreement` is not in [0, 1).
    """
    if not 0 <= agreement < 1:
        raise SettingError(f"agreement: expected a share in [0, 1), got {agreement}")
    rows = []
    for source in list(cells["source"].unique()) or [""]:
        for name, reading in readings.items():
            part = cells[(cells["reading"] == name) & (cells["source"] == source)]
            counts = {side: int((part["side"] == side).sum()) for side in (FOR, AGAINST)}
            about = {"claim": reading.claim, "reading": name, "source": source}
            judged = {"verdict": _judge(reading, len(part), counts[FOR], counts[AGAINST], agreement)}
            sides = {"cells": len(part), "supporting": counts[FOR], "opposing": counts[AGAINST]}
            rest = {"n": int(part["n"].sum()), "p": part["p_corrected"].min(), "page": reading.page}
            rows.append({**about, **judged, **_effect(part, level), **sides, **rest})
    return pd.DataFrame(rows)


def _judge(reading: Reading, cells: int, supporting: int, opposing: int, agreement: float) -> str:
    if cells == 0:
        return UNDECIDED
    if reading.holds == "some":
        return SUPPORTED if supporting else CONTRADICTED if opposing == cells else UNDECIDED
    if supporting > agreement * cells and not opposing:
        return SUPPORTED
    return CONTRADICTED if opposing > agreement * cells and not supporting else UNDECIDED


def _effect(part: pd.DataFrame, level: float) -> dict[str, float]:
    if part.empty:
        return dict.fromkeys(("effect", "low", "high"), float("nan"))
    if len(part) == 1:
        return {"effect": part["mean"].iloc[0], "low": part["low"].iloc[0], "high": part["high"].iloc[0]}
    found = interval(part["mean"], level)
    return {"effect": found.mean, "low": found.low, "high": found.high}


def claim_verdicts(judged: pd.DataFrame, claims: Iterable[Claim]) -> pd.DataFrame:
    """The verdict on each claim from each source.

    Args:
        judged: from `reading_verdicts`.
        claims: those that are asked for.
    Returns:
        One row per claim and source: claim, title, source, verdict, readings, supported, contradicted, measured
        (readings that have cells).
    """
    rows = []
    for source in judged["source"].unique():
        for claim in claims:
            part = judged[(judged["claim"] == claim.name) & (judged["source"] == source)]
            counts = {said: int((part["verdict"] == said).sum()) for said in (SUPPORTED, CONTRADICTED)}
            said = CONTRADICTED if counts[CONTRADICTED] else SUPPORTED if counts[SUPPORTED] == len(part) else UNDECIDED
            about = {"claim": claim.name, "title": claim.title, "source": source, "verdict": said}
            measured = int((part["cells"] > 0).sum())
            rows.append({**about, "readings": len(part), **counts, "measured": measured})
    return pd.DataFrame(rows)
