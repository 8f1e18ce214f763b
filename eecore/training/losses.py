"""What an exit is trained on and judged by: one loss for each task.

Axes: J exits that a phase trains, B batch, N samples, C classes, O outputs of a regression's head.

A head of a regression has one output, the predicted number, or two: the number and the logarithm of its variance.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from eecore.data import Target
from eecore.metrics import mean_squared_error, pearson
from eecore.shapes import Float, Int
from eecore.training.recipe import Recipe

Losses = Callable[[Tensor, Target], Tensor]  # outputs (J, B, C or O) and target -> loss of each exit and sample (J, B)


def losses_of(task: str, recipe: Recipe) -> Losses:
    """The loss of each exit and sample that `recipe` trains a task with."""
    if task == "classification":
        return lambda logits, target: _mixed_losses(logits, target, recipe.label_smoothing)
    each = gaussian_losses if recipe.loss == "gaussian" else squared_losses
    return lambda outputs, target: each(outputs, target.y)


def exit_losses(logits: Float[Tensor, "J B C"], y: Int[Tensor, " B"], smoothing: float) -> Float[Tensor, " J"]:
    """Cross-entropy of each exit, the mean over the batch."""
    return _cross_entropies(logits, y, smoothing).mean(dim=1)


def _cross_entropies(logits: Float[Tensor, "J B C"], y: Int[Tensor, " B"], smoothing: float) -> Float[Tensor, "J B"]:
    exits, batch, _ = logits.shape
    each = F.cross_entropy(logits.flatten(0, 1), y.repeat(exits), reduction="none", label_smoothing=smoothing)
    return each.view(exits, batch)


def _mixed_losses(logits: Float[Tensor, "J B C"], target: Target, smoothing: float) -> Float[Tensor, "J B"]:
    """Cross-entropy with labels of which `share` is y's and the rest the other's; it is linear in the labels."""
    if target.other is None or target.share is None:
        return _cross_entropies(logits, target.y, smoothing)
    own = _cross_entropies(logits, target.y, smoothing)
    other = _cross_entropies(logits, target.other, smoothing)
    return torch.lerp(other, own, target.share)


def squared_losses(outputs: Float[Tensor, "J B 1"], y: Float[Tensor, " B"]) -> Float[Tensor, "J B"]:
    """Squared error of each exit and sample, in the squared unit of `y`."""
    return (outputs[:, :, 0] - y).square()


def gaussian_losses(outputs: Float[Tensor, "J B 2"], y: Float[Tensor, " B"]) -> Float[Tensor, "J B"]:
    """Negative log-likelihood of a Gaussian with predicted mean m and log variance s, up to log(2 pi) / 2.

    (s + (y - m)^2 exp(-s)) / 2 of each exit and sample, in nats.

    Source:
        Nix and Weigend 1994, Estimating the mean and variance of the target probability distribution, ICNN.
    """
    mean, log_variance = outputs.unbind(dim=2)
    return 0.5 * (log_variance + (y - mean).square() * torch.exp(-log_variance))


def judge(outputs: Float[Tensor, "J N C"], y: Tensor, task: str, recipe: Recipe) -> dict[str, Any]:
    """The criterion and the measures of each exit on validation.

    The criterion, one number, is the mean over the exits of the loss without label smoothing: the cross-entropy, or
    for regression the loss that is trained.

    Args:
        outputs: float32.
        y: classes, or the right numbers.
        task, recipe: decide which loss.
    Returns:
        validation_loss, and a list with a value for each exit: validation_accuracy (fraction), or
        validation_pearson and validation_mse.
    """
    if task == "classification":
        loss = F.cross_entropy(outputs.flatten(0, 1), y.repeat(len(outputs)))
        accuracy = (outputs.argmax(dim=2) == y).float().mean(dim=1)
        return {"validation_loss": loss.item(), "validation_accuracy": accuracy.tolist()}
    loss = losses_of(task, recipe)(outputs, Target(y)).mean()
    prediction = outputs[:, :, 0]
    correlation, error = pearson(prediction, y), mean_squared_error(prediction, y)
    return {
        "validation_loss": loss.item(),
        "validation_pearson": correlation.tolist(),
        "validation_mse": error.tolist(),
    }
