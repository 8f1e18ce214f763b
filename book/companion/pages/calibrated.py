"""Tables about calibration: of exits, of those who leave there, as trained and with a temperature for each exit.

Axes: K exits, N samples.

`scaled` gives runs whose logits are divided by temperatures that validation chose; whatever makes a table of runs makes
one of them too, so that the two can be compared run by run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from companion.pages.samples import taken_within
from companion.tables import RUN_COLUMNS, differences
from eecore import inference
from eecore.training import Result

LEAST = 10  # samples in a bin of a reliability diagram: fewer say too little
EVERYONE, LEAVERS, AS_USED = "all samples", "those who leave", "as used"


def scaled(results: Iterable[Result], fitted: pd.DataFrame) -> list[Result]:
    """The runs with the logits of each exit divided by its temperature.

    Args:
        results: runs.
        fitted: from `temperatures`, of these runs.
    """
    known = {
        run: torch.tensor(part["temperature"].tolist(), dtype=torch.float64)
        for run, part in fitted.groupby(RUN_COLUMNS)
    }
    found = []
    for run in results:
        t = known[tuple(run.labels_of_run.values())]
        validation, test = inference.scale(run.validation_logits, t), inference.scale(run.test_logits, t)
        found.append(replace(run, validation_logits=validation, test_logits=test))
    return found


def temperatures(results: Iterable[Result]) -> pd.DataFrame:
    """The temperature of every exit, fitted on validation: one row per run and exit.

    Returns:
        Columns dataset, model, regime, seed, exit (1..K), temperature (above 1: the exit was too certain), decided
        (False where every validation sample is right, so that the temperature stays 1).
    """
    frames = []
    for run in results:
        t = inference.fit_temperature(run.validation_logits, run.validation_labels).numpy()
        decided = ~inference.right_at_exits(run.validation_logits, run.validation_labels).all(dim=1).numpy()
        found = {"exit": np.arange(1, len(t) + 1), "temperature": t, "decided": decided}
        frames.append(pd.DataFrame(found).assign(**run.labels_of_run))
    return pd.concat(frames, ignore_index=True)[[*RUN_COLUMNS, "exit", "temperature", "decided"]]


def judged(results: Iterable[Result], rule: str, budget: float) -> pd.DataFrame:
    """Calibration on test of every exit, on all samples and on those who leave there at a budget, and of the whole.

    Args:
        results: runs.
        rule, budget: as in `samples.taken_within`; of a run that the budget does not fit all samples alone are
            judged.
    Returns:
        Columns dataset, model, regime, seed, judged, and those of `eecore.inference.calibration`. One row per run and
        exit with judged "all samples", one with "those who leave", and one per run with "as used", which has no exit:
        the answers that the network gives, each from the exit where its sample left.
    """
    frames = []
    for run in results:
        _, taken = taken_within(run, rule, budget)
        parts = {EVERYONE: inference.calibration(run.test_logits, run.test_labels)}
        if taken is not None:
            parts[LEAVERS] = inference.calibration(run.test_logits, run.test_labels, taken)
            whole = inference.calibration(inference.as_used(run.test_logits, taken), run.test_labels)
            parts[AS_USED] = whole.assign(exit=np.nan)
        frames += [part.assign(**run.labels_of_run, judged=name) for name, part in parts.items()]
    found = pd.concat(frames, ignore_index=True)
    front = [*RUN_COLUMNS, "judged"]
    return found[[*front, *(name for name in found if name not in front)]]


def mean_over_exits(frame: pd.DataFrame, value: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """The mean of a column of `judged` over exits, each counting alike: one row per run and `by`."""
    return frame.groupby([*RUN_COLUMNS, *by], sort=False)[value].mean().reset_index()


def reliability_points(results: Iterable[Result], bins: int = 15, least: int = LEAST) -> pd.DataFrame:
    """Points of reliability diagrams of the first, the middle and the last exit, on all test samples.

    Args:
        results: runs of one data set and model.
        bins: of equal width.
        least: a bin of a regime's exit is left out where any of its runs has fewer samples in it.
    Returns:
        One row per run, exit and bin: dataset, model, regime, seed, exit (such as "exit 1"), bin, centre, n,
        confidence, accuracy.
    """
    frames = []
    for run in results:
        exits = len(run.macs)
        points = inference.reliability(run.test_logits, run.test_labels, bins)
        points = points[points["exit"].isin((1, (exits + 1) // 2, exits))]
        centres = (points["bin"] - 0.5) / bins
        frames.append(points.assign(**run.labels_of_run, centre=centres))
    found = well_filled(pd.concat(frames, ignore_index=True), ["regime", "exit", "bin"], least)
    found = found.assign(exit=[f"exit {k}" for k in found["exit"]])
    return found[[*RUN_COLUMNS, "exit", "bin", "centre", "n", "confidence", "accuracy"]].reset_index(drop=True)


def well_filled(frame: pd.DataFrame, by: Sequence[str], least: int = LEAST) -> pd.DataFrame:
    """The groups in which every row rests on enough samples, so that means over runs are over all of them.

    Args:
        frame: with a column n, samples.
        by: columns that make a group.
        least: samples that each row of a group must have.
    Example:
        >>> well_filled(pd.DataFrame({"exit": [1, 1, 2, 2], "n": [12, 9, 10, 30]}), ["exit"])["exit"].tolist()
        [2, 2]
    """
    return frame[frame.groupby(list(by))["n"].transform("min") >= least]


def at_budget(results: Iterable[Result], rules: Sequence[str], budget: float) -> pd.DataFrame:
    """What thresholds from validation give on test at a budget: one threshold for all exits, and one for each.

    Args:
        results: runs; those that the budget does not fit are left out.
        rules: exit rules.
        budget: mean cost per sample as a fraction of the backbone's.
    Returns:
        One row per run, rule and thresholds ("one for all exits", as in `taken_within`; "one for each exit",
        `eecore.inference.solve`): columns dataset, model, regime, seed, rule, thresholds, threshold (NaN for the
        latter), accuracy, cost (mean, fraction of the backbone's).
    """
    rows = []
    for run in results:
        limit = budget * run.backbone_macs
        for rule in rules:
            threshold, taken = taken_within(run, rule, budget)
            if taken is None:
                continue
            each = inference.solve(inference.score(run.validation_logits, rule), run.macs, limit)
            for name, used in (("one for all exits", threshold), ("one for each exit", each)):
                got = inference.outcome(run.test_logits, run.test_labels, run.macs, used, rule)
                about = {**run.labels_of_run, "rule": rule, "thresholds": name}
                found = {"accuracy": got["accuracy"], "cost": got["macs"] / run.backbone_macs}
                rows.append({**about, "threshold": used if used is threshold else float("nan"), **found})
    columns = [*RUN_COLUMNS, "rule", "thresholds", "threshold", "accuracy", "cost"]
    return pd.DataFrame(rows, columns=columns)


def areas(results: Iterable[Result], rules: Sequence[str]) -> pd.DataFrame:
    """Area under the accuracy-cost curve on test, with thresholds of two kinds.

    Returns:
        One row per run, rule and thresholds ("100 even ones", as on the other pages; "spread", see
        `eecore.inference.spread_thresholds`): columns dataset, model, regime, seed, rule, thresholds, area (fraction).
    """
    rows = []
    for run in results:
        for rule in rules:
            spread = inference.spread_thresholds(run.validation_logits, rule)
            for name, limits in (("100 even ones", None), ("spread", spread)):
                points = inference.curve(run.test_logits, run.test_labels, run.macs, rule, limits)
                area = inference.area_under_curve(points, run.backbone_macs)
                rows.append({**run.labels_of_run, "rule": rule, "thresholds": name, "area": area})
    return pd.DataFrame(rows)


def changes(
    frame: pd.DataFrame, measures: Mapping[str, str], cell: Sequence[str], settings: Sequence[str] = ()
) -> dict[str, pd.DataFrame]:
    """What scaling changes in each measure, within each setting: paired differences "scaled" − "as trained".

    Args:
        frame: columns scaling, regime, seed, those of `cell` and `settings`, and the measures.
        measures: columns by their names in prose, "" for the only one.
        cell: columns that make a cell, beside regime.
        settings: columns within whose values differences are told apart, such as "rule".
    Returns:
        Frames of tables.differences by the name of the measure and the settings, such as "cost, entropy".
    """
    found: dict[str, pd.DataFrame] = {}
    for title, column in measures.items():
        pairs = [("scaled", "as trained")]
        compared = differences(frame, column, pairs, [*settings, *cell, "regime"], "scaling")
        parts = compared.groupby(list(settings), sort=False) if settings else [((), compared)]
        found |= {", ".join(filter(None, [title, *values])): part for values, part in parts}
    return found
