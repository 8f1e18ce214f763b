"""Mutual information of Z plus Gaussian noise, from pairwise distances of the samples.

N samples, D features, C classes, s^2 the variance of the noise added to each feature. X data, Y labels, Z a
block's output. With X uniform on the N samples, Z + noise is a mixture of N Gaussians of which only the
entropy is not known in closed form; pairwise distances bound it from both sides. In nats.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import logsumexp

from eecore.analysis.information import Features, Labels, entropy, features, labels
from eecore.errors import SettingError, choose
from eecore.shapes import Float, Int


@dataclass(frozen=True)
class Bounds:
    """Mutual information between two bounds, in nats.

    Args:
        lower, upper: hold for the N samples taken as the whole distribution of X; not for the population.
        estimate: what is usually plotted. I(X;Z): the upper bound. I(Y;Z): upper bound of H(Z) minus upper
            bound of H(Z|Y), which is no bound but lies between the two.
    """

    lower: float
    upper: float
    estimate: float


def squared_distances(z: Features) -> Float[np.ndarray, "N N"]:
    """Squared Euclidean distances of all pairs of samples, by one matrix product in float64.

    Raises:
        SettingError: z is not finite or has fewer than 2 samples.
    """
    rows = features(z)
    rows = rows - rows.mean(axis=0)  # differences of large numbers lose digits
    gram = rows @ rows.T
    squares = gram.diagonal()
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * gram, 0.0)
    np.fill_diagonal(distances, 0.0)
    return distances


def kde_information(
    z: Features,
    y: Labels | None = None,
    *,
    noise_variance: float,
    distances: Float[np.ndarray, "N N"] | None = None,
) -> Bounds:
    """Bounds of I(X; Z + noise), or of I(Y; Z + noise), with noise from N(0, s^2) on every feature.

    H(Z) - H(Z|X) = -mean_i log mean_j exp(-D_ij), where `D = |z_i - z_j|^2 / 2s^2` (Kullback-Leibler) gives
    the upper and / 8s^2 (Bhattacharyya) the lower bound. Both tend to log N for small s (all samples are
    told apart) and to 0 for large s. I(Y;Z) takes H(Z) from one side and H(Z|Y) from the other and is cut
    to [0, H(Y)].

    Args:
        z: a block's output.
        y: labels for I(Y;Z); None for I(X;Z).
        noise_variance: s^2, in squared units of z; above 0. It is part of the number: state it.
        distances: `squared_distances(z)` where it is known already (several s^2, X and Y).
    Returns:
        The two bounds and the usual estimate.
    Raises:
        SettingError: s^2 is not above 0, z is not finite or has fewer than 2 samples, or y has one class.
    Source:
        Kolchinsky & Tracey 2017, arXiv:1706.02419 (pairwise-distance bounds); Saxe et al. 2018 (the estimate).
    Example:
        >>> kde_information(np.array([[0.0], [1e3]]), noise_variance=1.0).upper == math.log(2)
        True
    """
    _check_noise(noise_variance)
    squared = squared_distances(z) if distances is None else distances
    if squared.shape != (len(z), len(z)):
        raise SettingError(f"distances: {(len(z), len(z))} values are needed, {squared.shape} came")
    low, high = (_mixture(squared, divisor * noise_variance) for divisor in (8, 2))
    if y is None:
        return Bounds(low, high, high)
    classes, counts = labels(y, len(squared))
    low_given, high_given = 0.0, 0.0
    for c, count in enumerate(counts):  # (N, N) is cut into C squares
        members = np.flatnonzero(classes == c)
        within = squared[np.ix_(members, members)]
        low_given += count / len(squared) * _mixture(within, 8 * noise_variance)
        high_given += count / len(squared) * _mixture(within, 2 * noise_variance)
    most = entropy(counts)
    lower, upper, estimate = (
        min(max(value, 0.0), most) for value in (low - high_given, high - low_given, high - high_given)
    )
    return Bounds(lower, upper, estimate)


def kawaguchi_information(
    z: Features,
    given: Labels | None = None,
    *,
    noise_variance: float,
    evaluated: int | None = None,
    references: int | None = None,
    form: Literal["mc", "jensen"] = "mc",
    offset: Literal["removed", "published"] = "removed",
    seed: int = 0,
) -> float:
    """I(X;Z), or I(X;Z|Y) with labels given, by the conditional-sample form of Kawaguchi et al.

    mean_i [log p(z_i | x_i) - log mean_j p(z_i | x_j)], p(. | x_j) = N(z_j, s^2), for evaluated samples i
    and reference samples j, drawn with replacement as in the authors' code; within a class, averaged over
    classes by their size, where labels are given. The code evaluates at the noise-free z_i. So without
    drawing, "mc" is the upper bound of `kde_information`; I(Y;Z) = I(X;Z) - I(X;Z|Y).

    Args:
        z: a block's output.
        given: labels for I(X;Z|Y); None for I(X;Z).
        noise_variance: s^2, in squared units of z; above 0.
        evaluated, references: number of samples drawn for i and j (in each class); None takes all once.
        form: "mc" log of the mean over j, "jensen" mean over j of the log, which is larger.
        offset: "published" adds (D - 1) / 2 log(2 pi s^2): the authors' code normalises p(z_i | x_i) over one
            feature and the mixture over all D. Such values compare only at equal D and s^2, and may be negative.
        seed: of the draws.
    Returns:
        Nats.
    Raises:
        SettingError: s^2 is not above 0, z is not finite or has fewer than 2 samples, one class, an unknown
            form or offset, or a number of samples below 1.
    Source:
        Kawaguchi et al. 2023, arXiv:2305.18887, and its code, github.com/xu-ji/information-bottleneck
        (compute_MI_Z_X and compute_MI_Z_Xy; defaults there depend on the experiment).
    """
    _check_noise(noise_variance)
    choose("form", form, ("mc", "jensen"))
    choose("offset", offset, ("removed", "published"))
    for name, number in (("evaluated", evaluated), ("references", references)):
        if number is not None and number < 1:
            raise SettingError(f"{name}: at least 1 sample is needed, {number} came")
    rows = features(z)
    generator = np.random.default_rng(seed)
    groups = [np.arange(len(rows))]
    if given is not None:
        classes, counts = labels(given, len(rows))
        groups = [np.flatnonzero(classes == c) for c in range(len(counts))]
    total = 0.0
    for members in groups:
        i = _draw(members, evaluated, generator)
        j = _draw(members, references, generator)
        between = _between(rows[i], rows[j]) / (2 * noise_variance)
        terms = between.mean(axis=1) if form == "jensen" else _minus_log_mean_exp(between)
        total += len(members) / len(rows) * float(terms.mean())
    if offset == "published":
        total += (rows.shape[1] - 1) / 2 * math.log(2 * math.pi * noise_variance)
    return total


def _check_noise(noise_variance: float) -> None:
    if not (math.isfinite(noise_variance) and noise_variance > 0):
        raise SettingError(f"noise_variance: a finite number above 0 is needed, {noise_variance} came")


def _minus_log_mean_exp(distances: Float[np.ndarray, "M N"]) -> Float[np.ndarray, " M"]:
    return math.log(distances.shape[1]) - logsumexp(-distances, axis=1)


def _mixture(squared: Float[np.ndarray, "M M"], divisor: float) -> float:
    """Entropy of a mixture of equal Gaussians minus that of one, bounded through pairwise distances."""
    return max(0.0, float(_minus_log_mean_exp(squared / divisor).mean()))


def _draw(members: Int[np.ndarray, " M"], number: int | None, generator: np.random.Generator) -> Int[np.ndarray, " R"]:
    return members if number is None else generator.choice(members, number, replace=True)


def _between(a: Float[np.ndarray, "M D"], b: Float[np.ndarray, "R D"]) -> Float[np.ndarray, "M R"]:
    """Squared distances of every row of a to every row of b."""
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T, 0.0)
