"""Risk control: the most permissive threshold whose risk is bounded, with a guarantee that holds for any network.

Axes: K exits, N samples, C classes, T thresholds, R resamples.

The risk of a threshold is the expected loss of a new sample that leaves by it; a loss is 0 or 1:

"error": the answer is wrong.
"inconsistency": the answer is not that of the last exit. It needs no labels.
"lost": the answer is wrong and the last exit is right. Accuracy falls by at most this risk.

Two guarantees, both for samples drawn as the N that choose the threshold, of a rule that was fitted on others:

`controlled`: with probability 1 - delta over the draw of the N samples, the risk is at most epsilon. Thresholds of a
grid fixed beforehand are tested from the strictest on, "the risk is above epsilon", each at level delta; the last one
rejected before the first that is not is taken. Being wrong needs a false rejection of the first true hypothesis in
this order, whose probability is at most delta, however many thresholds there are.
`conformal`: the risk is at most epsilon in the mean over draws. It asks for less.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.errors import SettingError, choose
from eecore.inference.bounds import p_values
from eecore.inference.checks import Number, Numbers, check_labels, check_logits, check_thresholds
from eecore.inference.curve import even_thresholds
from eecore.inference.protocol import Rule
from eecore.inference.rules import score_and_prediction
from eecore.shapes import Bool, Float, Int

__all__ = ["RISKS", "Controlled", "conformal", "controlled", "losses_at", "simulated", "strictest_first"]

RISKS = ("error", "inconsistency", "lost")


class Controlled(NamedTuple):
    """A threshold with a promise.

    Args:
        threshold: in [0, 1]; NaN where nothing can be promised, not even for everyone at the last exit.
        risk: mean loss of the samples that chose it, NaN where there is none.
        tested: how many thresholds passed.
    """

    threshold: float
    risk: float
    tested: int


def losses_at(
    logits: Float[Tensor, "K N C"],
    labels: Int[Tensor, " N"] | None,
    thresholds: Numbers,
    rule: Rule = "confidence",
    risk: str = "inconsistency",
) -> Bool[Tensor, "T N"]:
    """The loss of every sample at every threshold.

    Args:
        logits: of every exit.
        labels: right classes; None will do for "inconsistency".
        thresholds: in [0, 1].
        rule: one of `rules()`, or an object (see `exit_rules`).
        risk: one of `RISKS`; "the last exit" is what the rule answers there.
    Raises:
        SettingError: an argument is not as above.
    """
    choose("risk", risk, RISKS)
    _, samples, classes = check_logits(logits).shape
    scores, predictions = (part.cpu() for part in score_and_prediction(logits, rule))
    if risk == "inconsistency":
        lost = predictions != predictions[-1]
    else:
        if labels is None:
            raise SettingError(f"labels: the risk {risk!r} needs them, got None")
        wrong = predictions != check_labels(labels, samples, classes).cpu()
        lost = wrong & ~wrong[-1] if risk == "lost" else wrong
    limits = torch.as_tensor(check_thresholds(thresholds, "thresholds"), dtype=scores.dtype)
    highest = scores[:-1].cummax(dim=0).values  # (K - 1, N)
    taken = sum((part <= limits[:, None] for part in highest), torch.zeros(len(limits), samples, dtype=torch.int64))
    return lost.gather(0, taken)


def strictest_first(passes: np.ndarray) -> np.ndarray:
    """How many thresholds pass before the first that does not, from the strictest on: (..., T) -> (...)."""
    return np.asarray(np.logical_and.accumulate(passes, axis=-1).sum(axis=-1))


def controlled(
    logits: Float[Tensor, "K N C"],
    labels: Int[Tensor, " N"] | None,
    epsilon: Number,
    delta: Number = 0.1,
    rule: Rule = "confidence",
    risk: str = "inconsistency",
    bound: str = "binomial",
    thresholds: Numbers | None = None,
) -> Controlled:
    """The lowest threshold whose risk is at most epsilon with probability 1 - delta.

    Args:
        logits, labels: of the samples that choose, such as validation; the rule must not be fitted on them.
        epsilon: the risk that is allowed, in (0, 1).
        delta: how often, over draws of such samples, the promise may be broken, in (0, 1).
        rule, risk: as in `losses_at`.
        bound: as in `p_values`.
        thresholds: the grid, chosen without looking at these samples; None: 100 even ones from 0 to 1.
    Returns:
        The threshold. At 1 everyone takes the last exit: "inconsistency" and "lost" are then 0 and need no test, so 1
        is what is returned where no test passes. For "error" nothing can be promised then: NaN.
    Raises:
        SettingError: an argument is not as above.
    Source:
        Jazbec et al. 2024, arXiv:2405.20915 (early exits); Angelopoulos et al. 2021, arXiv:2110.01052 (fixed sequence).
    """
    if not 0.0 < delta < 1.0:
        raise SettingError(f"delta: expected a number in (0, 1), got {delta}")
    limits = _descending(thresholds)
    losses = losses_at(logits, labels, limits, rule, risk)
    counts = losses.sum(dim=1).numpy()
    passed = int(strictest_first(p_values(losses.shape[1], epsilon, bound)[counts] <= delta))
    return _chosen(limits, counts / losses.shape[1], passed, risk)


def conformal(
    logits: Float[Tensor, "K N C"],
    labels: Int[Tensor, " N"] | None,
    epsilon: Number,
    rule: Rule = "confidence",
    risk: str = "inconsistency",
    thresholds: Numbers | None = None,
) -> Controlled:
    """The lowest threshold whose risk is at most epsilon in the mean over draws of such samples.

    A sample's loss need not fall with the threshold, as the proof asks; so it is replaced by its largest value at this
    or any stricter threshold. That is never smaller, so the promise holds for the loss itself.

    Args:
        logits, labels, epsilon, rule, risk, thresholds: as in `controlled`.
    Returns:
        As `controlled`; `risk` is that of the loss itself.
    Raises:
        SettingError: an argument is not as above.
    Source:
        Angelopoulos et al. 2022 (conformal risk control), arXiv:2208.02814.
    """
    if not 0.0 < epsilon < 1.0:
        raise SettingError(f"epsilon: expected a number in (0, 1), got {epsilon}")
    limits = _descending(thresholds)
    losses = losses_at(logits, labels, limits, rule, risk)
    worst = losses.int().cummax(dim=0).values.sum(dim=1).numpy()
    passed = int(strictest_first(conformal_passes(worst, losses.shape[1], float(epsilon))))
    return _chosen(limits, losses.double().mean(dim=1).numpy(), passed, risk)


def conformal_passes(worst: np.ndarray, n: int, epsilon: float) -> np.ndarray:
    """Whether (n mean + 1) / (n + 1) is within epsilon, for sums (..., T) of monotone losses of n samples."""
    return (worst + 1) / (n + 1) <= epsilon


def _descending(thresholds: Numbers | None) -> np.ndarray:
    given = even_thresholds() if thresholds is None else check_thresholds(thresholds, "thresholds")
    return np.sort(given)[::-1].copy()


def _chosen(limits: np.ndarray, risks: np.ndarray, passed: int, risk: str) -> Controlled:
    if passed:
        return Controlled(float(limits[passed - 1]), float(risks[passed - 1]), passed)
    return Controlled(float("nan"), float("nan"), 0) if risk == "error" else Controlled(1.0, 0.0, 0)


def simulated(
    losses: Bool[Tensor, "T N"],
    n: int,
    epsilon: Number,
    delta: Number | None,
    bound: str = "binomial",
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often the promise holds: thresholds from resamples, judged on all N samples, whose risk is known.

    Args:
        losses: from `losses_at`, thresholds from the strictest on.
        n: samples of each resample, drawn with replacement.
        epsilon, delta, bound: as in `controlled`; delta None: as in `conformal`.
        resamples: R.
        seed: decides the draws.
    Returns:
        One row per resample: place (of the threshold, 0..T-1; -1 where none passed), risk (of all N samples there; 0
        where none passed: then nobody leaves early, or nothing is promised), broken (risk above epsilon).
    Raises:
        SettingError: an argument is not as above.
    """
    if n < 1 or resamples < 1:
        raise SettingError(f"n, resamples: expected integers of at least 1, got {n} and {resamples}")
    samples = losses.shape[1]
    members = torch.from_numpy(np.random.default_rng(seed).integers(0, samples, (resamples, n)))
    drawn = torch.zeros(resamples, samples).scatter_add_(1, members, torch.ones(resamples, n))
    lost = losses if delta is not None else losses.int().cummax(dim=0).values
    counts = (drawn @ lost.T.float()).long().numpy()  # (R, T); exact below 2^24
    if delta is None:
        passes = conformal_passes(counts, n, float(epsilon))
    else:
        passes = p_values(n, epsilon, bound)[counts] <= delta
    place = strictest_first(passes) - 1
    true = losses.double().mean(dim=1).numpy()
    risk = np.where(place >= 0, true[np.maximum(place, 0)], 0.0)
    return pd.DataFrame({"place": place, "risk": risk, "broken": risk > epsilon})
