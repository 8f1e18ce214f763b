"""What the claims speak of, measured: one number per reading, data, model and seed, from runs and from records."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion import tables
from companion.lab import Records
from eecore import inference
from eecore.analysis import synthesis
from eecore.evidence import CLAIMS, Reading, cell_verdicts, claim_verdicts, reading_verdicts, readings
from eecore.training import Result

__all__ = ["GRID", "RECORDS", "REGIMES", "Ledger", "ledger", "measured_in_records", "measured_in_runs", "values"]

GRID, RECORDS = "grid", "records"  # where numbers come from
REGIMES = ("disjoint", "joint", "mixed", "joint_long")  # that the claims speak of
RULES = ("confidence", "entropy")
LOW, FULL = 0.25, 1.0  # budgets, as fractions of the backbone's cost
RUN = tables.RUN_COLUMNS
ANALYSES = ("middle_pull", "rank_first", "rank_last", "barrier")  # columns of synthesis.characteristics


def measured_in_runs(
    results: Iterable[Result],
    analysed: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Every number that a claim speaks of, of every run.

    Args:
        results: runs of the regimes that are compared.
        analysed: models whose networks are analysed as on the page that relates measurements to accuracies (gradients,
            ranks, barriers; see `synthesis.characteristics`); of the others only the accuracies are known.
        seeds: those of the analysed runs; None: all. Analyses take longer than accuracies.
        progress: show bars.
    Returns:
        One row per measure and run: measure, dataset, model, regime, seed, value (fractions). Measures: "area" and
        "area_entropy" (under the accuracy-cost curve), "within" and "within_low" (accuracy within 100 and 25 % of the
        backbone's cost, threshold from validation), "last" (accuracy of the last exit), and those of `analysed`. What a
        run does not have is left out.
    """
    runs = list(results)
    within = tables.budgets(runs, fractions=(LOW, FULL))
    within = within[within["choice"] == "validation"]
    parts = {
        "area": _named(tables.areas(runs), "area"),
        "area_entropy": _named(tables.areas(runs, RULES[1]), "area"),
        "within_low": _named(within[within["budget"] == LOW], "accuracy"),
        "within": _named(within[within["budget"] == FULL], "accuracy"),
        "last": _named(tables.last_exit(runs), "accuracy"),
    }
    looked_into = [run for run in runs if run.run.model in set(analysed)]
    seen = [run for run in looked_into if seeds is None or run.run.seed in set(seeds)]
    if seen:
        found = synthesis.characteristics(seen, progress)
        parts |= {name: _named(found, name) for name in ANALYSES}
    return tables.stacked(parts, "measure").dropna(subset=["value"]).reset_index(drop=True)


def measured_in_records(found: Records) -> pd.DataFrame:
    """The same of published records, as far as they have it: accuracies, budgets and areas of classifications.

    Args:
        found: records; those that are stale are left out.
    """
    frames = (found.exits, found.budgets, found.curves)
    exits, budgets, curves = (frame[frame["state"] == "current"] for frame in frames)
    exits = exits[(exits["split"] == "test") & exits["accuracy"].notna()]
    within = budgets[(budgets["choice"] == "validation") & (budgets["rule"] == RULES[0])]
    areas = [
        {**dict(zip(RUN, keys[:4], strict=True)), "rule": keys[4], "area": inference.area_under_curve(part, 1.0)}
        for keys, part in curves[curves["accuracy"].notna()]
        .assign(macs=curves["macs_fraction"])
        .groupby([*RUN, "rule"], sort=False)
    ]
    area = pd.DataFrame(areas, columns=[*RUN, "rule", "area"])
    last = exits["exit"] == exits.groupby(RUN)["exit"].transform("max")
    parts = {
        "area": _named(area[area["rule"] == RULES[0]], "area"),
        "area_entropy": _named(area[area["rule"] == RULES[1]], "area"),
        "within_low": _named(within[within["budget"] == LOW], "accuracy"),
        "within": _named(within[within["budget"] == FULL], "accuracy"),
        "last": _named(exits[last], "accuracy"),
    }
    return tables.stacked(parts, "measure").dropna(subset=["value"]).reset_index(drop=True)


def _named(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    return frame[[*RUN, value]].rename(columns={value: "value"})


def values(measured: Mapping[str, pd.DataFrame], readings: Mapping[str, Reading]) -> pd.DataFrame:
    """One number per reading, source, data, model and seed, for `evidence.cell_verdicts`.

    Args:
        measured: source -> frame of `measured_in_runs` or `measured_in_records`.
        readings: by name.
    Returns:
        Columns reading, source, dataset, model, seed, value. Of two regimes value is their difference in runs of one
        seed. For "area_entropy" it is turned so that it is positive where the mean difference has the sign that it has
        under confidence. Combinations that lack a regime are left out.
    """
    rows = []
    for source, frame in measured.items():
        for name, reading in readings.items():
            part = _of_reading(frame, reading)
            rows.append(part.assign(reading=name, source=source))
    whole = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    return whole.reindex(columns=["reading", "source", "dataset", "model", "seed", "value"])


class Ledger(NamedTuple):
    """What was judged: readings in cells, readings, claims; frames as in eecore.evidence.ledger."""

    cells: pd.DataFrame
    readings: pd.DataFrame
    claims: pd.DataFrame


def ledger(
    results: Iterable[Result],
    records: Records,
    analysed: Sequence[str],
    seeds: Sequence[int],
    level: float = 0.95,
    correction: str = "holm",
    agreement: float = 0.5,
) -> Ledger:
    """All claims held against runs and against published records.

    Args:
        results, analysed, seeds: as in `measured_in_runs`.
        records: as in `measured_in_records`.
        level, correction, agreement: as in evidence.cell_verdicts and evidence.reading_verdicts.
    """
    tests = readings()
    measured = {GRID: measured_in_runs(results, analysed, seeds), RECORDS: measured_in_records(records)}
    cells = cell_verdicts(values(measured, tests), tests, level, correction)
    judged = reading_verdicts(cells, tests, agreement, level)
    return Ledger(cells, judged, claim_verdicts(judged, CLAIMS))


def _of_reading(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    part = _compared(frame[frame["measure"] == reading.measure], reading.regimes)
    if reading.measure == "area_entropy":
        plain = _compared(frame[frame["measure"] == "area"], reading.regimes)
        side = np.sign(plain.groupby(["dataset", "model"])["value"].mean())
        part["value"] *= side.reindex(pd.MultiIndex.from_frame(part[["dataset", "model"]])).to_numpy()
    return part.dropna(subset=["value"])


def _compared(frame: pd.DataFrame, regimes: tuple[str, ...]) -> pd.DataFrame:
    """The number of one regime, or the difference of two, per data set, model and seed."""
    wide = frame.pivot_table(index=["dataset", "model", "seed"], columns="regime", values="value", sort=False)
    if not set(regimes) <= set(wide):
        return pd.DataFrame(columns=["dataset", "model", "seed", "value"])
    value = wide[regimes[0]] - wide[regimes[1]] if len(regimes) == 2 else wide[regimes[0]]
    return value.dropna().rename("value").reset_index()
