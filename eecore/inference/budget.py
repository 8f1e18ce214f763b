"""From a budget to thresholds, and what they give. A budget is a mean cost per sample.

Axes: K exits, N samples, C classes, T thresholds, R draws of samples.

Thresholds are chosen on validation data and reported on test data; `budget_table` prints beside that the two
readings that look at test, so that a reader sees how much the look was worth.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import Number, Numbers, check_macs
from eecore.inference.curve import accuracy_per_exit, budget_thresholds, curve
from eecore.inference.protocol import Rule
from eecore.shapes import Float, Int

__all__ = ["BUDGETS", "budget_table", "choose_threshold", "solve"]

BUDGETS = (0.25, 0.5, 0.75, 1.0, float("inf"))
PART_ELEMENTS = 2**20  # scores of several draws that are worked on at a time: 4 MiB


def choose_threshold(curve_frame: pd.DataFrame, budget_macs: Number) -> float:
    """The largest threshold of a curve whose mean cost is within the budget.

    Args:
        curve_frame: from `curve`, on validation data if it is to be quoted.
        budget_macs: mean multiply-adds per sample, inf for no limit.
    Returns:
        The threshold; NaN where not even the cheapest point fits.
    Raises:
        SettingError: the budget is not positive or the columns are missing.
    Example:
        >>> choose_threshold(pd.DataFrame({"threshold": [0.0, 0.5, 1.0], "macs": [10.0, 20.0, 30.0]}), 25.0)
        0.5
    """
    absent = [column for column in ("threshold", "macs") if column not in curve_frame]
    if absent:
        raise SettingError(f"curve_frame: lacks the columns {', '.join(absent)}; expected a frame from curve")
    if not budget_macs > 0:
        raise SettingError(f"budget_macs: expected a positive number or inf, got {budget_macs}")
    return float(curve_frame.loc[curve_frame["macs"] <= budget_macs, "threshold"].max())


def budget_table(
    validation_logits: Float[Tensor, "K N C"],
    validation_labels: Int[Tensor, " N"],
    test_logits: Float[Tensor, "K M C"],
    test_labels: Int[Tensor, " M"],
    macs: Numbers,
    backbone_macs: Number,
    rule: Rule = "confidence",
    budgets: Sequence[Number] = BUDGETS,
) -> pd.DataFrame:
    """Test accuracy within budgets, read in four ways.

    All choose among the same thresholds, those of `budget_thresholds` on validation, so that they differ in nothing
    but the samples they look at:

    "validation": the largest whose mean *validation* cost is within the budget, applied to test. The one to
        quote. Its test cost may miss the budget by a little; the column macs says so.
    "test sweep": the largest whose mean *test* cost is within the budget; the rule of the paper's own code, which
        has 100 even thresholds. More cost is not always more accuracy, so this is not the best point, and its
        100 % is not the final exit.
    "oracle": the best test accuracy of those whose mean test cost is within the budget (the cheapest of
        equals).
    "final exit": everyone at the last exit without any other head, so its cost is the backbone's. It has no
        budget: the same reference stands at each, also where it costs more.

    Args:
        validation_logits, validation_labels: of the N validation samples.
        test_logits, test_labels: of the M test samples.
        macs: multiply-adds per sample to reach and evaluate each exit; ascending.
        backbone_macs: multiply-adds per sample of stem, blocks and last head alone.
        rule: one of `rules()`, or an object (see `exit_rules`).
        budgets: as fractions of `backbone_macs`, inf for no limit.
    Returns:
        One row per budget and choice: budget (fraction of the backbone's), choice, threshold, accuracy
        (fraction, on test), macs (mean per test sample). A budget that nothing fits, such as one below the
        first exit's cost, has NaN in the last three.
    Raises:
        SettingError: an argument is not as above.
    """
    if not 0 < backbone_macs < np.inf:
        raise SettingError(f"backbone_macs: expected a positive number, got {backbone_macs}")
    if len(budgets) == 0 or not all(budget > 0 for budget in budgets):
        raise SettingError(f"budgets: expected positive fractions of the backbone's macs or inf, got {list(budgets)}")
    limits = budget_thresholds(validation_logits, rule)
    validation = curve(validation_logits, validation_labels, macs, rule, limits)
    test = curve(test_logits, test_labels, macs, rule, limits)
    final = {"threshold": 1.0, "accuracy": float(accuracy_per_exit(test_logits, test_labels)[-1])}
    rows = []
    for budget in budgets:
        limit = budget * backbone_macs
        within = test[test["macs"] <= limit]
        best = float(within.loc[within["accuracy"] == within["accuracy"].max(), "threshold"].min())
        chosen = {
            "validation": choose_threshold(validation, limit),
            "test sweep": choose_threshold(test, limit),
            "oracle": best,
        }
        for choice, threshold in chosen.items():
            rows.append({"budget": float(budget), "choice": choice} | _at(test, threshold))
        rows.append({"budget": float(budget), "choice": "final exit", **final, "macs": float(backbone_macs)})
    return pd.DataFrame(rows)


def _at(frame: pd.DataFrame, threshold: float) -> dict[str, float]:
    """Threshold, accuracy and macs of the row with that threshold; NaN where there is none."""
    row = frame.loc[frame["threshold"] == threshold, ["threshold", "accuracy", "macs"]]
    return dict.fromkeys(row.columns, float("nan")) if row.empty else row.iloc[0].to_dict()


def solve(validation_score: Float[Tensor, "K N"], macs: Numbers, budget_macs: Number) -> Float[Tensor, " K"]:
    """One threshold for each exit, such that validation samples cost `budget_macs` on average.

    A share q^k / sum_j q^j is to leave at exit k, with q such that the expected cost is the budget; t_k lets
    that many of the most certain validation samples that have not left go. Two details are ours: numbers are
    rounded so, and equals leave together so, that the mean validation cost is never above the budget.

    Args:
        validation_score: from `score`, on validation data.
        macs: multiply-adds per sample to reach and evaluate each exit; ascending.
        budget_macs: mean multiply-adds per sample, at least the first exit's; inf for no limit.
    Returns:
        Thresholds in [0, 1] for `exit_taken` and `outcome`, float32; the last is 0 and never looked at.
    Raises:
        SettingError: the budget is below the first exit's cost, or shapes do not fit.
    Source:
        Huang et al. 2018 (MSDNet), arXiv:1703.09844, section 5, budgeted batch classification.
    """
    if validation_score.ndim != 2 or 0 in validation_score.shape:
        raise SettingError(f"validation_score: expected (exits, samples), got {tuple(validation_score.shape)}")
    if torch.isnan(validation_score).any():
        raise SettingError("validation_score: contains NaN; expected numbers in [0, 1]")
    certainty = validation_score.detach().float().cpu()
    cost = check_macs(macs, len(certainty))
    return solve_draws(certainty[None], budget_shares(cost, budget_macs))[0]


def solve_draws(certainty: Float[Tensor, "R K N"], shares: np.ndarray) -> Float[Tensor, "R K"]:
    """Thresholds of each of R draws of samples, such that `shares` of them leave at each exit, rounded as in `solve`.

    The draws may be one set of samples R times (`expand`), for R budgets.

    Args:
        certainty: scores of the samples of each draw, in [0, 1].
        shares: (K,) for all draws, or (R, K) for each; of `budget_shares`.
    """
    draws, exits, samples = certainty.shape
    step = max(1, PART_ELEMENTS // samples)
    if draws > step:  # draw by draw the same, in less memory
        each = np.broadcast_to(shares, (draws, exits))
        parts = [solve_draws(certainty[r : r + step], each[r : r + step]) for r in range(0, draws, step)]
        return torch.cat(parts)
    leave_by = torch.from_numpy(np.ceil(shares.cumsum(axis=-1) * samples - 1e-9).clip(0, samples).astype(np.int64))
    inside = torch.ones(draws, samples, dtype=torch.bool)
    thresholds = torch.zeros(draws, exits)
    for k in range(exits - 1):
        remaining = certainty[:, k].masked_fill(~inside, -1.0)  # below every score
        wanted = leave_by[..., k] - (samples - inside.sum(dim=1))
        ranked = torch.from_numpy(
            np.sort(remaining.numpy(), axis=1)
        )  # ascending; faster than torch's, which tells places
        lowest = ranked.gather(1, samples - wanted.clamp(min=1)[:, None])  # of those who are to leave
        stay = remaining.masked_fill(remaining >= lowest, -1.0).amax(dim=1).clamp(min=0.0)
        thresholds[:, k] = torch.where(wanted > 0, stay, 1.0)  # no score is strictly above 1: nobody leaves
        inside &= certainty[:, k] <= thresholds[:, k, None]
    return thresholds


def budget_shares(cost: np.ndarray, budget: Number) -> np.ndarray:
    """Shares q^k / sum q^j whose expected cost is the budget."""
    if not budget >= cost[0]:
        raise SettingError(f"budget_macs: expected at least the first exit's {cost[0]:g}, got {budget}")
    steps = np.arange(len(cost))

    def shares(log_q: float) -> np.ndarray:
        weight = np.exp(log_q * steps - max(0.0, log_q * steps[-1]))
        return weight / weight.sum()

    if len(cost) == 1 or budget >= shares(50.0) @ cost:  # all but e^-50 at the last exit
        return np.eye(len(cost))[-1]
    if budget <= shares(-50.0) @ cost:
        return np.eye(len(cost))[0]
    return shares(brentq(lambda log_q: shares(log_q) @ cost - budget, -50.0, 50.0))
