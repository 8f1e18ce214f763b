"""What is a threshold worth that was chosen on n validation samples, or on test? The frames of that page."""

from collections.abc import Iterable, Sequence

import pandas as pd

from companion import tables
from companion.pages.contrasts import each_difference
from companion.pages.pooling import over_cells
from companion.tables import RUN_COLUMNS
from eecore.errors import choose
from eecore.evidence import Estimate, verdict
from eecore.inference import resampled_budgets
from eecore.inference.resample import ONE
from eecore.training import Result

__all__ = [
    "ALL",
    "CELL",
    "ORACLE",
    "SWEEP",
    "change_of_differences",
    "kept_verdicts",
    "per_seed",
    "readings",
    "what_test_adds",
]

SWEEP, ORACLE = "paper's rule, on test", "oracle, on test"
ALL = "all"  # validation samples
CELL = ["dataset", "model"]


def readings(
    results: Iterable[Result],
    sizes: Sequence[int],
    resamples: int,
    rule: str = "confidence",
    budgets: Sequence[float | int] = (0.25, 0.5, 0.75, 1.0),
) -> pd.DataFrame:
    """Test accuracy within budgets by how the threshold was chosen: one row per run, budget, method and size.

    Args:
        results: of classification.
        sizes: numbers n of validation samples to choose on; those that a data set has not are left out, and all of its
            samples are added.
        resamples: draws of each size, other ones for each seed; what follows is their mean.
        rule, budgets: as in inference.budget_table.
    Returns:
        Columns dataset, model, regime, seed, budget, method (ONE, PER_EXIT, SWEEP, ORACLE), samples (NaN where the
        choice was on test), size (text: n, or ALL, or "test"), accuracy (fraction, on test), used (mean cost on test as
        a fraction of the budget), exceeds (share of draws that cost more than the budget on test), dear (95 % quantile
        of used over draws), spread (standard deviation of accuracy over draws, NaN for one draw). Budgets below the
        first exit's cost are left out.
    """
    results, parts = list(results), []
    for result in results:
        samples = result.validation_logits.shape[1]
        found = resampled_budgets(
            result.validation_logits,
            result.test_logits,
            result.test_labels,
            result.macs,
            result.backbone_macs,
            [*(n for n in sizes if n < samples), samples],
            resamples,
            rule,
            budgets,
            result.run.seed,
        )
        found["used"] = found["macs"] / (found["budget"] * result.backbone_macs)
        parts.append(_over_draws(found.dropna(subset=["macs"]), samples).assign(**result.labels_of_run))
    macs = {tuple(r.labels_of_run.values()): r.backbone_macs for r in results}
    return pd.concat([*parts, _on_test(tables.budgets(results, rule, budgets), macs)], ignore_index=True)


def _over_draws(found: pd.DataFrame, samples: int) -> pd.DataFrame:
    """Means over the draws of one run, how often they exceed the budget, the cost of dear ones, spread of accuracy."""
    groups = found.assign(exceeds=found["used"] > 1 + 1e-9).groupby(["samples", "budget", "method"], sort=False)
    frame = groups[["accuracy", "used", "exceeds"]].mean()
    frame["dear"], frame["spread"] = groups["used"].quantile(0.95), groups["accuracy"].std()
    frame = frame.reset_index()
    return frame.assign(size=[ALL if n == samples else str(n) for n in frame["samples"]])


def _on_test(within: pd.DataFrame, macs: dict[tuple[object, ...], int]) -> pd.DataFrame:
    """The two readings that look at test, in the columns of `readings`."""
    names = {"test sweep": SWEEP, "oracle": ORACLE}
    frame = within[within["choice"].isin(list(names))].dropna(subset=["accuracy"])
    backbone = [macs[run] for run in frame[RUN_COLUMNS].itertuples(index=False, name=None)]
    used = frame["macs"] / (frame["budget"] * backbone)
    about = {"method": frame["choice"].map(names), "samples": float("nan"), "size": "test"}
    made = frame.assign(**about, used=used, exceeds=0.0, dear=used)
    return made.drop(columns=["choice", "threshold", "macs", "spent"])


def what_test_adds(frame: pd.DataFrame) -> pd.DataFrame:
    """How much higher test accuracy is read where the one threshold is chosen on test instead of on validation.

    Args:
        frame: from `readings`.
    Returns:
        Columns dataset, model, regime, seed, budget, samples, size, against (SWEEP or ORACLE), gap (fraction: accuracy
        of the choice on test minus that of the choice on n validation samples), spends (the same difference of used).
    """
    keys = [*RUN_COLUMNS, "budget"]
    own = frame.loc[frame["method"] == ONE, [*keys, "samples", "size", "accuracy", "used"]]
    other = frame.loc[frame["method"].isin([SWEEP, ORACLE]), [*keys, "method", "accuracy", "used"]]
    both = own.merge(other.rename(columns={"method": "against"}), on=keys, suffixes=("", "_test"))
    both = both.assign(gap=both["accuracy_test"] - both["accuracy"], spends=both["used_test"] - both["used"])
    return both[[*keys, "samples", "size", "against", "gap", "spends"]]


def per_seed(frame: pd.DataFrame, values: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Means over models and regimes, a row for each data set, seed, budget and value of `by`, for figures.

    The column budget becomes text, such as "25% budget".
    """
    means = frame.groupby(["dataset", "seed", "budget", *by], sort=False)[list(values)].mean().reset_index()
    means = means.sort_values(["budget"], kind="stable")
    return means.assign(budget=[f"{budget:.0%} budget" for budget in means["budget"]])


def change_of_differences(frame: pd.DataFrame, pairs: Sequence[tuple[str, str]], other: str) -> pd.DataFrame:
    """How much the differences between regimes change where the threshold is chosen in another way.

    Args:
        frame: from `readings`.
        pairs: regimes, (a, b) for a - b.
        other: the method, such as SWEEP, that is compared with one threshold from all validation samples.
    Returns:
        One row per pair: label, mean, low, high (fractions: the difference under `other` minus ours), n, p; for
        words.in_words and plotting.differences. The mean is over combinations of data and model.
    """
    choose("other", other, frame["method"].unique())
    keys, parts = [*CELL, "budget"], []
    for rows in (_ours(frame), frame[(frame["method"] == other) & frame["size"].isin([ALL, "test"])]):
        each = each_difference(rows, "accuracy", pairs, keys)
        parts.append(each.set_index([*keys, "seed", "pair"])["difference"])
    change = (parts[1] - parts[0]).dropna().rename("change").reset_index()
    rows = []
    for pair, part in change.groupby("pair", sort=False):
        found = over_cells(part, "change", CELL)
        estimate = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n, "p": found.p}
        rows.append({"label": pair, **estimate})
    return pd.DataFrame(rows, columns=["label", "mean", "low", "high", "n", "p"])


def _ours(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["method"] == ONE) & (frame["size"] == ALL)]


def kept_verdicts(frame: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """How many verdicts on regimes are the same where thresholds are chosen in another way, as a table of text.

    Args:
        frame: from `readings`.
        pairs: regimes that are compared, in every combination of data and model.
    Returns:
        One row per way to choose, one column per budget: such as "35 of 36", or "34 of 36, 1 opposite" where a verdict
        is higher under one choice and lower under the other. What they are compared with: one threshold from all
        validation samples.
    """
    keys = [*CELL, "budget", "a", "b"]
    ours = _verdicts(_ours(frame), pairs, keys)
    rows = []
    for (method, size), part in frame.groupby(["method", "size"], sort=False):
        if (method, size) == (ONE, ALL):
            continue
        both = pd.DataFrame({"ours": ours, "theirs": _verdicts(part, pairs, keys)}).dropna()
        cells = {f"{budget:.0%}": _agreed(rows) for budget, rows in both.groupby(level="budget")}
        rows.append({"chosen on": "test" if size == "test" else f"{size} validation samples", "how": method, **cells})
    return pd.DataFrame(rows).fillna("–")


def _verdicts(frame: pd.DataFrame, pairs: Sequence[tuple[str, str]], keys: Sequence[str]) -> pd.Series:
    found = tables.differences(frame, "accuracy", pairs, [*CELL, "budget"])
    judged = [verdict(Estimate(r.mean, r.low, r.high, r.n, float("nan"))) for r in found.itertuples()]
    return found.assign(verdict=judged).set_index(list(keys))["verdict"]


def _agreed(both: pd.DataFrame) -> str:
    same = int((both["ours"] == both["theirs"]).sum())
    opposite = sum({"higher", "lower"} == set(row) for row in both.itertuples(index=False))
    return f"{same} of {len(both)}" + (f", {opposite} opposite" if opposite else "")
