"""From results to long frames, and from long frames to tables that people read."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from companion.plotting import shown_value
from eecore import inference
from eecore.errors import SettingError
from eecore.evidence import interval, paired_difference
from eecore.training import Result

RUN_COLUMNS = ["dataset", "model", "regime", "seed"]
COMPARED = (("joint", "disjoint"), ("mixed", "disjoint"), ("mixed", "joint"), ("mixed", "joint_long"))
SPENT = "in brackets the mean cost that was spent on test, in % of the backbone's"  # of tables with `beside="spent"`


def per_exit(results: Iterable[Result], split: str = "test") -> pd.DataFrame:
    """The measures of every exit on all samples: one row per run and exit, see Result.frame."""
    frame = pd.concat([result.frame() for result in results], ignore_index=True)
    return frame[frame["split"] == split].drop(columns="split")


def curves(results: Iterable[Result], rules: Sequence[str] = ("confidence",)) -> pd.DataFrame:
    """Accuracy and mean cost on test at 100 even thresholds: one row per run, rule and threshold.

    Returns:
        Columns dataset, model, regime, seed, rule, threshold, accuracy (fraction), macs (mean per sample),
        macs_fraction (of the backbone's).
    """
    parts = []
    for result in results:
        for rule in rules:
            part = inference.curve(result.test_logits, result.test_labels, result.macs, rule)
            part = part[["threshold", "accuracy", "macs"]]
            about = {**result.labels_of_run, "rule": rule}
            parts.append(part.assign(**about, macs_fraction=part["macs"] / result.backbone_macs))
    return pd.concat(parts, ignore_index=True)


def regression_curves(results: Iterable[Result], rules: Sequence[str] = ("difference",)) -> pd.DataFrame:
    """Error and mean cost on test at 100 thresholds spread by validation: one row per run, rule and threshold.

    Returns:
        Columns dataset, model, regime, seed, rule, threshold, tolerance, mse, pearson, macs (mean per sample),
        macs_fraction (of the backbone's).
    """
    parts = []
    for result in results:
        for rule in rules:
            limits = inference.regression_thresholds(result.validation_logits, rule)
            part = inference.regression_curve(result.test_logits, result.test_labels, result.macs, rule, limits)
            part = part[["threshold", "tolerance", "mse", "pearson", "macs"]]
            about = {**result.labels_of_run, "rule": rule}
            parts.append(part.assign(**about, macs_fraction=part["macs"] / result.backbone_macs))
    return pd.concat(parts, ignore_index=True)


def areas(results: Iterable[Result], rule: str = "confidence") -> pd.DataFrame:
    """Area under the accuracy-cost curve on test: one row per run; columns of the run and `area` (fraction)."""
    rows = []
    for result in results:
        points = inference.curve(result.test_logits, result.test_labels, result.macs, rule)
        rows.append({**result.labels_of_run, "area": inference.area_under_curve(points, result.backbone_macs)})
    return pd.DataFrame(rows)


def budgets(
    results: Iterable[Result],
    rule: str = "confidence",
    fractions: Sequence[float] = (0.25, 0.5, 0.75, 1.0, np.inf),
) -> pd.DataFrame:
    """Accuracy within budgets, in all readings of inference.budget_table: one row per run, budget and choice.

    Returns:
        Columns dataset, model, regime, seed, those of inference.budget_table, and spent (macs as a fraction of the
        backbone's; what a budget allowed and what was spent need not be equal).
    """
    parts = [
        inference.budget_table(
            result.validation_logits,
            result.validation_labels,
            result.test_logits,
            result.test_labels,
            result.macs,
            result.backbone_macs,
            rule,
            fractions,
        ).assign(**result.labels_of_run, spent=lambda found, whole=result.backbone_macs: found["macs"] / whole)
        for result in results
    ]
    return pd.concat(parts, ignore_index=True)


def last_exit(results: Iterable[Result]) -> pd.DataFrame:
    """The rows of `per_exit` that belong to each run's last exit."""
    frame = per_exit(results)
    return frame[frame["exit"] == frame.groupby(RUN_COLUMNS)["exit"].transform("max")]


def training_costs(results: Iterable[Result]) -> pd.DataFrame:
    """What each run cost: one row per run; training_macs, training_seconds."""
    rows = [
        {
            **result.labels_of_run,
            "training_macs": result.training_macs,
            "training_seconds": result.training_seconds,
        }
        for result in results
    ]
    return pd.DataFrame(rows)


def mean_and_interval(
    frame: pd.DataFrame,
    value: str,
    rows: Sequence[str],
    columns: str,
    scale: float = 100.0,
    digits: int = 1,
    beside: str | None = None,
) -> pd.DataFrame:
    """A table of means over seeds, in percent, with the half width of their 95 % t interval.

    Args:
        frame: long; several rows (seeds) for each combination of `rows` and `columns`.
        value: a column of fractions, or of other numbers with a `scale` of 1.
        rows: columns whose values name a row of the table.
        columns: column whose values become columns.
        scale: what values are multiplied by.
        digits: after the decimal point.
        beside: a column of fractions, such as what was spent; its mean in percent stands in brackets behind the value.
    Returns:
        Text cells such as "81.2 ± 0.9", or "81.2 ± 0.9 (98)"; "–" where nothing fits.
    Raises:
        SettingError: a column is missing.
    """
    missing = {value, *rows, columns, *([beside] if beside else [])} - set(frame.columns)
    if missing:
        raise SettingError(f"frame: lacks the columns {', '.join(sorted(missing))}")
    keys = [*rows, columns]
    cells = frame.groupby(keys, sort=False)[value].apply(lambda group: _cell(scale * group.dropna(), digits))
    if beside:
        means = 100 * frame.groupby(keys, sort=False)[beside].mean()
        cells += ["" if np.isnan(mean) else f" ({mean:.0f})" for mean in means]
    table = cells.unstack(columns, sort=False).reset_index().rename_axis(columns=None)
    if "regime" in table:
        table["regime"] = [shown_value("regime", name) for name in table["regime"]]
    if columns == "regime":
        table = table.rename(columns=lambda name: name if name in rows else shown_value(columns, name))
    return table.fillna("–")


def _cell(values: pd.Series, digits: int) -> str:
    if values.empty:
        return "–"
    estimate = interval(values)
    if np.isnan(estimate.low):
        return f"{estimate.mean:.{digits}f}"
    return f"{estimate.mean:.{digits}f} ± {(estimate.high - estimate.low) / 2:.{digits}f}"


def comparisons(regimes: Sequence[str]) -> list[tuple[str, str]]:
    """Which regimes a page compares: the book's own comparisons, and every other regime with mixed and with joint.

    Args:
        regimes: names, those of the page.
    Returns:
        Pairs (a, b) for `differences`; only of regimes that are there.
    Example:
        >>> comparisons(["disjoint", "joint", "full"])
        [('joint', 'disjoint'), ('full', 'joint')]
    """
    known = {name for pair in COMPARED for name in pair}
    own = [(name, other) for name in regimes if name not in known for other in ("mixed", "joint")]
    return [pair for pair in (*COMPARED, *own) if set(pair) <= set(regimes)]


def differences(
    frame: pd.DataFrame, value: str, pairs: Sequence[tuple[str, str]], by: Sequence[str], column: str = "regime"
) -> pd.DataFrame:
    """Paired differences between regimes, one row per cell and pair of regimes.

    Args:
        frame: long, one row per cell, regime and seed.
        value: a column of fractions.
        pairs: (a, b): the difference a - b.
        by: columns that make a cell, such as dataset and model.
        column: what is compared: regimes, or the values of another column, such as exit rules.
    Returns:
        The columns of `by`, a, b, label, mean, low, high (fractions), n, p (paired t test).
    """
    out = []
    for cell, part in frame.groupby(list(by), sort=False):
        names = dict(zip(by, cell, strict=True))
        for a, b in pairs:
            found = paired_difference(part, value, column, a, b, pair=("seed",))
            label = " · ".join([*_shown(names), " − ".join([*_shown({column: a}), *_shown({column: b})])])
            estimate = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n, "p": found.p}
            out.append({**names, "a": a, "b": b, "label": label, **estimate})
    return pd.DataFrame(out, columns=[*by, "a", "b", "label", "mean", "low", "high", "n", "p"])


def _shown(names: Mapping[str, object]) -> list[str]:
    """The values that name a cell, as people read them: a regime by its name in prose."""
    return [shown_value(key, value) for key, value in names.items()]


def estimates(frame: pd.DataFrame, value: str, by: Sequence[str]) -> pd.DataFrame:
    """Means over seeds with their t intervals, one row per cell: is it above zero, below, or not told apart from it?

    Args:
        frame: long, one row per cell and seed; rows where `value` is missing are left out.
        value: a column of numbers.
        by: columns that make a cell, such as dataset, model and regime.
    Returns:
        The columns of `by`, label, mean, low, high, n, p (t test of "the mean is 0"). Cells without a value are left
        out.
    """
    out = []
    for cell, part in frame.dropna(subset=[value]).groupby(list(by), sort=False):
        names = dict(zip(by, cell, strict=True))
        found = interval(part[value])
        estimate = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n, "p": found.p}
        out.append({**names, "label": " · ".join(_shown(names)), **estimate})
    return pd.DataFrame(out, columns=[*by, "label", "mean", "low", "high", "n", "p"])


def relative(frame: pd.DataFrame, value: str, to: str) -> pd.DataFrame:
    """`frame` with a column `relative`: `value` divided by that of regime `to` of the same data set, model, seed.

    Raises:
        SettingError: regime `to` is not in the frame.
    """
    cell = ["dataset", "model", "seed"]
    if to not in set(frame["regime"]):
        raise SettingError(f"regime: {to!r} is not in the frame, which has {', '.join(frame['regime'].unique())}")
    base = frame[frame["regime"] == to].set_index(cell)[value]
    keys = pd.MultiIndex.from_frame(frame[cell])
    return frame.assign(relative=frame[value].to_numpy() / base.loc[keys].to_numpy())


def gaps(frame: pd.DataFrame, value: str, column: str, to: str) -> pd.DataFrame:
    """How far each reading of one run lies from the reading `to`.

    Args:
        frame: one row for each run, budget and value of `column`, such as from `budgets`.
        value: what is compared, such as "accuracy".
        column: tells the readings apart, such as "choice".
        to: the reading that the others are compared with.
    Returns:
        Columns dataset, model, regime, seed, budget, `column`, gap; without rows where either reading is missing.
    Raises:
        SettingError: the reading `to` is not in the frame.
    """
    if to not in set(frame[column]):
        raise SettingError(f"{column}: {to!r} is not in the frame, which has {', '.join(frame[column].unique())}")
    wide = frame.pivot(index=[*RUN_COLUMNS, "budget"], columns=column, values=value).dropna()
    long = wide.sub(wide[to], axis=0).drop(columns=to).melt(ignore_index=False, value_name="gap")
    return long.reset_index().sort_values([column, "budget"], kind="stable")


def stacked(frames: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """Frames on top of each other; `column` says from which one a row comes."""
    return pd.concat([frame.assign(**{column: name}) for name, frame in frames.items()], ignore_index=True)
