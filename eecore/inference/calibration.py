"""Do the probabilities of each exit mean what they say?

An exit is calibrated where, of the samples that it predicts with confidence c, a fraction c is right.

Axes: K exits, N samples, C classes, M bins.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.errors import SettingError, choose
from eecore.inference.checks import check_labels, check_logits
from eecore.inference.difficulty import at_exit, check_taken
from eecore.shapes import Bool, Float, Int

__all__ = [
    "as_used",
    "calibration",
    "calibration_error",
    "chance_error",
    "checked_logits",
    "reliability",
]

BINS = 15
BINNINGS = ("width", "mass")


class _Judged(NamedTuple):
    """One exit's predictions: confidence (N), right (N), Brier score (N) and negative log-likelihood (N)."""

    confidence: np.ndarray
    right: np.ndarray
    brier: np.ndarray
    nll: np.ndarray


def calibration(
    logits: Float[Tensor, "K N C"],
    labels: Int[Tensor, " N"],
    taken: Int[Tensor, " N"] | None = None,
    bins: int = BINS,
) -> pd.DataFrame:
    """How well each exit is calibrated: on all samples, or on those who leave there.

    Args:
        logits: of every exit, any floating type; computed in float64.
        labels: right classes, 0..C-1.
        taken: the exit at which each sample leaves, 0..K-1, from `exit_taken`; None: every exit judges all samples.
        bins: of the calibration errors, at least 1.
    Returns:
        One row per exit: exit (1..K), n (samples judged), accuracy, confidence (mean), gap (confidence - accuracy,
        above 0 = overconfident), ece_width, ece_mass (see `calibration_error`), ece_chance (see `chance_error`, bins of
        equal mass), brier (0..2), nll (nats). NaN where nobody leaves.
    Raises:
        SettingError: an argument is not as above.
    Source:
        Guo et al. 2017, arXiv:1706.04599 (expected calibration error); Brier 1950, summed over classes.
    Example:
        >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
        >>> calibration(logits, torch.tensor([0, 0])).round(2)[["accuracy", "confidence", "gap", "ece_width", "brier"]]
           accuracy  confidence  gap  ece_width  brier
        0       1.0         0.5 -0.5        0.5    0.5
    """
    _check_bins(bins)
    judged = _judged(logits, labels)
    if taken is not None:
        check_taken(taken, len(judged), len(labels))
    rows = []
    for k, each in enumerate(judged):
        here = slice(None) if taken is None else (taken == k).cpu().numpy()
        rows.append({"exit": k + 1, **_summary(_Judged(*(part[here] for part in each)), bins)})
    return pd.DataFrame(rows)


def as_used(logits: Float[Tensor, "K N C"], taken: Int[Tensor, " N"]) -> Float[Tensor, "1 N C"]:
    """The network as its user sees it: each sample's logits at the exit where it leaves, as those of one exit.

    Args:
        logits: of every exit.
        taken: the exit at which each sample leaves, 0..K-1; from `exit_taken`.
    Raises:
        SettingError: shapes do not fit.
    """
    return at_exit(check_logits(logits), taken)[None]


def _summary(judged: _Judged, bins: int) -> dict[str, int | float]:
    confidence, right = judged.confidence, judged.right
    n = len(right)
    if n == 0:
        names = ("accuracy", "confidence", "gap", "ece_width", "ece_mass", "ece_chance", "brier", "nll")
        return {"n": 0, **dict.fromkeys(names, float("nan"))}
    return {
        "n": n,
        "accuracy": float(right.mean()),
        "confidence": float(confidence.mean()),
        "gap": float(confidence.mean() - right.mean()),
        "ece_width": _error(confidence, right, bins, "width"),
        "ece_mass": _error(confidence, right, bins, "mass"),
        "ece_chance": _chance(confidence, bins, "mass"),
        "brier": float(judged.brier.mean()),
        "nll": float(judged.nll.mean()),
    }


def calibration_error(
    confidence: Float[Tensor, " N"], right: Bool[Tensor, " N"], bins: int = BINS, binning: str = "width"
) -> float:
    """Expected calibration error: the mean over samples of how far their bin's accuracy is from its mean confidence.

    Args:
        confidence: of each prediction, in [0, 1].
        right: whether it is right.
        bins: M, at least 1.
        binning: "width", the bins (m / M, (m + 1) / M]; "mass", as many samples in each as can be, where samples with
            equal confidence stay together, so that their order does not matter.
    Returns:
        A fraction in [0, 1].
    Raises:
        SettingError: an argument is not as above.
    Source:
        Guo et al. 2017, arXiv:1706.04599.
    Example:
        >>> right = torch.tensor([True, False, True, True])
        >>> round(calibration_error(torch.tensor([0.6, 0.6, 0.9, 0.9]), right, bins=2), 6)
        0.0
        >>> round(calibration_error(torch.tensor([0.6, 0.6, 0.9, 0.9]), right, bins=10), 6)
        0.1
    """
    return _error(*_checked(confidence, right, bins, binning), bins, binning)


def chance_error(confidence: Float[Tensor, " N"], bins: int = BINS, binning: str = "width") -> float:
    """The calibration error that chance alone gives to perfectly calibrated predictions, in expectation.

    A bin's accuracy scatters around its mean confidence even where each prediction is right with just the probability
    that it states; so a calibration error of few samples is never near zero. With the normal approximation
    E|x| = sd sqrt(2 / pi) the expected error is sqrt(2 / pi) / N * sum over bins of sqrt(sum of c (1 - c)).

    Args:
        confidence, bins, binning: as in `calibration_error`.
    Raises:
        SettingError: as in `calibration_error`.
    Source:
        Ours.
    Example:
        >>> round(chance_error(torch.full((100,), 0.5)), 3)
        0.04
    """
    right = torch.zeros(confidence.shape, dtype=torch.bool)
    return _chance(_checked(confidence, right, bins, binning)[0], bins, binning)


def _checked(confidence: Tensor, right: Tensor, bins: int, binning: str) -> tuple[np.ndarray, np.ndarray]:
    _check_bins(bins)
    choose("binning", binning, BINNINGS)
    if confidence.ndim != 1 or len(confidence) == 0 or confidence.shape != right.shape or right.dtype != torch.bool:
        shapes = f"{tuple(confidence.shape)} and {right.dtype} of {tuple(right.shape)}"
        raise SettingError(f"confidence, right: expected two of one length, the second of truth values, got {shapes}")
    values = confidence.detach().cpu().double().numpy()
    if not ((values >= 0) & (values <= 1)).all():  # false for NaN too
        raise SettingError(f"confidence: expected numbers in [0, 1], got {values.min()} to {values.max()}")
    return values, right.cpu().numpy()


def _check_bins(bins: int) -> None:
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise SettingError(f"bins: expected an integer of at least 1, got {bins!r}")


def _bin(confidence: np.ndarray, bins: int, binning: str) -> np.ndarray:
    """The bin of each sample, 0..bins-1."""
    if binning == "width":
        return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    ordered, n = np.sort(confidence), len(confidence)
    first = np.arange(1, bins) * n // bins  # of each bin but the first one, in the order of confidence
    return np.searchsorted(ordered[first], confidence, side="right")


def _error(confidence: np.ndarray, right: np.ndarray, bins: int, binning: str) -> float:
    surplus = np.bincount(_bin(confidence, bins, binning), weights=confidence - right, minlength=bins)
    return float(np.abs(surplus).sum() / len(right))  # n_m |conf_m - acc_m| = |sum of (confidence - right)|


def _chance(confidence: np.ndarray, bins: int, binning: str) -> float:
    variance = np.bincount(_bin(confidence, bins, binning), weights=confidence * (1 - confidence), minlength=bins)
    return float(np.sqrt(2 / np.pi) * np.sqrt(variance).sum() / len(confidence))


def reliability(
    logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"], bins: int = BINS, binning: str = "width"
) -> pd.DataFrame:
    """The points of a reliability diagram: accuracy against confidence, for every exit on all samples.

    Args:
        logits, labels: as in `calibration`; those of `as_used` for the network as a whole.
        bins, binning: as in `calibration_error`.
    Returns:
        One row per exit and bin: exit (1..K), bin (1..M), n, confidence (mean), accuracy; NaN where a bin is empty.
    Raises:
        SettingError: as in `calibration`, or the binning is not known.
    """
    _check_bins(bins)
    choose("binning", binning, BINNINGS)
    frames = []
    for k, each in enumerate(_judged(logits, labels)):
        points = _points(each.confidence, each.right, bins, binning)
        points.insert(0, "exit", k + 1)
        frames.append(points)
    return pd.concat(frames, ignore_index=True)


def _points(confidence: np.ndarray, right: np.ndarray, bins: int, binning: str) -> pd.DataFrame:
    index = _bin(confidence, bins, binning)
    n = np.bincount(index, minlength=bins)
    sums = [np.bincount(index, weights=values, minlength=bins) for values in (confidence, right)]
    means = [np.divide(total, n, out=np.full(bins, np.nan), where=n > 0) for total in sums]
    return pd.DataFrame({"bin": np.arange(1, bins + 1), "n": n, "confidence": means[0], "accuracy": means[1]})


def checked_logits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (K, N, C) as float64 and labels (N,), on the CPU, checked."""
    _, samples, classes = check_logits(logits).shape
    labels = check_labels(labels, samples, classes)
    if not bool(torch.isfinite(logits).all()):
        raise SettingError("logits: not all finite; expected numbers")
    return logits.detach().cpu().double(), labels.cpu()


def _judged(logits: Tensor, labels: Tensor) -> list[_Judged]:
    """Of every exit: confidence, whether right, Brier score and negative log-likelihood of every sample."""
    z, labels = checked_logits(logits, labels)
    log_p = z.log_softmax(dim=2)
    p = log_p.exp()
    confidence = p.amax(dim=2).clamp(max=1.0)
    right = z.max(dim=2).indices == labels
    own = labels.expand(len(z), -1)[:, :, None]
    brier = p.square().sum(dim=2) - 2 * p.gather(2, own)[..., 0] + 1
    nll = -log_p.gather(2, own)[..., 0]
    return [_Judged(*(part[k].numpy() for part in (confidence, right, brier, nll))) for k in range(len(z))]
