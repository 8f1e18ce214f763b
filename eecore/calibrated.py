"""Tables about calibration: of exits, of those who leave there, as trained and with a temperature for each exit.

Axes: K exits, N samples.

`scaled` gives runs whose logits are divided by temperatures that validation chose; whatever makes a table of runs makes
one of them too, so that the two can be compared run by run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from eecore import inference
from eecore.samples import taken_within
from eecore.tables import RUN_COLUMNS
from eecore.training import Result

VERSIONS = ("as trained", "scaled")
LEAST = 10  # samples in a bin of a reliability diagram: fewer say too little
EVERYONE, LEAVERS = "all samples", "those who leave"


def scaled(results: Iterable[Result]) -> list[Result]:
    """The runs with the logits of each exit divided by the temperature that fits validation best."""
    found = []
    for run in results:
        t = inference.fit_temperature(run.validation_logits, run.validation_labels)
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


def per_exit(results: Iterable[Result], rule: str, budget: float) -> pd.DataFrame:
    """Calibration of every exit on test: of all samples, and of those who leave there at a budget.

    Args:
        results: runs.
        rule, budget: as in `eecore.samples.taken_within`; a run that the budget does not fit has no leavers.
    Returns:
        One row per run, exit and judged ("all samples", "those who leave"): columns dataset, model, regime, seed,
        judged, and those of `eecore.inference.calibration`.
    """
    frames = []
    for run in results:
        _, taken = taken_within(run, rule, budget)
        judged = {EVERYONE: inference.calibration(run.test_logits, run.test_labels)}
        if taken is not None:
            judged[LEAVERS] = inference.calibration(run.test_logits, run.test_labels, taken)
        frames += [part.assign(**run.labels_of_run, judged=name) for name, part in judged.items()]
    found = pd.concat(frames, ignore_index=True)
    front = [*RUN_COLUMNS, "judged"]
    return found[[*front, *(name for name in found if name not in front)]]


def as_used(results: Iterable[Result], rule: str, budget: float) -> pd.DataFrame:
    """Calibration on test of the answers that the network gives at a budget, each from the exit where its sample left.

    Args:
        results, rule, budget: as in `per_exit`; runs that the budget does not fit are left out.
    Returns:
        One row per run: dataset, model, regime, seed, and the columns of `eecore.inference.calibration` but exit.
    """
    rows = []
    for run in results:
        _, taken = taken_within(run, rule, budget)
        if taken is not None:
            found = inference.calibration(inference.as_used(run.test_logits, taken), run.test_labels)
            rows.append({**run.labels_of_run, **found.drop(columns="exit").iloc[0].to_dict()})
    return pd.DataFrame(rows)


def mean_over_exits(frame: pd.DataFrame, value: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """The mean of a column of `per_exit` over exits, each counting alike: one row per run and `by`."""
    return frame.groupby([*RUN_COLUMNS, *by], sort=False)[value].mean().reset_index()


def reliability_points(results: Iterable[Result], bins: int = 15, least: int = LEAST) -> pd.DataFrame:
    """Points of reliability diagrams of the first, the middle and the last exit, on all test samples.

    Args:
        results: runs.
        bins: of equal width.
        least: a bin with fewer samples of a run is left out.
    Returns:
        One row per run, exit and bin: dataset, model, regime, seed, exit (such as "exit 1"), centre (of the bin), n,
        confidence, accuracy.
    """
    frames = []
    for run in results:
        exits = len(run.macs)
        shown = dict.fromkeys((1, (exits + 1) // 2, exits))
        points = inference.reliability(run.test_logits, run.test_labels, bins)
        points = points[points["exit"].isin(shown) & (points["n"] >= least)]
        names = [f"exit {k}" for k in points["exit"]]
        centres = (points["bin"] - 0.5) / bins
        frames.append(points.assign(**run.labels_of_run, exit=names, centre=centres))
    return pd.concat(frames, ignore_index=True)


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
