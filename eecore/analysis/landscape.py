"""The loss of every exit on planes in the space of parameters.

A plane is origin + a u + b v, with u and v of the form of the parameters. Buffers are no coordinates: the running
statistics of batch norm stay as they are around one model, and are estimated anew in the plane of three models, whose
statistics belong to no other point of it.

K exits, A and B points along u and v, P points in a list, M the three models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from eecore.analysis.gradients import check_batch
from eecore.analysis.untouched import untouched
from eecore.errors import SettingError, choose
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
        _check_direction(model, direction)
    y = _checked(model, x, y)
    half = steps // 2
    axis = np.arange(-half, half + 1) / half * radius
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    origin = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss, accuracy = _visit(model, origin, directions, points, partial(evaluate, x=x, y=y))
    grid = (-1, steps, steps)
    return Plane(axis, axis, loss.T.reshape(grid), accuracy.T.reshape(grid))


def _check_direction(model: nn.Module, direction: Direction) -> None:
    expected = {name: p.shape for name, p in model.named_parameters()}
    if {name: d.shape for name, d in direction.items()} != expected:
        raise SettingError("directions: expected one tensor for each parameter of the model, of its shape")
    if not all(bool(d.isfinite().all()) for d in direction.values()):
        raise SettingError("directions: expected finite numbers")


@torch.no_grad()
def _checked(model: MultiExit, x: Tensor, y: Tensor) -> Tensor:
    """The labels, where they and the model's logits are as they should be."""
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
def _visit(
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


@dataclass(frozen=True)
class ThreeModels:
    """The plane through three models of one architecture.

    Args:
        origin: parameters of the first model.
        directions: u, from the first to the second model, and v, from the first to the third without its part along
            u; both of length 1, so that distances in the plane are distances between parameters.
        coordinates: (a, b) of the three models.
        distances: between the models.
        buffers: of the three models, floating-point ones only.
    """

    origin: Direction
    directions: tuple[Direction, Direction]
    coordinates: Float[np.ndarray, "M 2"]
    distances: Float[np.ndarray, "M M"]
    buffers: tuple[Direction, ...]

    def mixture(self, a: float, b: float) -> tuple[float, float, float]:
        """How much of each model is in a point of the plane: three numbers that sum to 1, negative outside."""
        (_, _), (a2, _), (a3, b3) = self.coordinates.tolist()
        third = b / b3
        second = (a - third * a3) / a2
        return 1 - second - third, second, third


def three_model_plane(first: nn.Module, second: nn.Module, third: nn.Module) -> ThreeModels:
    """Orthonormal basis of the plane through the parameters of three models.

    Raises:
        SettingError: the models differ in their parameters' names or shapes, or lie on one line.
    Source:
        Garipov et al. 2018, arXiv:1802.10026, appendix A.3.
    """
    parts = [{name: p.detach() for name, p in model.named_parameters()} for model in (first, second, third)]
    shapes = [{name: p.shape for name, p in part.items()} for part in parts]
    if shapes[1:] != shapes[:-1]:
        raise SettingError("models: expected three of one architecture; their parameters differ in name or shape")
    flat = torch.stack([torch.cat([p.double().flatten() for p in part.values()]) for part in parts])
    u, v = flat[1] - flat[0], flat[2] - flat[0]
    length = float(u.norm())
    if length == 0:
        raise SettingError("models: the first two have the same parameters, so there is no plane")
    u = u / length
    along, whole = float(u @ v), float(v.norm())
    v = v - along * u
    v = v - (u @ v) * u  # once more, against rounding
    height = float(v.norm())
    if height <= 1e-6 * max(length, whole):
        raise SettingError("models: the three lie on one line in the space of parameters, so there is no plane")
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()
    buffers = [{n: t.clone() for n, t in m.named_buffers() if t.is_floating_point()} for m in (first, second, third)]
    return ThreeModels(
        {name: p.clone() for name, p in parts[0].items()},
        (_shaped(u, parts[0]), _shaped(v / height, parts[0])),
        np.array([[0.0, 0.0], [length, 0.0], [along, height]]),
        distances,
        tuple(buffers),
    )


def _shaped(vector: Tensor, like: Direction) -> Direction:
    pieces = vector.split([p.numel() for p in like.values()])
    return {name: piece.view_as(p).to(p.dtype) for piece, (name, p) in zip(pieces, like.items(), strict=True)}


def plane_of_three(
    basis: ThreeModels,
    model: MultiExit,
    x: Tensor,
    y: Tensor,
    statistics_x: Tensor | None = None,
    *,
    batch_norm: str = "recompute",
    margin: Number = 0.25,
    steps: int = 25,
) -> tuple[Plane, pd.DataFrame]:
    """Losses over the plane of three models, and at the models themselves.

    Args:
        basis: what `three_model_plane` returned.
        model: any of the three, or another of their architecture; left as it is, bit for bit.
        x, y: the samples on which the loss is evaluated.
        statistics_x: training data from which batch norm is estimated anew at every point, the models included.
        batch_norm: "recompute"; or "interpolate", which mixes the models' running statistics as their parameters are
            mixed, variances cut at 0 (cheaper, but statistics of a mixture are no mixture of statistics).
        margin: how far the grid goes beyond the models, as a fraction of their extent along each axis.
        steps: points per axis, 2 or more.
    Returns:
        The grid; and the models' own points, which it does not contain: model (1..3), exit (1..K), loss, accuracy.
    Raises:
        SettingError: a setting is not as described, labels do not fit, or a logit is not finite.
    """
    choose("batch_norm", batch_norm, ["recompute", "interpolate"])
    norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    if norms and batch_norm == "recompute" and (statistics_x is None or len(statistics_x) < 2):
        raise SettingError("statistics_x: batch_norm='recompute' needs training data, 2 samples or more")
    if steps < 2 or not 0 <= margin < float("inf"):
        raise SettingError(f"steps, margin: expected at least 2 and at least 0, got {steps} and {margin}")
    _check_direction(model, basis.origin)
    y = _checked(model, x, y)

    def arrive(visitor: MultiExit, a: float, b: float) -> None:
        if batch_norm == "interpolate":
            _mix_buffers(visitor, basis, a, b)
        elif norms and statistics_x is not None:
            recompute_batch_norm(visitor, statistics_x)

    low, high = basis.coordinates.min(axis=0), basis.coordinates.max(axis=0)
    extent = margin * (high - low)
    a, b = np.linspace(low - extent, high + extent, steps, axis=1)
    grid = np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2)
    points = np.concatenate([basis.coordinates, grid])
    visited = _visit(model, basis.origin, basis.directions, points, partial(evaluate, x=x, y=y), arrive)
    models, exits = np.indices((3, model.n_exits)) + 1
    own = {"loss": visited[0][:3].ravel(), "accuracy": visited[1][:3].ravel()}
    loss, accuracy = (part[3:].T.reshape(-1, steps, steps) for part in visited)
    return Plane(a, b, loss, accuracy), pd.DataFrame({"model": models.ravel(), "exit": exits.ravel(), **own})


def _mix_buffers(model: MultiExit, basis: ThreeModels, a: float, b: float) -> None:
    shares = basis.mixture(a, b)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            parts = torch.stack([part[name] for part in basis.buffers])
            mixed = torch.tensordot(torch.tensor(shares).to(parts), parts, dims=1)
            buffer.copy_(mixed.clamp_min(0) if name.endswith("running_var") else mixed)


@torch.no_grad()
def recompute_batch_norm(model: nn.Module, x: Tensor) -> None:
    """Estimate the running statistics of batch norm anew, in place; modes and momentum come back as they were.

    Args:
        model: its running statistics are replaced by the mean over equal parts of x of at most 500 samples.
        x: training data.
    Source:
        Izmailov et al. 2018, SWA, arXiv:1803.05407, section 3.2 (cumulative average).
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [(norm, norm.training, norm.momentum) for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # every part counts the same
        for part in x.tensor_split(-(-len(x) // CHUNK)) if norms else ():
            model(part)
    finally:
        for norm, mode, momentum in before:
            norm.training, norm.momentum = mode, momentum
