"""Which exit rule buys most, and does the rule change the order of the regimes? The frames of that page.

A rule that has to be fitted is fitted on each run's validation samples; thresholds come from there too.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch

from companion import tables
from companion.pages.contrasts import each_difference
from companion.pages.pooling import over_cells
from companion.plotting import shown_value
from companion.tables import RUN_COLUMNS
from eecore import inference
from eecore.evidence import Estimate, verdict
from eecore.inference.curve import even_thresholds, spread_over
from eecore.inference.risk import simulated
from eecore.training import Result

__all__ = ["against", "described", "kept_verdicts", "measured", "pairs_by_rule", "promised", "rehearsed", "symmetric"]

CELL = ["dataset", "model"]


def described(names: Sequence[str]) -> pd.DataFrame:
    """The rules as a table of text: who leaves, what is answered, whether something is fitted, whence."""
    known = inference.exit_rules()
    rows = [
        {
            "rule": name,
            "who leaves": known[name].title,
            "answer": "combined" if known[name].answers else "the exit's own",
            "fitted": "on validation" if known[name].fitted else "–",
            "source": known[name].source,
        }
        for name in names
    ]
    return pd.DataFrame(rows)


def measured(results: Iterable[Result], names: Sequence[str], budget: float) -> pd.DataFrame:
    """Area under the curve and accuracy at a budget, on test, under each rule: one row per run and rule.

    Args:
        results: of classification.
        names: of `inference.exit_rules`.
        budget: mean cost as a fraction of the backbone's.
    Returns:
        Columns dataset, model, regime, seed, rule, area (thresholds spread by validation), accuracy (at the largest
        threshold whose mean validation cost fits the budget), cost (mean on test there, of the backbone's); fractions;
        the last two NaN where the budget does not pay for the first exit.
    """
    rows = []
    for run in results:
        limit = budget * run.backbone_macs
        for name in names:
            rule = inference.make_rule(name, run.validation_logits, run.validation_labels)
            scores = inference.score(run.validation_logits, rule).cpu()
            nan = float("nan")
            one = inference.threshold_for_macs(scores, run.macs, limit) if limit >= run.macs[0] else nan
            limits = [*spread_over(scores, 200), *([] if np.isnan(one) else [one])]
            points = inference.curve(run.test_logits, run.test_labels, run.macs, rule, limits)
            row = {"rule": name, "area": inference.area_under_curve(points.iloc[:200], run.backbone_macs)}
            accuracy, macs = (nan, nan) if np.isnan(one) else points[["accuracy", "macs"]].iloc[-1]
            rows.append({**run.labels_of_run, **row, "accuracy": accuracy, "cost": macs / run.backbone_macs})
    return pd.DataFrame(rows)


def _as_in(frame: pd.DataFrame, each: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order in which `frame` has the rules, and then as they were."""
    order = list(frame["rule"].unique())
    return each.sort_values("rule", key=lambda names: names.map(order.index), kind="stable")


def _pooled(each: pd.DataFrame, value: str, by: Sequence[str]) -> pd.DataFrame:
    rows = []
    for names, part in each.groupby(list(by), sort=False):
        found = over_cells(part, value, CELL)
        estimate = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n, "p": found.p}
        told = verdict(found) != "not told apart"
        shown = [shown_value(column, value) for column, value in zip(by, names, strict=True)]
        rows.append(dict(zip(by, shown, strict=True)) | {"label": " · ".join(shown), **estimate, "told": told})
    return pd.DataFrame(rows)


def against(frame: pd.DataFrame, value: str, to: str, by: Sequence[str] = ("rule", "regime")) -> pd.DataFrame:
    """How much more each rule gives than rule `to`, in the same run; means over data and models.

    Args:
        frame: from `measured`.
        value: "area" or "accuracy".
        to: the rule that the others are compared with.
        by: columns that keep a row of their own: rule, and perhaps regime.
    Returns:
        Columns of `by` (regimes by their names in prose), label, mean, low, high (fractions), n (combinations of data
        and model; seeds where there is one), p, told (the interval excludes zero).
    """
    wide = frame.pivot(index=RUN_COLUMNS, columns="rule", values=value)
    each = wide.drop(columns=to).sub(wide[to], axis=0).melt(ignore_index=False, value_name="more").dropna()
    return _pooled(_as_in(frame, each.reset_index()), "more", by)


def pairs_by_rule(frame: pd.DataFrame, value: str, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """The differences between regimes under each rule; columns as in `against`, with rule and pair."""
    each = each_difference(frame, value, pairs, ["rule", *CELL])
    return _pooled(_as_in(frame, each), "difference", ["rule", "pair"])


def kept_verdicts(frame: pd.DataFrame, value: str, pairs: Sequence[tuple[str, str]], to: str) -> pd.DataFrame:
    """In how many combinations of data, model and pair the verdict under a rule is that under rule `to`.

    Returns:
        One row per other rule: rule, same, opposite (higher under one and lower under the other), of; integers.
    """
    found = tables.differences(frame, value, pairs, ["rule", *CELL])
    judged = [verdict(Estimate(r.mean, r.low, r.high, r.n, float("nan"))) for r in found.itertuples()]
    wide = found.assign(verdict=judged).pivot(index=[*CELL, "a", "b"], columns="rule", values="verdict")
    rows = []
    for name in [name for name in frame["rule"].unique() if name != to]:
        opposite = sum({"higher", "lower"} == set(row) for row in wide[[name, to]].itertuples(index=False))
        rows.append({"rule": name, "same": int((wide[name] == wide[to]).sum()), "opposite": opposite, "of": len(wide)})
    return pd.DataFrame(rows)


def promised(results: Iterable[Result], rule: str, risk: str, epsilon: float, delta: float) -> pd.DataFrame:
    """What a threshold with a promise gives: chosen on validation, seen on test.

    Args:
        results: of classification.
        rule: a name of `inference.rules`: nothing of it may be fitted on validation.
        risk, epsilon, delta: as in `inference.controlled`.
    Returns:
        One row per run and promise (one for each bound, and "in the mean", `inference.conformal`): columns dataset,
        model, regime, seed, promise, threshold, risk (on test), cost (mean on test, fraction of everyone at the last
        exit), drop (accuracy of the last exit minus that of leaving, on test); NaN where nothing is promised.
    """
    rows = []
    for run in results:
        given = (run.validation_logits, run.validation_labels, epsilon)
        found = {bound: inference.controlled(*given, delta, rule, risk, bound).threshold for bound in inference.BOUNDS}
        found["in the mean"] = inference.conformal(*given, rule, risk).threshold
        last = float(inference.accuracy_per_exit(run.test_logits, run.test_labels)[-1])
        for promise, threshold in found.items():
            row = {"promise": promise, "threshold": threshold, "risk": np.nan, "cost": np.nan, "drop": np.nan}
            if not np.isnan(threshold):
                got = inference.outcome(run.test_logits, run.test_labels, run.macs, threshold, rule)
                lost = inference.losses_at(run.test_logits, run.test_labels, [threshold], rule, risk)
                row |= {"risk": float(lost.double().mean()), "cost": got["macs"] / run.macs[-1]}
                row["drop"] = last - got["accuracy"]
            rows.append({**run.labels_of_run, **row})
    return pd.DataFrame(rows)


def rehearsed(
    results: Iterable[Result], rule: str, risk: str, epsilon: float, delta: float, resamples: int
) -> pd.DataFrame:
    """How often promises are broken where the truth is known: validation and test together are the population.

    Args:
        results, rule, risk, epsilon, delta: as in `promised`.
        resamples: samples of the size of validation, drawn from the population; a threshold is chosen on each.
    Returns:
        One row per run and promise, as in `promised`: broken (share of the resamples whose threshold has a risk above
        epsilon in the population), mean_risk (over resamples).
    """
    limits, rows = even_thresholds()[::-1].copy(), []
    for run in results:
        logits = torch.cat([run.validation_logits, run.test_logits], dim=1)
        labels = torch.cat([run.validation_labels, run.test_labels])
        losses = inference.losses_at(logits, labels, limits, rule, risk)
        size = run.validation_logits.shape[1]
        for promise in (*inference.BOUNDS, "in the mean"):
            level, bound = (None, "binomial") if promise == "in the mean" else (delta, promise)
            found = simulated(losses, size, epsilon, level, bound, resamples, run.run.seed)
            numbers = {"broken": float(found["broken"].mean()), "mean_risk": float(found["risk"].mean())}
            rows.append({**run.labels_of_run, "promise": promise, **numbers})
    return pd.DataFrame(rows)


def symmetric(values: pd.Series) -> tuple[float, float]:
    """Limits of a colour scale whose middle is zero.

    Example:
        >>> symmetric(pd.Series([-3.0, 1.0]))
        (-3.0, 3.0)
    """
    size = float(values.abs().max())
    return -size, size
