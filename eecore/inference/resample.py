"""What a threshold is worth that was chosen on few validation samples: many draws of n of them, all at once.

Axes: K exits, E = K - 1 (all but the last), N validation samples, M test samples, C classes, T thresholds, R draws,
n samples of a draw.

A threshold is chosen by cost alone, and cost by who leaves where. So it is looked up once from which of T thresholds on
each of N samples stays behind each exit; what a draw costs at all of them is a count of its members, summed up.
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
from eecore.inference.curve import budget_thresholds, curve, score_and_correct
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

    Two methods: "one threshold" for all exits, the largest whose mean cost on the draw is within the budget, as
    "validation" of `budget_table`, for every draw among the same thresholds (`budget_thresholds` of all N samples);
    "one per exit", as `solve` finds them on the draw.

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
    thresholds = budget_thresholds(validation_logits, rule)
    on_test, cost = curve(test_logits, test_labels, macs, rule, thresholds), check_macs(macs, len(scores))
    stays_from, limits = _stays_from(certainty, thresholds), np.asarray(budgets, dtype=np.float64) * backbone_macs
    orders = draws(total, resamples, seed)
    rows: list[tuple[np.ndarray, ...]] = []
    for n in sizes:
        members = torch.as_tensor(orders[: 1 if n == total else resamples, :n])
        mean_cost, drawn = (
            _costs(stays_from, members, len(thresholds), cost),
            certainty[:, members].transpose(0, 1).contiguous(),
        )
        for limit in limits:
            rows.append(_one(mean_cost, limit, on_test))
            shares = budget_shares(cost, limit) if limit >= cost[0] else None
            solved = None if shares is None else solve_draws(drawn, shares)
            rows.append(_per_exit(solved, len(members), scores, correct, cost))
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


def _stays_from(certainty: Float[Tensor, "K N"], thresholds: np.ndarray) -> Int[Tensor, "E N"]:
    """Place of the first threshold at which a sample stays behind each exit but the last: its highest score so far."""
    limits = torch.as_tensor(thresholds, dtype=certainty.dtype)  # compared in the type of the scores
    return torch.searchsorted(limits, certainty.cummax(dim=0).values[:-1].contiguous())


def _costs(stays_from: Int[Tensor, "E N"], members: Int[Tensor, "R n"], number: int, cost: np.ndarray) -> np.ndarray:
    """Mean cost of each draw at each of a number of thresholds, (R, T).

    A sample that stays behind exit k costs c_(k+1) - c_k more than one that leaves there.
    """
    draws, samples = members.shape
    total = np.full((draws, number), cost[0] * samples)
    for place, more in zip(stays_from, np.diff(cost), strict=True):
        places = place[members]
        begin = torch.zeros(draws, number, dtype=torch.int64).scatter_add_(1, places, torch.ones_like(places))
        total += more * begin.cumsum(dim=1).numpy()
    return total / samples


def _one(mean_cost: np.ndarray, limit: float, on_test: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """The largest threshold within the budget for each draw, and what it gives on test: accuracy, macs."""
    within = mean_cost <= limit
    last = within.shape[1] - 1 - within[:, ::-1].argmax(axis=1)
    columns = (on_test[name].to_numpy()[last] for name in ("threshold", "accuracy", "macs"))
    return tuple(np.where(within.any(axis=1), column, np.nan) for column in columns)


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
