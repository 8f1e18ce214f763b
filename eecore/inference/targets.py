"""From wanted costs to thresholds: many budgets at once, and one threshold for a mean cost, exactly.

Axes: K exits, N validation samples, M test samples, C classes, R sets of thresholds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.budget import PART_ELEMENTS, budget_shares, solve_draws
from eecore.inference.checks import Number, Numbers, check_macs
from eecore.inference.curve import score_and_correct
from eecore.inference.protocol import Rule
from eecore.inference.rules import score
from eecore.shapes import Bool, Float, Int

__all__ = ["budgeted_batch", "leaving_at", "threshold_for_macs"]


def threshold_for_macs(validation_score: Float[Tensor, "K N"], macs: Numbers, budget_macs: Number) -> float:
    """The largest threshold, one for all exits, whose mean validation cost is within the budget: no grid.

    With m_k the largest score of a sample up to exit k, the sample is still inside behind exit k iff m_k <= t, and pays
    c_(k+1) - c_k more. So cost only grows with t, by one such step at every m_k of every sample. The steps are sorted;
    the last value before the budget would be passed is the threshold (any number up to the next value does the same).

    Args:
        validation_score: from `score`, on validation data.
        macs: multiply-adds per sample to reach and evaluate each exit; ascending.
        budget_macs: mean multiply-adds per sample, at least the first exit's; inf for no limit.
    Returns:
        A threshold for `exit_taken` and `outcome`: a score or 0 or 1; NaN where even 0 costs more, because scores of
        exactly 0 stay inside.
    Raises:
        SettingError: the budget is below the first exit's cost, or shapes do not fit.
    Example:
        >>> threshold_for_macs(torch.tensor([[0.25, 0.5, 0.75], [1.0, 1.0, 1.0]]), [1.0, 4.0], budget_macs=3.0)
        0.5
    """
    if validation_score.ndim != 2 or 0 in validation_score.shape or torch.isnan(validation_score).any():
        got = f"{tuple(validation_score.shape)}" + (" with NaN" if torch.isnan(validation_score).any() else "")
        raise SettingError(f"validation_score: expected (exits, samples) of numbers in [0, 1], got {got}")
    cost = check_macs(macs, len(validation_score))
    if not budget_macs >= cost[0]:
        raise SettingError(f"budget_macs: expected at least the first exit's {cost[0]:g}, got {budget_macs}")
    if budget_macs >= cost[-1]:
        return 1.0
    highest = validation_score.detach().cpu().cummax(dim=0).values[:-1]
    samples = highest.shape[1]
    values, order = highest.flatten().sort()
    steps = np.repeat(np.diff(cost), samples)[order.numpy()]
    spent = cost[0] * samples + np.concatenate([[0.0], steps.cumsum()])  # by all, where the first n steps are taken
    affordable = int((spent <= budget_macs * samples * (1 + 1e-12)).sum()) - 1  # steps; 1e-12: rounding of the sum
    if affordable == len(values):
        return 1.0
    taken = torch.searchsorted(values, values[affordable], right=False)  # steps of equals are taken together
    if taken == 0:
        return float("nan") if values[0] == 0.0 else 0.0
    return float(values[taken - 1])


def budgeted_batch(
    validation_logits: Float[Tensor, "K N C"],
    test_logits: Float[Tensor, "K M C"],
    test_labels: Int[Tensor, " M"],
    macs: Numbers,
    budgets: Sequence[Number],
    rule: Rule = "confidence",
) -> pd.DataFrame:
    """Budgeted batch classification: thresholds of each exit from validation, for every budget at once, used on test.

    Args:
        validation_logits: of the samples that choose the thresholds. Their labels are not needed: a budget is a cost.
        test_logits, test_labels: of the samples to report on.
        macs: multiply-adds per sample to reach and evaluate each exit; ascending.
        budgets: mean multiply-adds per sample, each at least the first exit's; inf for no limit.
        rule: one of `rules()`, or an object (see `exit_rules`).
    Returns:
        One row per budget, in the order given: budget (macs), accuracy (fraction, on test), macs (mean per test
        sample), threshold_1 to threshold_K (of `solve`), share_1 to share_K (fraction of test samples that leave at
        each exit).
    Raises:
        SettingError: there is no budget, or as in `solve`.
    Source:
        Huang et al. 2018 (MSDNet), arXiv:1703.09844.
    """
    if len(budgets) == 0:
        raise SettingError("budgets: expected mean multiply-adds per sample, at least one, got none")
    certainty = score(validation_logits, rule).cpu()
    cost = check_macs(macs, len(certainty))
    shares = np.stack([budget_shares(cost, float(budget)) for budget in budgets])
    thresholds = solve_draws(certainty.expand(len(shares), -1, -1), shares)
    left, accuracy = leaving_at(thresholds, *score_and_correct(test_logits, test_labels, rule))
    about = {"budget": np.asarray(budgets, dtype=np.float64), "accuracy": accuracy, "macs": left @ cost}
    each = {f"threshold_{k + 1}": thresholds[:, k].numpy() for k in range(len(cost))}
    return pd.DataFrame(about | each | {f"share_{k + 1}": left[:, k] for k in range(len(cost))})


def leaving_at(
    thresholds: Float[Tensor, "R K"], scores: Float[Tensor, "K M"], correct: Bool[Tensor, "K M"]
) -> tuple[np.ndarray, np.ndarray]:
    """Share of samples that leave at each exit (R, K), and accuracy (R,), for R sets of K thresholds.

    Args:
        thresholds: one for each exit; the last is never looked at.
        scores, correct: of `score_and_correct`.
    """
    draws, exits = thresholds.shape
    samples = scores.shape[1]
    step = max(1, PART_ELEMENTS // samples)
    if draws > step:
        parts = [leaving_at(part, scores, correct) for part in thresholds.split(step)]
        return np.concatenate([left for left, _ in parts]), np.concatenate([right for _, right in parts])
    inside = torch.ones(draws, samples, dtype=torch.bool)
    right, left = np.zeros(draws), np.zeros((draws, exits))
    for k in range(exits):
        leaves = inside & (scores[k] > thresholds[:, k, None]) if k < exits - 1 else inside
        counted = leaves.float() @ torch.stack([correct[k], torch.ones(samples)], dim=1)  # exact below 2^24
        right += counted[:, 0].numpy()
        left[:, k] = counted[:, 1].double().numpy()
        inside = inside & ~leaves
    return left / samples, right / samples
