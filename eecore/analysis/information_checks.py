"""Every estimator of mutual information where the answer is known: which of them may be believed, and how far.

N samples, D features. In nats. Each check draws data several times, so that an estimator's bias (mean error) and its
standard deviation can be told apart.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch

from eecore.analysis.information import binned_information
from eecore.analysis.information_critic import infonce_information
from eecore.analysis.information_kde import kawaguchi_information, kde_information
from eecore.analysis.information_knn import ksg_information, ross_information
from eecore.analysis.information_known import (
    AXES,
    at_least,
    channel_information,
    class_mixture,
    correlated_gaussians,
    mixture_information,
    noise_of,
    one_hot,
    symmetric_channel,
)
from eecore.analysis.similarity import linear_probe
from eecore.errors import SettingError

COLUMNS = ["quantity", "estimator", "kind", "truth", "n", "d", "draw", "estimate"]
CELL = ["quantity", "estimator", "kind", "n", "d"]
BINS, NEIGHBOURS = 8, 3  # the measures of networks use the same
KINDS = {"KDE lower": "lower bound", "KDE upper": "upper bound", "InfoNCE": "lower bound", "probe": "lower bound"}


def check_gaussians(
    truths: Sequence[float] = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0),
    sizes: Sequence[int] = (500,),
    widths: Sequence[int] = (1, 4, 16),
    draws: int = 5,
    bins: int = BINS,
    neighbours: int = NEIGHBOURS,
) -> pd.DataFrame:
    """I(X;Z) of correlated Gaussians by every estimator.

    KDE and Kawaguchi's form know the noise-free X and the noise's variance, so that what they bound is this I(X;Z).
    Binning sees the noisy Z, as if it were a deterministic network's: it measures H(bin(Z)), whatever the truth.

    Args:
        truths: I(X;Z), nats; sizes: N; widths: D; draws: of each; bins, neighbours: of the estimators.
    Returns:
        Columns quantity, estimator, kind ("estimate", "lower bound", "upper bound"), truth, n, d, draw, estimate.
    Raises:
        SettingError: a number is out of range.
    """
    rows = []
    for truth, n, d, draw in _cells(truths, sizes, widths, draws):
        x, z = correlated_gaussians(n, d, truth, draw)
        noise = noise_of(truth, d)
        bounds = kde_information(x, noise_variance=noise)
        found = {
            "binning": binned_information(z, bins=bins),
            "KDE lower": bounds.lower,
            "KDE upper": bounds.upper,
            "Kawaguchi": kawaguchi_information(x, noise_variance=noise),
            "Kawaguchi, drawn": kawaguchi_information(x, noise_variance=noise, references=n, evaluated=n, seed=draw),
            "KSG": ksg_information(x, z, neighbours=neighbours),
            "InfoNCE": infonce_information(x, z, seed=draw),
        }
        rows += _rows("I(X;Z)", found, dict.fromkeys(found, truth), n, d, draw)
    return pd.DataFrame(rows, columns=COLUMNS)


def check_classes(
    distances: Sequence[float] = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0),
    sizes: Sequence[int] = (500,),
    widths: Sequence[int] = (4, 16),
    draws: int = 5,
    noise: float = 0.1,
    bins: int = BINS,
    neighbours: int = NEIGHBOURS,
) -> pd.DataFrame:
    """I(Y;Z) of `class_mixture` by every estimator, and I(X;Z|Y); columns as `check_gaussians`.

    Args:
        distances: between the classes' means; decide the truth.
        sizes, widths, draws, bins, neighbours: as in `check_gaussians`; D at least 3.
        noise: variance that KDE adds to each feature, as a share of Z's total variance; its truth is I(Y; Z + noise).
    Raises:
        SettingError: a number is out of range.
    """
    rows = []
    for distance, n, d, draw in _cells(distances, sizes, widths, draws):
        (z, y), (other_z, other_y) = (class_mixture(n, d, distance, seed) for seed in (draw, draws + draw))
        variance = noise * (d + AXES * distance**2 / 4)
        bounds = kde_information(z, y, noise_variance=variance)
        found = {
            "binning": binned_information(z, y, bins=bins),
            "KDE": bounds.estimate,
            "KDE lower": bounds.lower,
            "KDE upper": bounds.upper,
            "Ross": ross_information(z, y, neighbours=neighbours),
            "InfoNCE": infonce_information(z, one_hot(y, 2**AXES), seed=draw),
            "probe": _probe(z, y, other_z, other_y),
        }
        truths = {
            name: mixture_information(distance, 1 + variance if name.startswith("KDE") else 1.0) for name in found
        }
        rows += _rows("I(Y;Z)", found, truths, n, d, draw)
        within = {"Kawaguchi": kawaguchi_information(z, y, noise_variance=variance)}
        rows += _rows("I(X;Z|Y)", within, {"Kawaguchi": d / 2 * math.log1p(1 / variance)}, n, d, draw)
    return pd.DataFrame(rows, columns=COLUMNS)


def check_channel(
    flips: Sequence[float] = (0.0, 0.2, 0.5, 0.9), sizes: Sequence[int] = (500,), classes: int = 10, draws: int = 5
) -> pd.DataFrame:
    """I(Y;Z) of the symmetric channel by counting and by the probe; columns as `check_gaussians`, D = C (one-hot Z)."""
    rows = []
    for flip, n, d, draw in _cells(flips, sizes, (classes,), draws):
        z, y = symmetric_channel(n, classes, flip, draw)
        other_z, other_y = symmetric_channel(n, classes, flip, draws + draw)
        coded, other = one_hot(z, classes), one_hot(other_z, classes)
        found = {"binning": binned_information(coded, y, bins=2), "probe": _probe(coded, y, other, other_y)}
        rows += _rows("I(Y;Z)", found, dict.fromkeys(found, channel_information(classes, flip)), n, d, draw)
    return pd.DataFrame(rows, columns=COLUMNS)


def bias_and_spread(checks: pd.DataFrame) -> pd.DataFrame:
    """Mean error and standard deviation of every estimator over the draws.

    Args:
        checks: from `check_gaussians`, `check_classes` or `check_channel`.
    Returns:
        One row for each quantity, estimator, n, d and truth: these, kind, estimate (mean), bias, sd (NaN for one
        draw), draws.
    Raises:
        SettingError: columns are missing.
    """
    _need("checks", checks, set(COLUMNS))
    groups = checks.groupby([*CELL, "truth"], sort=False)["estimate"]
    found = groups.agg(estimate="mean", sd="std", draws="size").reset_index()
    return found.assign(bias=found["estimate"] - found["truth"])


def usable_ranges(summary: pd.DataFrame, tolerance: float = 0.1) -> pd.DataFrame:
    """How far each estimator can be believed: the largest truth up to which its error stays within the tolerance.

    Args:
        summary: from `bias_and_spread`.
        tolerance: nats, and share of the truth: an error of tolerance x (1 + truth) is accepted; above 0. The error
            is the size of the bias + sd.
    Returns:
        One row for each quantity, estimator, n, d: these, kind, up_to (nats; 0 where already the smallest truth is
        missed), tested (the largest truth), bias_low and bias_high (smallest and largest bias), spread (largest sd),
        holds (share of truths at which a bound's mean lies on its side, within two standard errors; NaN for estimates).
    Raises:
        SettingError: the tolerance is not above 0, or columns are missing.
    """
    _need("summary", summary, {*CELL, "truth", "bias", "sd", "draws"})
    if not 0 < tolerance < math.inf:
        raise SettingError(f"tolerance: a number above 0 is needed, {tolerance} came")
    rows = []
    for cell, part in summary.groupby(CELL, sort=False):
        part = part.sort_values("truth")
        fits = (part["bias"].abs() + part["sd"].fillna(0.0) <= tolerance * (1 + part["truth"])).to_numpy()
        until = len(fits) if fits.all() else int(fits.argmin())  # first one that does not fit
        row = dict(zip(CELL, cell, strict=True))
        row |= {"up_to": float(part["truth"].iloc[until - 1]) if until else 0.0, "tested": part["truth"].max()}
        low, high = part["bias"].min(), part["bias"].max()
        row |= {"bias_low": low, "bias_high": high, "spread": part["sd"].max(), "holds": _holds(part, row["kind"])}
        rows.append(row)
    return pd.DataFrame(rows)


def _need(name: str, frame: pd.DataFrame, columns: set[str]) -> None:
    absent = columns - set(frame)
    if absent:
        raise SettingError(f"{name}: lacks the columns {', '.join(sorted(absent))}")


def _holds(part: pd.DataFrame, kind: str) -> float:
    if kind == "estimate":
        return math.nan
    beyond = part["bias"] if kind == "lower bound" else -part["bias"]
    return float((beyond <= 2 * part["sd"].fillna(0.0) / np.sqrt(part["draws"]) + 1e-9).mean())


def _cells(strengths: Sequence[float], sizes: Sequence[int], widths: Sequence[int], draws: int) -> Iterator[Any]:
    at_least("draws", draws, 1)
    return product(strengths, sizes, widths, range(draws))


def _rows(
    quantity: str, found: dict[str, float], truths: dict[str, float], n: int, d: int, draw: int
) -> list[tuple[Any, ...]]:
    return [(quantity, k, KINDS.get(k, "estimate"), truths[k], n, d, draw, value) for k, value in found.items()]


def _probe(z: np.ndarray, y: np.ndarray, other_z: np.ndarray, other_y: np.ndarray) -> float:
    """The bound of a linear probe, fitted on one draw and judged on another."""
    fitted, labels, judged, truth = (torch.from_numpy(part) for part in (z, y, other_z, other_y))
    return linear_probe(fitted, labels, judged, truth).information
