"""Lower bound of mutual information from a critic that tells true pairs from shuffled ones.

N samples, D features of A, E features of B. In nats.
"""

import math
from typing import Literal

import numpy as np
from scipy.special import logsumexp

from eecore.analysis.information import Features, features
from eecore.errors import SettingError, choose
from eecore.shapes import Float


def infonce_bound(scores: Float[np.ndarray, "N N"]) -> float:
    """InfoNCE: mean_i [f(a_i, b_i) - log mean_j exp f(a_i, b_j)] <= I(A;B), and never above log N.

    Args:
        scores: critic f of a_i (rows) and b_j (columns); true pairs on the diagonal. The critic must not have
            been fitted to these samples, else it is no bound.
    Returns:
        Nats; holds in expectation. May be negative for a bad critic.
    Raises:
        SettingError: the scores are not square, not finite, or of fewer than 2 samples.
    Source:
        van den Oord et al. 2018, arXiv:1807.03748; Poole et al. 2019, arXiv:1905.06922.
    Example:
        >>> infonce_bound(np.diag([1e3, 1e3])) == math.log(2)
        True
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) < 2:
        raise SettingError(f"scores: a square of at least 2 samples is needed, {scores.shape} came")
    if not np.isfinite(scores).all():
        raise SettingError("scores: NaN or infinity")
    return float((scores.diagonal() - logsumexp(scores, axis=1)).mean() + math.log(len(scores)))


def infonce_information(
    a: Features,
    b: Features,
    *,
    critic: Literal["gaussian", "bilinear"] = "gaussian",
    ridge: float = 1e-3,
    seed: int = 0,
) -> float:
    """InfoNCE with a critic in closed form, fitted to one half of the samples and evaluated on the other.

    "gaussian": f = log N(b; a W, S) - log N(b; 0, T), from linear regression with Gaussian residuals: the best critic
    of jointly Gaussian variables. "bilinear": its part a W S^-1 b alone, which misses the term in b squared. Sees
    linear dependence only. The bound's ceiling is log(N / 2).

    Args:
        a, b: N samples each.
        critic: "gaussian" or "bilinear".
        ridge: added to the diagonal of both covariances, as a fraction of their mean diagonal; 0 or more.
        seed: of the split into halves.
    Returns:
        Nats; a lower bound in expectation.
    Raises:
        SettingError: a value is not finite, the numbers of samples differ, there are fewer than 4, a variable is
            constant or its covariance singular, the critic is unknown, or the ridge is negative.
    """
    choose("critic", critic, ("gaussian", "bilinear"))
    if not ridge >= 0:
        raise SettingError(f"ridge: must be 0 or more, {ridge} came")
    first, second = features(a, 4, "a"), features(b, 4, "b")
    if len(first) != len(second):
        raise SettingError(f"b: {len(second)} samples came, a has {len(first)}")
    order = np.random.default_rng(seed).permutation(len(first))
    fit, held = order[: len(order) // 2], order[len(order) // 2 :]
    means = first[fit].mean(axis=0), second[fit].mean(axis=0)
    x, t = first - means[0], second - means[1]
    try:
        weights = np.linalg.solve(_covariance(x[fit], ridge), x[fit].T @ t[fit] / len(fit))
        precision = np.linalg.inv(_covariance(t[fit] - x[fit] @ weights, ridge))
        marginal = np.linalg.inv(_covariance(t[fit], ridge))
    except np.linalg.LinAlgError:
        raise SettingError("a, b: a covariance is singular; raise `ridge` or leave out constant features") from None
    predicted, target = x[held] @ weights, t[held]
    scores = predicted @ precision @ target.T
    if critic == "gaussian":  # terms in a alone cancel in the bound
        scores = scores - 0.5 * np.einsum("nd,de,ne->n", target, precision - marginal, target)[None, :]
    return infonce_bound(scores)


def _covariance(rows: Float[np.ndarray, "M D"], ridge: float) -> Float[np.ndarray, "D D"]:
    """Covariance of centred rows, with a share of its mean diagonal added."""
    matrix = rows.T @ rows / len(rows)
    return matrix + ridge * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
