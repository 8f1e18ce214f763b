"""The loss of every exit on a plane around one model, in the space of parameters.

A plane is origin + a u + b v, with u and v of the form of the parameters. Buffers are no coordinates: the running
statistics of batch norm stay as they are. The plane through three models is in `planes`.

K exits, A and B points along u and v, P points in a list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from eecore.analysis.gradients import check_batch
from eecore.analysis.untouched import untouched
from eecore.errors import SettingError
from eecore.inference.checks import Number
from eecore.models import MultiExit
from eecore.shapes import Float
from eecore.training.loop import exit_losses

Direction = dict[str, Tensor]  # name of a parameter -> tensor of its shape
CHUNK = 500  # samples of one forward pass


@dataclass(frozen=True)
class Plane:
    """Surfaces over a plane; the first axis of a grid is b (rows, along v), the second a (columns, along u).

    Args:
        a, b: coordinates of columns and rows.
        loss: cross-entropy of each exit, the mean over the samples.
        accuracy: of each exit, a fraction.
    """

    a: Float[np.ndarray, " A"]
    b: Float[np.ndarray, " B"]
    loss: Float[np.ndarray, "K B A"]
    accuracy: Float[np.ndarray, "K B A"]

    @property
    def training_loss(self) -> Float[np.ndarray, "B A"]:
        """What the regimes that train all exits minimise: the mean over exits."""
        return self.loss.mean(axis=0)


def filter_normalised_direction(model: nn.Module, generator: torch.Generator) -> Direction:
    """A random Gaussian direction in which every filter is as long as the model's.

    Args:
        model: left as it is.
        generator: of the CPU; decides the direction.
    Returns:
        For each parameter a tensor of its shape. A filter is what produces one output: the first axis of a weight.
        Biases and the parameters of norms, of one axis or none, get zeros; buffers are not in it.
    Source:
        Li et al. 2018, arXiv:1712.09913, section 4.
    """
    direction = {}
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        if weight.ndim < 2:
            direction[name] = torch.zeros_like(weight)
            continue
        axes = tuple(range(1, weight.ndim))
        length, wanted = (torch.linalg.vector_norm(t, dim=axes, keepdim=True) for t in (drawn, weight))
        direction[name] = drawn * wanted / length.clamp_min(torch.finfo(weight.dtype).tiny)
    return direction


def plane(
    model: MultiExit,
    x: Tensor,
    y: Tensor,
    directions: tuple[Direction, Direction],
    radius: Number = 1.0,
    steps: int = 25,
) -> Plane:
    """Losses around a model, in eval mode: steps^2 evaluations, with weights written in place.

    Args:
        model: the centre; left as it is, bit for bit.
        x, y: the samples on which the loss is evaluated.
        directions: u and v, such as two of `filter_normalised_direction`.
        radius: a and b go from -radius to radius; 1 is one filter-normalised direction.
        steps: points per axis, odd, so that the model itself is the middle one exactly.
    Raises:
        SettingError: steps or radius are not as described, directions or labels do not fit, a logit is not finite.
    """
    if steps < 3 or steps % 2 == 0:
        raise SettingError(f"steps: expected an odd number of at least 3, so that the grid has a centre, got {steps}")
    if not 0 < radius < float("inf"):
        raise SettingError(f"radius: expected a number above 0, got {radius}")
    for direction in directions:
        check_direction(model, direction)
    y = checked_labels(model, x, y)
    half = steps // 2
    axis = np.arange(-half, half + 1) / half * radius
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    origin = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss, accuracy = visit(model, origin, directions, points, partial(evaluate, x=x, y=y))
    grid = (-1, steps, steps)
    return Plane(axis, axis, loss.T.reshape(grid), accuracy.T.reshape(grid))


def check_direction(model: nn.Module, direction: Direction) -> None:
    """Stop where a direction does not have the form of the model's parameters.

    Raises:
        SettingError: a tensor is missing, too many, of another shape or not finite.
    """
    expected = {name: p.shape for name, p in model.named_parameters()}
    if {name: d.shape for name, d in direction.items()} != expected:
        raise SettingError("directions: expected one tensor for each parameter of the model, of its shape")
    if not all(bool(d.isfinite().all()) for d in direction.values()):
        raise SettingError("directions: expected finite numbers")


@torch.no_grad()
def checked_labels(model: MultiExit, x: Tensor, y: Tensor) -> Tensor:
    """The labels, where they and the model's logits are as they should be.

    Raises:
        SettingError: labels do not fit, or a logit is not finite.
    """
    with untouched(model):
        return check_batch(torch.cat([model(part) for part in x.split(CHUNK)], dim=1), y)


Evaluation = tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]


@torch.no_grad()
def evaluate(model: MultiExit, x: Tensor, y: Tensor) -> Evaluation:
    """Cross-entropy and accuracy of every exit, with the model in the mode and with the buffers that it has."""
    logits = torch.cat([model(part) for part in x.split(CHUNK)], dim=1).float()
    loss = exit_losses(logits, y, 0.0)
    return loss.double().cpu().numpy(), (logits.argmax(2) == y).double().mean(1).cpu().numpy()


@torch.no_grad()
def visit(
    model: MultiExit,
    origin: Direction,
    directions: tuple[Direction, Direction],
    points: Float[np.ndarray, "P 2"],
    evaluation: Callable[[MultiExit], Evaluation],
    arrive: Callable[[MultiExit, float, float], None] = lambda model, a, b: None,
) -> tuple[Float[np.ndarray, "P K"], Float[np.ndarray, "P K"]]:
    """Evaluate the model at points (a, b) of a plane. `arrive` may set buffers there."""
    u, v = directions
    with untouched(model):
        own = dict(model.named_parameters())
        for name in own:
            own[name].copy_(origin[name])
        names = [name for name in own if bool(u[name].any() | v[name].any())]
        weights = [own[name].data for name in names]
        base, us, vs = ([part[name] for name in names] for part in (origin, u, v))
        found = []
        for a, b in points.tolist():
            if weights:
                torch._foreach_copy_(weights, base)
                torch._foreach_add_(weights, us, alpha=a)
                torch._foreach_add_(weights, vs, alpha=b)
            arrive(model, a, b)
            found.append(evaluation(model))
    loss, accuracy = (np.stack(part) for part in zip(*found, strict=True))
    return loss, accuracy
