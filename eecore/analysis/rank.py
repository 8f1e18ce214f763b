"""Numerical rank of activations: how many directions they use, under each reading of "tolerance 1e-3".

N samples, D features. The matrix is centred (each feature minus its mean over the samples), so its rank is at
most min(N - 1, D): a count that reaches it speaks of N or of D, not of the network.

Singular values come from the smaller Gram matrix, X X^T (N x N) or X^T X (D x D), in float64. Its eigenvalues
are squares of singular values, so the condition number is squared: what lies below `gram_floor`,
sqrt(max(N, D) * 2.2e-16) of the largest (1.3e-6 for D = 8192), is rounding and is set to 0. Activations in
float32 carry noise of about 1e-7 themselves. A tolerance below the floor takes the direct decomposition.

Blocks are measured side by side, one thread of torch each: on two cores that is quicker than two threads that share
one decomposition, and does not collapse when another program wants a core.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from eecore.analysis.activations import checked
from eecore.errors import SettingError, choose
from eecore.shapes import Float

Counted = tuple[dict[str, np.ndarray], np.ndarray]  # ranks per reading, spectrum
READINGS = ("singular values", "covariance eigenvalues")
ROUTES = ("auto", "gram", "direct")
PANEL = 160  # rows of the Gram matrix made by one product: enough for its full speed, little above the diagonal
FEATURES = 512  # that one product sums over


def gram_floor(n: int, d: int) -> float:
    """Smallest singular value, as a share of the largest, that the Gram matrix of N x D values resolves.

    Args:
        n, d: samples and features.
    Source:
        numpy.linalg.matrix_rank's tolerance max(N, D) * epsilon, here on eigenvalues: squares.
    """
    return float(np.sqrt(max(n, d) * np.finfo(np.float64).eps))


def singular_values(activations: Float[Tensor, "N D"], centre: bool = True, route: str = "auto") -> np.ndarray:
    """Singular values of activations, falling.

    Args:
        activations: one row per sample.
        centre: subtract each feature's mean first.
        route: "gram" (fast, 0 below `gram_floor`), "direct" (exact to float64), "auto" is "gram".
    Returns:
        min(N, D) values, float64.
    Raises:
        SettingError: fewer than 3 samples, values that are not finite or (but for "direct") above 1e150, all samples
            alike, unknown route.
    """
    choose("route", route, ROUTES)
    if route == "direct":
        x = checked(activations)
        return torch.linalg.svdvals(x - x.mean(0) if centre else x).numpy()
    x = activations.detach().cpu()
    if x.ndim != 2 or x.shape[0] < 3 or x.shape[1] < 1 or torch.equal(x[0], x[1]):
        checked(x)  # takes a tenth of the time of everything else, so it is asked only where it may object
    n, d = x.shape
    gram = _lower_gram(x, centre)
    if not math.isfinite(float(gram.trace())):  # as it is where all values are finite
        checked(x)
        raise SettingError("activations: too large to be squared in float64, take route='direct'")
    squares = torch.linalg.eigvalsh(gram, UPLO="L").numpy()[::-1]
    values = np.sqrt(np.clip(squares, 0.0, None))
    return np.where(values > gram_floor(n, d) * values[0], values, 0.0)


def _lower_gram(x: Float[Tensor, "N D"], centre: bool) -> Float[Tensor, "M M"]:
    """The smaller Gram matrix, M = min(N, D), in float64; most of what lies above the diagonal is left 0.

    Features are taken a few at a time, so that their float64 copies stay in the cache of a core.
    """
    n, d = x.shape
    gram = torch.zeros(min(n, d), min(n, d), dtype=torch.float64)
    for part in x.split(FEATURES, dim=1) if d > n else [x]:
        part = part.to(torch.float64, copy=True)
        if centre:
            part -= part.mean(0)
        rows = part if d > n else part.T
        for start in range(0, len(rows), PANEL):
            stop = min(start + PANEL, len(rows))
            gram[start:stop, :stop].addmm_(rows[start:stop], rows[:stop].T)
    return gram


def numerical_rank(
    activations: Float[Tensor, "N D"],
    rtol: float = 1e-3,
    of: str = "singular values",
    centre: bool = True,
    route: str = "auto",
) -> int:
    """How many singular values (or eigenvalues of the covariance) exceed `rtol` times the largest.

    A tolerance t on eigenvalues is sqrt(t) on singular values: at 1e-3 the two readings lie a factor 30 apart.

    Args:
        activations: one row per sample; N must exceed the rank, else the count is N - 1.
        rtol: in (0, 1).
        of: what is counted, "singular values" or "covariance eigenvalues".
        centre: subtract each feature's mean first.
        route: "auto" takes the Gram matrix where it resolves `rtol` and else the direct decomposition.
    Raises:
        SettingError: as `singular_values`; `rtol` outside (0, 1); route "gram" for an `rtol` below its floor.
    Source:
        Masarczyk et al. 2023, The Tunnel Effect, arXiv:2305.19753.
    Example:
        >>> numerical_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.01], [0.0, -0.01]]))
        2
        >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.01], [0.0, -0.01]])
        >>> numerical_rank(x, of="covariance eigenvalues")
        1
    """
    return int(ranks_of(activations, [rtol], [of], centre, route)[0][of][0])


def effective_rank(spectrum: np.ndarray | Sequence[float]) -> float:
    """Entropy effective rank: exp of the entropy of the singular values, taken as shares of their sum.

    Args:
        spectrum: singular values, from `singular_values`.
    Returns:
        Between 1 and the number of singular values above 0.
    Raises:
        SettingError: values below 0, none above 0, or not finite.
    Source:
        Roy & Vetterli 2007, The effective rank, EUSIPCO, definition 1.
    Example:
        >>> round(effective_rank([2.0, 2.0, 2.0, 0.0]), 6)
        3.0
    """
    values = _check_spectrum(spectrum)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def stable_rank(spectrum: np.ndarray | Sequence[float]) -> float:
    """Stable rank: the sum of squared singular values over the largest square.

    Args:
        spectrum: singular values, from `singular_values`.
    Returns:
        Between 1 and the number of singular values above 0.
    Raises:
        SettingError: values below 0, none above 0, or not finite.
    Source:
        Rudelson & Vershynin 2007, arXiv:math/0503442.
    Example:
        >>> stable_rank([2.0, 1.0, 1.0])
        1.5
    """
    values = _check_spectrum(spectrum)
    return float(np.square(values / values.max()).sum())


def ranks_of(
    activations: Tensor, tolerances: Sequence[float], readings: Sequence[str], centre: bool, route: str
) -> Counted:
    """Ranks per reading, in the order of the tolerances, and the spectrum they were counted in."""
    choose("route", route, ROUTES)
    limits = {reading: _limits(tolerances, reading) for reading in readings}
    if not limits or not tolerances:
        raise SettingError("of, rtol: at least one reading and one tolerance are needed")
    floor = gram_floor(len(activations), math.prod(activations.shape[1:]))
    smallest = min(float(limit.min()) for limit in limits.values())
    if route == "gram" and smallest < floor:
        raise SettingError(f"rtol: the Gram matrix resolves singular values from {floor:.1e} up, got {smallest:.1e}")
    spectrum = singular_values(activations, centre, "direct" if smallest < floor else route)
    rising = spectrum[::-1]
    counts = {
        reading: len(rising) - np.searchsorted(rising, limit * rising[-1], side="right")
        for reading, limit in limits.items()
    }
    return counts, spectrum


def _limits(tolerances: Sequence[float], reading: str) -> np.ndarray:
    """Tolerances as shares of the largest singular value."""
    choose("of", reading, READINGS)
    values = np.asarray(tolerances, dtype=np.float64)
    if not ((values > 0) & (values < 1)).all():
        raise SettingError(f"rtol: expected numbers between 0 and 1, got {values.tolist()}")
    return values if reading == "singular values" else np.sqrt(values)


def _check_spectrum(spectrum: np.ndarray | Sequence[float]) -> np.ndarray:
    values = np.asarray(spectrum, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or not (values > 0).any():
        raise SettingError("spectrum: expected singular values, finite, from 0 up and not all 0")
    return values
