"""Mutual information from distances to nearest neighbours.

N samples, D and E features, C classes, k neighbours. In nats. Distances are largest coordinate differences;
every feature is first scaled to standard deviation 1, which changes no mutual information. The estimators are made
for values that never repeat; where some do, as behind a ReLU, equals are told apart by noise of 1e-10, always the
same, so that the samples at one point count as a small cloud there. Neighbours carry
little news in high dimension: reduce Z to a few `principal_components` first, which can only lose information.
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma

from eecore.analysis.information import Features, Labels, features, labels
from eecore.errors import SettingError
from eecore.shapes import Float

NOISE = 1e-10  # standard deviations of a feature; as in Kraskov et al. and in scikit-learn


def principal_components(z: Features, components: int) -> Float[np.ndarray, "N R"]:
    """Coordinates of the samples along the directions of largest variance.

    Args:
        z: a block's output.
        components: R, 1 to the smaller of N - 1 and D.
    Raises:
        SettingError: z is not finite, has fewer than 2 samples, or has fewer directions than asked for.
    """
    rows = features(z)
    most = min(len(rows) - 1, rows.shape[1])
    if not 1 <= components <= most:
        raise SettingError(f"components: 1 to {most} are possible for z of shape {rows.shape}, {components} came")
    rows = rows - rows.mean(axis=0)
    if rows.shape[1] > len(rows):  # the N x N Gram matrix is smaller than the covariance
        values, vectors = np.linalg.eigh(rows @ rows.T)
        return vectors[:, ::-1][:, :components] * np.sqrt(np.maximum(values[::-1][:components], 0.0))
    return rows @ np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :components]


def ksg_information(a: Features, b: Features, *, neighbours: int = 3) -> float:
    """Mutual information of two continuous variables by k nearest neighbours.

    I = psi(k) + psi(N) - mean(psi(n_a + 1) + psi(n_b + 1)), n the samples closer than the k-th neighbour of
    the pair. Nearly unbiased while I is small against log N; far too small for strongly dependent variables.
    May be slightly negative where I is 0, and is not cut off there, so that means stay unbiased. 0 for a constant.

    Args:
        a, b: N samples each; (N,) or (N, D).
        neighbours: k; more give less variance and more bias.
    Returns:
        Nats.
    Raises:
        SettingError: a value is not finite, the numbers of samples differ, or N <= k.
    Source:
        Kraskov et al. 2004, arXiv:cond-mat/0305641, equation 8.
    """
    _check_neighbours(neighbours)
    first, second = _scaled(a, neighbours + 1, "a", seed=0), _scaled(b, neighbours + 1, "b", seed=1)
    if len(first) != len(second):
        raise SettingError(f"b: {len(second)} samples came, a has {len(first)}")
    if not (first.any() and second.any()):  # a constant tells nothing
        return 0.0
    radius = _radius(np.hstack([first, second]), neighbours)
    counts = [_within(part, part, radius) for part in (first, second)]  # n + 1: each sample counts itself
    sums = digamma(counts[0]) + digamma(counts[1])
    return float(digamma(neighbours) + digamma(len(first)) - sums.mean())


def ross_information(z: Features, y: Labels, *, neighbours: int = 3) -> float:
    """I(Y;Z) of continuous Z and discrete Y by k nearest neighbours.

    I = psi(N) + psi(k) - mean psi(N_y) - mean psi(m), N_y the size of a sample's class, m the samples of any
    class not farther than its k-th neighbour within the class.

    Args:
        z: a block's output, few features.
        y: labels; each class needs more than k samples.
        neighbours: k.
    Returns:
        Nats; may be slightly negative where I is 0, and is not cut off there; 0 for a constant.
    Raises:
        SettingError: z is not finite, there is one class, or one has k samples or fewer.
    Source:
        Ross 2014, doi:10.1371/journal.pone.0087357; as in scikit-learn's mutual_info_classif.
    """
    _check_neighbours(neighbours)
    rows = _scaled(z, neighbours + 1, "z", seed=0)
    classes, counts = labels(y, len(rows))
    if counts.min() <= neighbours:
        raise SettingError(f"y: each class needs more than {neighbours} samples, one has {counts.min()}")
    if not rows.any():  # a constant tells nothing
        return 0.0
    radius = np.empty(len(rows))
    for c in range(len(counts)):
        members = classes == c
        radius[members] = _radius(rows[members], neighbours)
    found = _within(rows, rows, radius)
    mean_class = (digamma(counts) * counts).sum() / len(rows)
    return float(digamma(len(rows)) + digamma(neighbours) - mean_class - digamma(found).mean())


def _check_neighbours(neighbours: int) -> None:
    if neighbours < 1:
        raise SettingError(f"neighbours: at least 1 is needed, {neighbours} came")


def _scaled(z: Features, smallest: int, name: str, seed: int) -> Float[np.ndarray, "N D"]:
    """Features of standard deviation 1, with noise where values repeat; constant ones become 0."""
    rows = features(z, smallest, name)
    rows = rows - rows.mean(axis=0)
    spread = rows.std(axis=0)
    constant = spread <= 1e-12 * np.abs(rows).max(initial=1.0)
    rows = np.where(constant, 0.0, rows / np.where(constant, 1.0, spread))
    ordered = np.sort(rows, axis=0)
    repeats = ~constant & (np.diff(ordered, axis=0) == 0).any(axis=0)
    if repeats.any():
        rows[:, repeats] += NOISE * np.random.default_rng(seed).standard_normal((len(rows), int(repeats.sum())))
    return rows


def _radius(rows: Float[np.ndarray, "N D"], neighbours: int) -> Float[np.ndarray, " N"]:
    """Just below the distance to the k-th neighbour, so that it is not counted itself."""
    distances, _ = cKDTree(rows).query(rows, k=[neighbours + 1], p=np.inf)
    return np.nextafter(distances[:, 0], 0.0)


def _within(
    tree: Float[np.ndarray, "N D"], rows: Float[np.ndarray, "N D"], radius: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Number of samples within the radius of each row, the row itself included."""
    return cKDTree(tree).query_ball_point(rows, radius, p=np.inf, return_length=True).astype(np.float64)
