"""The loss of every exit on the plane through three models of one architecture.

Buffers are no coordinates: the running statistics of batch norm belong to one model and to no other point of the plane,
so they are estimated anew at every point.

K exits, M the three models.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from eecore.analysis.landscape import CHUNK, Direction, Plane, check_direction, checked_labels, evaluate, visit
from eecore.errors import SettingError, choose
from eecore.inference.checks import Number
from eecore.models import MultiExit
from eecore.shapes import Float


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
    check_direction(model, basis.origin)
    y = checked_labels(model, x, y)

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
    visited = visit(model, basis.origin, basis.directions, points, partial(evaluate, x=x, y=y), arrive)
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
