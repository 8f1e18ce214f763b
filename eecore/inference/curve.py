"""Accuracy against cost: what every threshold gives, all thresholds at once.

Axes: K exits, N samples, C classes, T thresholds.

No table of T x N is made. Let m_k be the largest score of a sample up to exit k. It has left by exit k iff
m_k > t, so it leaves at exit k iff m_{k-1} <= t < m_k. How many have left by k, and how many right answers
are gained by letting them leave at k instead of k + 1, at every t, follow from m_k sorted once and a
cumulative sum. The counts are integers: they equal those of `exit_taken` at every threshold exactly.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import Number, Numbers, check_labels, check_logits, check_macs, check_thresholds
from eecore.inference.protocol import Rule
from eecore.inference.rules import exit_taken, score_and_prediction
from eecore.shapes import Float, Int

__all__ = [
    "accuracy_per_exit",
    "area_under_curve",
    "budget_thresholds",
    "curve",
    "envelope",
    "even_thresholds",
    "outcome",
    "spread_thresholds",
]


def even_thresholds(number: int = 100) -> np.ndarray:
    """`number` thresholds spread evenly over [0, 1], both ends included."""
    return np.linspace(0.0, 1.0, number)


def spread_thresholds(logits: Float[Tensor, "K N C"], rule: Rule = "confidence", number: int = 1000) -> np.ndarray:
    """Thresholds that spread the samples evenly over the scores of the exits; take those of validation for test, too.

    Even thresholds are far apart where the scores of sure exits crowd together, just below 1. Networks that are
    compared at one budget can then not all spend it; with these they can.

    Args:
        logits: of every exit, on validation data.
        rule: one of `rules()`, or an object (see `exit_rules`).
        number: of thresholds, at least 2; 0 and 1 are the first and the last.
    Returns:
        Quantiles of the scores at all exits but the last, ascending.
    Raises:
        SettingError: `number` is below 2, or as in `score`.
    Example:
        >>> logits = torch.tensor([[[1.0, 1.0], [100.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
        >>> spread_thresholds(logits, number=3)
        array([0.  , 0.75, 1.  ])
    """
    if number < 2:
        raise SettingError(f"number: expected at least 2, got {number}")
    return spread_over(score_and_prediction(logits, rule)[0], number)


def budget_thresholds(logits: Float[Tensor, "K N C"], rule: Rule = "confidence") -> np.ndarray:
    """Thresholds among which those for budgets are chosen: 100 even ones, and 1000 of `spread_thresholds`.

    Even ones alone cannot spend a budget where sure exits crowd: from 0.9899 to 1 the cost may jump by half of the
    backbone's.

    Args:
        logits: of every exit, on validation data; the same thresholds are then used on test.
        rule: one of `rules()`, or an object (see `exit_rules`).
    Returns:
        Each once, ascending, from 0 to 1.
    Raises:
        SettingError: as in `score`.
    """
    return np.union1d(even_thresholds(), spread_thresholds(logits, rule))


def spread_over(scores: Float[Tensor, "K N"], number: int) -> np.ndarray:
    """`spread_thresholds` from the scores themselves."""
    inside = scores[:-1].flatten().sort().values.double().cpu().numpy()
    if inside.size == 0:
        return even_thresholds(number)
    place = np.linspace(0.0, inside.size - 1.0, number)[1:-1]
    between = np.interp(place, np.arange(inside.size), inside)  # sorted once; np.quantile partitions for each
    return np.concatenate([[0.0], between, [1.0]])


def accuracy_per_exit(logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"]) -> Float[Tensor, " K"]:
    """Accuracy of every exit on all samples, as if each were the only one.

    Args:
        logits: of every exit, any floating type.
        labels: right classes, 0..C-1.
    Returns:
        Fractions in [0, 1], float64.
    Raises:
        SettingError: shapes, labels or logits are not as above.
    Example:
        >>> logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
        >>> accuracy_per_exit(logits, torch.tensor([0, 1]))
        tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    return score_and_correct(logits, labels, "confidence")[1].double().mean(dim=1)


def curve(
    logits: Float[Tensor, "K N C"],
    labels: Int[Tensor, " N"],
    macs: Numbers,
    rule: Rule = "confidence",
    thresholds: Numbers | None = None,
) -> pd.DataFrame:
    """Accuracy, mean cost and share of samples per exit at every threshold.

    Args:
        logits: of every exit, any floating type.
        labels: right classes, 0..C-1.
        macs: multiply-adds per sample to reach and evaluate each exit, heads on the way included; ascending.
        rule: one of `rules()`, or an object (see `exit_rules`).
        thresholds: in [0, 1], in any order; None for 100 even ones from 0 to 1.
    Returns:
        One row per threshold, in the order given: threshold, accuracy (fraction), macs (mean per sample),
        share_1 to share_K (fraction of samples that leave at each exit).
    Raises:
        SettingError: an argument is not as above; nothing is guessed.
    Source:
        Kaya et al. 2019, arXiv:1810.07052; same numbers as `exit_taken` at each threshold.
    """
    limits = even_thresholds() if thresholds is None else check_thresholds(thresholds, "thresholds")
    scores, correct = score_and_correct(logits, labels, rule)
    cost = check_macs(macs, len(scores))
    counts, right = _counts(scores, correct, limits)
    samples = scores.shape[1]
    columns = {"threshold": limits, "accuracy": right / samples, "macs": counts @ cost / samples}
    shares = {f"share_{k + 1}": counts[:, k] / samples for k in range(len(cost))}
    return pd.DataFrame(columns | shares)


def outcome(
    logits: Float[Tensor, "K N C"],
    labels: Int[Tensor, " N"],
    macs: Numbers,
    threshold: Number | Numbers,
    rule: Rule = "confidence",
) -> dict[str, float]:
    """Accuracy and mean cost at one threshold, or with one threshold for each exit (see `solve`).

    Args:
        logits, labels, macs, rule: as in `curve`.
        threshold: in [0, 1], one number or K of them.
    Returns:
        accuracy (fraction) and macs (mean per sample).
    Raises:
        SettingError: as in `curve`.
    """
    scores, correct = score_and_correct(logits, labels, rule)
    cost = check_macs(macs, len(scores))
    taken = exit_taken(scores, threshold)
    right = int(correct.gather(0, taken[None]).sum())
    counts = np.bincount(taken.numpy(), minlength=len(cost))
    return {"accuracy": right / len(taken), "macs": float(counts @ cost) / len(taken)}


def score_and_correct(logits: Tensor, labels: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Scores and whether the prediction is right, both (K, N), on the CPU; arguments checked."""
    _, samples, classes = check_logits(logits).shape
    labels = check_labels(labels, samples, classes)
    scores, predictions = score_and_prediction(logits, rule)
    return scores.cpu(), predictions.cpu() == labels.cpu()


def _counts(scores: Tensor, correct: Tensor, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples that leave at each exit (T, K) and right answers (T,), at every threshold, as integers."""
    exits, samples = scores.shape
    limits = torch.as_tensor(thresholds, dtype=scores.dtype)  # compared in the type of the scores, as in exit_taken
    left_by = torch.full((exits + 1, len(limits)), samples, dtype=torch.int64)  # row k: have left before exit k
    left_by[0] = 0
    right = correct[-1].sum() + torch.zeros(len(limits), dtype=torch.int64)  # if everyone went to the last exit
    if exits > 1:
        highest, order = scores[:-1].cummax(dim=0).values.sort(dim=1)
        gain = correct[:-1].long() - correct[1:].long()  # of leaving at k instead of at k + 1
        gained = torch.zeros(exits - 1, samples + 1, dtype=torch.int64)  # by the n least certain
        gained[:, 1:] = gain.gather(1, order).cumsum(dim=1)
        stay = torch.searchsorted(
            highest, limits.expand(exits - 1, -1).contiguous(), right=True
        )  # number with m_k <= t
        left_by[1:-1] = samples - stay
        right += (gained[:, -1:] - gained.gather(1, stay)).sum(dim=0)
    return left_by.diff(dim=0).T.numpy(), right.numpy()


def envelope(costs: Numbers, accuracies: Numbers, at: Numbers) -> np.ndarray:
    """Best accuracy among the points of a curve that cost no more: a step function that never falls.

    Args:
        costs: of the points of one curve, any unit, any order.
        accuracies: of the same points.
        at: costs where the envelope is wanted.
    Returns:
        One accuracy for each of `at`; NaN where no point is that cheap.
    Raises:
        SettingError: lengths differ, or there are no points.
    Example:
        >>> envelope([1.0, 2.0, 3.0], [0.5, 0.8, 0.7], at=[0.5, 1.0, 2.5, 3.5])
        array([nan, 0.5, 0.8, 0.8])
    """
    cost, accuracy = np.asarray(costs, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != accuracy.shape or cost.size == 0:
        raise SettingError(f"costs, accuracies: expected equal lengths, got {cost.shape} and {accuracy.shape}")
    order = np.argsort(cost, kind="stable")
    best = np.concatenate([[np.nan], np.maximum.accumulate(accuracy[order])])
    return best[np.searchsorted(cost[order], np.asarray(at, dtype=np.float64), side="right")]


def area_under_curve(curve_frame: pd.DataFrame, backbone_macs: Number) -> float:
    """Mean accuracy over all budgets between the first exit and the backbone alone.

    Exactly: with x = macs / backbone_macs, the integral of `envelope` (at x the best accuracy among the
    points of the curve that cost at most x; steps, no interpolation) from the smallest x of the curve to 1,
    divided by that width. A curve that contains threshold 0 starts at c_1 / c_backbone. Points beyond 1 (the
    heads on the way cost too) do not count. Curves are comparable where they start at the same cost, that is
    for the same model. The best threshold at each cost is chosen on the curve's own data: of a curve on test, the
    area is an oracle's, somewhat above what thresholds chosen on validation give.

    Args:
        curve_frame: from `curve`; its columns macs and accuracy are used.
        backbone_macs: multiply-adds per sample of stem, blocks and last head alone.
    Returns:
        A fraction in [0, 1]; the accuracy itself where the width is zero; NaN where every point costs more
        than the backbone.
    Raises:
        SettingError: the columns are missing or `backbone_macs` is not positive.
    Example:
        >>> area_under_curve(pd.DataFrame({"macs": [50.0, 75.0], "accuracy": [0.6, 0.8]}), 100.0)
        0.7
    """
    absent = [column for column in ("macs", "accuracy") if column not in curve_frame]
    if absent:
        raise SettingError(f"curve_frame: lacks the columns {', '.join(absent)}; expected a frame from curve")
    if not 0 < backbone_macs < np.inf:
        raise SettingError(f"backbone_macs: expected a positive number, got {backbone_macs}")
    x = curve_frame["macs"].to_numpy(np.float64) / backbone_macs
    edges = np.append(np.unique(x[x < 1.0]), 1.0)  # a step begins at each
    heights = envelope(x, curve_frame["accuracy"], at=edges)
    width = edges[-1] - edges[0]
    if width == 0.0:
        return float(heights[0])
    return float((heights[:-1] * np.diff(edges)).sum() / width)
