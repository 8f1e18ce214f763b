"""What a threshold is worth that was chosen on few validation samples: many draws of n of them, all at once.

Axes: K exits, N validation samples, M test samples, C classes, T thresholds, R draws, n samples of a draw.

A threshold is chosen by cost alone, and cost by who leaves where: how many of a draw have left by an exit at each of T
thresholds is looked up among its sorted scores.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.budget import BUDGETS, budget_shares, solve_draws
from eecore.inference.checks import Number, Numbers, check_macs
from eecore.inference.curve import candidates, curve, score_and_correct
from eecore.inference.protocol import Rule
from eecore.inference.rules import score
from eecore.inference.targets import leaving_at
from eecore.shapes import Bool, Float, Int

__all__ = ["ONE", "PER_EXIT", "draws", "resampled_budgets"]

ONE, PER_EXIT = "one threshold", "one per exit"


def draws(samples: int, resamples: int, seed: int) -> np.ndarray:
    """Random orders of the samples, (R, N): the first n of a row are a draw of n of them without replacement.

    Raises:
        SettingError: `resamples` is smaller than 1.
    Example:
        >>> draws(4, 2, seed=0).tolist()
        [[2, 0, 1, 3], [3, 2, 1, 0]]
    """
    if resamples < 1:
        raise SettingError(f"resamples: expected an integer of at least 1, got {resamples}")
    return np.random.default_rng(seed).permuted(np.tile(np.arange(samples), (resamples, 1)), axis=1)


def resampled_budgets(
    validation_logits: Float[Tensor, "K N C"],
    test_logits: Float[Tensor, "K M C"],
    test_labels: Int[Tensor, " M"],
    macs: Numbers,
    backbone_macs: Number,
    sizes: Sequence[int],
    resamples: int = 100,
    rule: Rule = "confidence",
    budgets: Sequence[Number] = BUDGETS,
    seed: int = 0,
) -> pd.DataFrame:
    """Test accuracy and cost of thresholds that were chosen on n of the validation samples, draw by draw.

    Two methods: "one threshold" for all exits, the largest of those of `budget_table` whose mean cost on the draw is
    within the budget, as its "validation"; "one per exit", as `solve` finds them on the draw.

    Args:
        validation_logits: of the samples to draw from. Their labels are not needed: a budget is a cost.
        test_logits, test_labels: of the samples to report on.
        macs, backbone_macs, rule, budgets: as in `budget_table`.
        sizes: n, each from 1 to N. All N of them are one draw; fewer are `resamples` draws without replacement.
        resamples: number R of draws of each size.
        seed: decides the draws; those of a smaller n are part of those of a larger one.
    Returns:
        One row per size, budget, method and draw: samples (n), draw, budget (fraction of the backbone's), method,
        threshold (NaN for one per exit), accuracy (fraction, on test), macs (mean per test sample). A budget below the
        first exit's cost has NaN in the last three.
    Raises:
        SettingError: an argument is not as above.
    Source:
        One per exit: Huang et al. 2018 (MSDNet), arXiv:1703.09844.
    """
    certainty = score(validation_logits, rule).cpu()
    total = certainty.shape[1]
    if not sizes or not all(1 <= n <= total for n in sizes):
        raise SettingError(f"sizes: expected integers from 1 to the {total} samples that there are, got {list(sizes)}")
    scores, correct = score_and_correct(test_logits, test_labels, rule)
    cost = check_macs(macs, len(scores))
    limits = np.asarray(budgets, dtype=np.float64) * backbone_macs
    orders = draws(total, resamples, seed)
    rows: list[tuple[np.ndarray, ...]] = []
    for n in sizes:
        members = torch.as_tensor(orders[: 1 if n == total else resamples, :n])
        drawn = certainty[:, members].transpose(0, 1).contiguous()
        given = candidates(drawn)
        mean_cost = _costs(drawn.cummax(dim=1).values, torch.tensor(given, dtype=drawn.dtype), cost)
        for limit in limits:
            chosen = _largest_within(mean_cost, given, limit)
            rows.append(_one(chosen, (test_logits, test_labels, macs, rule)))
            shares = budget_shares(cost, limit) if limit >= cost[0] else None
            thresholds = None if shares is None else solve_draws(drawn, shares)
            rows.append(_per_exit(thresholds, len(members), scores, correct, cost))
    return _frame(rows, sizes, budgets)


def _frame(rows: list[tuple[np.ndarray, ...]], sizes: Sequence[int], budgets: Sequence[Number]) -> pd.DataFrame:
    """The columns threshold, accuracy, macs of every size, budget and method, one below the other, with their names."""
    about = list(itertools.product(sizes, map(float, budgets), (ONE, PER_EXIT)))
    counts = [len(part[0]) for part in rows]
    names = {
        name: np.repeat(np.array([each[i] for each in about]), counts)
        for i, name in enumerate(("samples", "budget", "method"))
    }
    values = zip(("threshold", "accuracy", "macs"), map(np.concatenate, zip(*rows, strict=True)), strict=True)
    return pd.DataFrame({**names, "draw": np.concatenate([np.arange(n) for n in counts]), **dict(values)})


def _costs(highest: Float[Tensor, "R K n"], limits: Float[Tensor, "R T"], cost: np.ndarray) -> np.ndarray:
    """Mean cost of each draw at each of its thresholds, (R, T).

    A sample has left by an exit where its highest score so far passes the threshold; by the last one everyone has.
    """
    samples = highest.shape[2]
    ranked = highest.sort(dim=2).values
    left = [
        samples - torch.searchsorted(ranked[:, k].contiguous(), limits.contiguous(), right=True)
        for k in range(len(cost) - 1)
    ]
    counts = torch.stack([*left, torch.full(limits.shape, samples)], dim=2).double().numpy()  # (R, T, K)
    return np.diff(counts, axis=2, prepend=0.0) @ cost / samples


def _largest_within(mean_cost: np.ndarray, limits: np.ndarray, budget: float) -> np.ndarray:
    """The largest threshold of each draw whose cost is within the budget, (R,); NaN where none is."""
    within = mean_cost <= budget
    last = within.shape[1] - 1 - within[:, ::-1].argmax(axis=1)
    return np.where(within.any(axis=1), np.take_along_axis(limits, last[:, None], axis=1)[:, 0], np.nan)


def _one(thresholds: np.ndarray, test: tuple[Tensor, Tensor, Numbers, Rule]) -> tuple[np.ndarray, ...]:
    """Each draw's threshold, and what it gives on test: accuracy, macs."""
    out = np.full((3, len(thresholds)), np.nan)
    there = ~np.isnan(thresholds)
    if there.any():
        on_test = curve(*test, thresholds[there])
        out[:, there] = on_test[["threshold", "accuracy", "macs"]].to_numpy().T
    return tuple(out)


def _per_exit(
    thresholds: Float[Tensor, "R K"] | None,
    number: int,
    scores: Float[Tensor, "K M"],
    correct: Bool[Tensor, "K M"],
    cost: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """What K thresholds of each of a number of draws give on test: NaN (for one threshold), accuracy, macs."""
    nothing = np.full(number, np.nan)
    if thresholds is None:
        return nothing, nothing, nothing
    shares, accuracy = leaving_at(thresholds, scores, correct)
    return nothing, accuracy, shares @ cost
