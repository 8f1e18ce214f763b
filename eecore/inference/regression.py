"""Leaving early where a number is predicted: rules, and error against cost.

Axes: K exits, N samples, O outputs (the predicted number, and perhaps the logarithm of its variance), T thresholds.

A rule gives each exit's uncertainty u about each sample, not negative. A sample leaves where u is below a tolerance;
that is, where the score 1 / (1 + u) is above the threshold 1 / (1 + tolerance). In this form `exit_taken`, `solve` and
`choose_threshold` serve both tasks: threshold 1 sends everyone to the last exit.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import Number, Numbers, check_macs, check_thresholds
from eecore.inference.protocol import Rule
from eecore.inference.rules import check_rule, exit_taken
from eecore.metrics import mean_squared_error, pearson
from eecore.shapes import Float

__all__ = ["regression_curve", "regression_outcome", "regression_score", "regression_thresholds", "uncertainty"]


def _difference(outputs: Float[Tensor, "K N O"]) -> Float[Tensor, "K N"]:
    """|z_k - z_(k-1)|; the first exit has none before it and is never certain."""
    prediction = outputs[:, :, 0]
    change = prediction.diff(dim=0).abs()
    return torch.cat([torch.full_like(prediction[:1], torch.inf), change])


def _variance(outputs: Float[Tensor, "K N O"]) -> Float[Tensor, "K N"]:
    """The predicted variance."""
    if outputs.shape[2] < 2:
        raise SettingError("rule: 'variance' needs a predicted variance, and these heads give one output; train with "
                           "the recipe's loss='gaussian'")  # fmt: skip
    return outputs[:, :, 1].exp()


_UNCERTAINTY: dict[str, Callable[[Tensor], Tensor]] = {"difference": _difference, "variance": _variance}


def uncertainty(outputs: Float[Tensor, "K N O"], rule: Rule = "difference") -> Float[Tensor, "K N"]:
    """How unsure every exit is about every sample.

    Args:
        outputs: of every exit: the predicted number and perhaps the logarithm of its variance.
        rule: "difference" (from the prediction of the exit before, in the unit of the labels; infinite at the first
            exit) or "variance" (the predicted one, in the squared unit).
    Returns:
        Not negative, float64.
    Raises:
        SettingError: the rule is unknown, belongs to classification or needs a second output; or the outputs are not
            as above.
    Source:
        Zhou et al. 2020 (PABEE), arXiv:2006.04152: its criterion for regression, with a patience of one (difference).
    Example:
        >>> uncertainty(torch.tensor([[[1.0]], [[1.5]]]))
        tensor([[   inf],
                [0.5000]], dtype=torch.float64)
    """
    return _UNCERTAINTY[str(check_rule(rule, "regression"))](_check_outputs(outputs).double())


def regression_score(outputs: Float[Tensor, "K N O"], rule: Rule = "difference") -> Float[Tensor, "K N"]:
    """Certainty of every exit about every sample, for `exit_taken` and `solve`: 1 / (1 + uncertainty).

    Returns:
        Scores in [0, 1], float64, larger = more certain.
    Raises:
        SettingError: as in `uncertainty`.
    """
    return 1.0 / (1.0 + uncertainty(outputs, rule))


def regression_thresholds(outputs: Float[Tensor, "K N O"], rule: Rule = "difference", number: int = 100) -> np.ndarray:
    """Thresholds that spread the samples evenly over the exits' scores; take those of validation for test, too.

    An uncertainty has the unit of the data, so that even thresholds would suit some data sets and not others.

    Args:
        outputs, rule: as in `uncertainty`.
        number: of thresholds, at least 2; 0 and 1 are the first and the last.
    Returns:
        Quantiles of the scores at all exits but the last, ascending.
    Raises:
        SettingError: `number` is below 2, or as in `uncertainty`.
    """
    if number < 2:
        raise SettingError(f"number: expected at least 2, got {number}")
    scores = regression_score(outputs, rule)[:-1]
    inside = scores[scores > 0].numpy()  # 0: exits that nobody can leave at
    if inside.size == 0:
        return np.linspace(0.0, 1.0, number)
    return np.concatenate([[0.0], np.quantile(inside, np.linspace(0.0, 1.0, number)[1:-1]), [1.0]])


def regression_curve(
    outputs: Float[Tensor, "K N O"],
    y: Float[Tensor, " N"],
    macs: Numbers,
    rule: Rule = "difference",
    thresholds: Numbers | None = None,
) -> pd.DataFrame:
    """Error, mean cost and share of samples per exit at every threshold.

    Args:
        outputs: of every exit.
        y: right numbers.
        macs: multiply-adds per sample to reach and evaluate each exit, heads on the way included; ascending.
        rule: one of `rules("regression")`.
        thresholds: of the score, in [0, 1]; None for `regression_thresholds(outputs, rule)`.
    Returns:
        One row per threshold, in the order given: threshold, tolerance (1 / threshold - 1, of the uncertainty),
        mse (mean squared error), pearson (NaN where all predictions are equal), macs (mean per sample), share_1 to
        share_K (fraction of samples that leave at each exit).
    Raises:
        SettingError: an argument is not as above; nothing is guessed.
    """
    given = regression_thresholds(outputs, rule) if thresholds is None else thresholds
    limits = check_thresholds(given, "thresholds")
    scores, cost = regression_score(outputs, rule), check_macs(macs, len(outputs))
    rows = [_at(outputs, y, cost, exit_taken(scores, limit)) for limit in limits.tolist()]
    with np.errstate(divide="ignore"):
        return pd.DataFrame({"threshold": limits, "tolerance": 1.0 / limits - 1.0}).join(pd.DataFrame(rows))


def regression_outcome(
    outputs: Float[Tensor, "K N O"],
    y: Float[Tensor, " N"],
    macs: Numbers,
    threshold: Number | Numbers,
    rule: Rule = "difference",
) -> dict[str, float]:
    """Error and mean cost at one threshold, or with one threshold for each exit (see `solve`).

    Args:
        outputs, y, macs, rule: as in `regression_curve`.
        threshold: of the score, in [0, 1], one number or K of them.
    Returns:
        mse, pearson and macs (mean per sample).
    Raises:
        SettingError: as in `regression_curve`.
    """
    taken = exit_taken(regression_score(outputs, rule), threshold)
    row = _at(outputs, y, check_macs(macs, len(outputs)), taken)
    return {name: row[name] for name in ("mse", "pearson", "macs")}


def _at(outputs: Tensor, y: Tensor, cost: np.ndarray, taken: Tensor) -> dict[str, float]:
    """Measures, mean cost and shares where sample n leaves at exit taken[n]."""
    y = _check_numbers(y, outputs.shape[1])
    prediction = outputs[:, :, 0].double().gather(0, taken[None])
    counts = np.bincount(taken.numpy(), minlength=len(cost))
    measures = {"mse": float(mean_squared_error(prediction, y)), "pearson": float(pearson(prediction, y))}
    shares = {f"share_{k + 1}": count / len(taken) for k, count in enumerate(counts)}
    return measures | {"macs": float(counts @ cost) / len(taken)} | shares


def _check_outputs(outputs: Tensor) -> Tensor:
    """Return outputs (K, N, 1 or 2) of a floating type, all finite, on the CPU."""
    if outputs.ndim != 3 or 0 in outputs.shape or outputs.shape[2] > 2:
        raise SettingError(f"outputs: expected (exits, samples, 1 or 2), none empty, got {tuple(outputs.shape)}")
    if not outputs.is_floating_point() or not torch.isfinite(outputs).all():
        raise SettingError("outputs: expected finite floating-point numbers")
    return outputs.detach().cpu()


def _check_numbers(y: Tensor, samples: int) -> Tensor:
    """Return y (N,) of a floating type, all finite, on the CPU."""
    if y.shape != (samples,) or not y.is_floating_point() or not torch.isfinite(y).all():
        got = f"{y.dtype} of {tuple(y.shape)}"
        raise SettingError(f"y: expected {samples} finite floating-point numbers, one per sample, got {got}")
    return y.cpu()
