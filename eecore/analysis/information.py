"""Mutual information of a block's output: inputs and results shared by all estimators, binning, probes, order.

N samples, D features (all axes of Z but the first, flattened), C classes. X data, Y labels, Z a block's output.
All information is in nats. A deterministic network has no useful I(X;Z) of its own: it is infinite for
continuous X, log N for N different samples. Each estimator makes it finite in its own way (bins, noise),
which is part of the number: compare only values of one estimator with equal settings, N and D.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from eecore.errors import SettingError
from eecore.shapes import Float, Int

Features = Float[np.ndarray, "N ..."] | Float[Tensor, "N ..."]
Labels = Int[np.ndarray, " N"] | Int[Tensor, " N"]


def features(z: Features, smallest: int = 2, name: str = "z") -> Float[np.ndarray, "N D"]:
    """One row of float64 per sample, checked.

    Args:
        z: a block's output, N samples first.
        smallest: number of samples that the estimator needs.
        name: of the argument, for the error.
    Raises:
        SettingError: z has too few samples, no features, or values that are not finite.
    """
    rows = z.detach().cpu().double().numpy() if isinstance(z, Tensor) else np.asarray(z, dtype=np.float64)
    if rows.ndim == 0 or len(rows) < smallest:
        came = len(rows) if rows.ndim else "no"
        raise SettingError(f"{name}: at least {smallest} samples are needed, {came} came")
    rows = rows.reshape(len(rows), -1)
    if rows.shape[1] == 0:
        raise SettingError(f"{name}: there are no features, the shape is {tuple(z.shape)}")
    if not np.isfinite(rows).all():
        raise SettingError(f"{name}: NaN or infinity in {int((~np.isfinite(rows)).any(axis=1).sum())} samples")
    return rows


def labels(y: Labels, samples: int | None = None) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " C"]]:
    """Classes numbered from 0 without gaps, and how many samples each has.

    Args:
        y: labels.
        samples: number of labels that there must be; None for any.
    Raises:
        SettingError: the number of labels is wrong, or all are the same.
    Example:
        >>> labels(np.array([3, 9, 9]))
        (array([0, 1, 1]), array([1, 2]))
    """
    values = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if samples is not None and len(values) != samples:
        raise SettingError(f"y: {len(values)} labels came for {samples} samples")
    present, classes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise SettingError(f"y: at least 2 classes are needed, {len(present)} came")
    return classes.reshape(-1), counts


def entropy(counts: Int[np.ndarray, " C"]) -> float:
    """Entropy of observed frequencies, in nats (plug-in: about (C - 1) / 2N too small).

    Example:
        >>> round(entropy(np.array([5, 5])), 4)
        0.6931
    """
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def label_entropy(y: Labels) -> float:
    """H(Y) in nats: the most that any Z can tell about the labels.

    Raises:
        SettingError: there is one class only.
    """
    return entropy(labels(y)[1])


def binned_information(
    z: Features, y: Labels | None = None, *, bins: int = 30, limits: tuple[float, float] | None = None
) -> float:
    """Information of the binned Z: I(X; bin(Z)) = H(bin(Z)) for a deterministic network, or I(Y; bin(Z)).

    Plug-in estimate from counts of whole binned rows. I(X;Z) is at most log N and is log N as soon as all
    rows differ, which with many features they do; I(Y;Z) is then H(Y). Bias of I(Y;Z): upwards, about
    (cells of Y and Z together - cells of Z - C + 1) / 2N.

    Args:
        z: a block's output.
        y: labels for I(Y;Z); None for I(X;Z).
        bins: of equal width for every feature, 1 to 65535.
        limits: of the bins, the same for all features; None for smallest and largest value of z. What lies
            outside counts as in the outermost bin.
    Returns:
        Nats.
    Raises:
        SettingError: z is not finite, has fewer than 2 samples, the bins are impossible, or y has one class.
    Source:
        Shwartz-Ziv & Tishby 2017, arXiv:1703.00810; Saxe et al. 2018 (one range for all features).
    Example:
        >>> z = np.array([[0.0], [0.1], [0.9], [1.0]])
        >>> round(binned_information(z, np.array([0, 0, 1, 1]), bins=2), 4)
        0.6931
    """
    rows = features(z)
    if not 1 <= bins <= 65535:
        raise SettingError(f"bins: {bins} came, 1 to 65535 are allowed")
    low, high = (float(rows.min()), float(rows.max())) if limits is None else limits
    if limits is not None and not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SettingError(f"limits: two ascending finite numbers are needed, {limits} came")
    width = (high - low) / bins or 1.0  # all values equal: one bin
    codes = np.clip((rows - low) / width, 0, bins - 1).astype(np.uint8 if bins <= 256 else np.uint16)
    # a row as one string of bytes: sorted by memcmp, 50 times as fast as np.unique(axis=0)
    words = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.itemsize * codes.shape[1]))).ravel()
    _, cells, counts = np.unique(words, return_inverse=True, return_counts=True)
    if y is None:
        return entropy(counts)
    classes, per_class = labels(y, len(rows))
    _, joint = np.unique(cells.reshape(-1) * len(per_class) + classes, return_counts=True)
    return max(0.0, entropy(counts) + entropy(per_class) - entropy(joint))


def probe_bound(cross_entropy: float, y: Labels) -> float:
    """Lower bound of I(Y;Z) from any classifier that reads Z: H(Y) - cross-entropy.

    Holds in expectation for data that the classifier was not fitted to. It may be negative: then the
    classifier is worse than the class frequencies, and 0 is the better bound.

    Args:
        cross_entropy: of the classifier on held-out samples, mean, in nats, at least 0.
        y: labels of those samples.
    Raises:
        SettingError: the cross-entropy is negative or not finite, or y has one class.
    Source:
        Barber & Agakov 2003 (variational bound); Xu et al. 2020, arXiv:2002.10689 (usable information).
    Example:
        >>> round(probe_bound(0.2, np.array([0, 1])), 4)
        0.4931
    """
    if not (math.isfinite(cross_entropy) and cross_entropy >= 0):
        raise SettingError(f"cross_entropy: a finite number from 0 up is needed, {cross_entropy} came")
    return label_entropy(y) - cross_entropy


def gaussian_information(correlations: float | Sequence[float]) -> float:
    """True mutual information of Gaussian vectors that correlate pairwise: -1/2 sum log(1 - rho^2), in nats.

    Args:
        correlations: canonical correlations rho, each in (-1, 1).
    Raises:
        SettingError: a correlation is not between -1 and 1.
    Example:
        >>> round(gaussian_information([0.6, 0.6]), 4)
        0.4463
    """
    rho = np.atleast_1d(np.asarray(correlations, dtype=np.float64))
    if not (np.abs(rho) < 1).all():
        raise SettingError(f"correlations: must lie between -1 and 1, {correlations} came")
    return float(-0.5 * np.log1p(-(rho**2)).sum())


def processing_violations(values: Sequence[float], tolerance: float = 0.0) -> pd.DataFrame:
    """Blocks after which the estimate is larger than after some earlier block, which cannot be true.

    The data-processing inequality: along X -> Z_1 -> Z_2 -> ... neither I(X;Z_i) nor I(Y;Z_i) can grow. An
    estimate that does has a bias that depends on the layer (bins, noise and number of features do not scale
    with it), or is a bound of changing tightness (probes); with noise added to each block anew, or other
    bins, the blocks are no Markov chain and growth is no error of the estimator.

    Args:
        values: an estimate for each block, in the order of the network, in nats.
        tolerance: growth that is put down to chance, in nats, 0 or more.
    Returns:
        A row for each offending block: block (index), value, lowest_block, lowest (smallest estimate before
        it, and where), excess (value - lowest). Empty where the inequality holds.
    Raises:
        SettingError: fewer than 2 values, one that is not finite, or a negative tolerance.
    Example:
        >>> processing_violations([2.0, 1.5, 1.8, 1.2]).to_dict("records")[0]["block"]
        2
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
        raise SettingError(f"values: at least 2 finite numbers are needed, {values} came")
    if not tolerance >= 0:
        raise SettingError(f"tolerance: must be 0 or more, {tolerance} came")
    lowest = np.minimum.accumulate(array)[:-1]
    where = np.array([int(array[: i + 1].argmin()) for i in range(len(lowest))])
    bad = np.flatnonzero(array[1:] > lowest + tolerance)
    return pd.DataFrame(
        {
            "block": bad + 1,
            "value": array[bad + 1],
            "lowest_block": where[bad],
            "lowest": lowest[bad],
            "excess": array[bad + 1] - lowest[bad],
        }
    )
