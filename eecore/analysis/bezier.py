"""A curve between two networks, bent by training until the loss along it is low.

K exits, T points on the way, A and B the ends, P the control point.
"""

import math

import pandas as pd
import torch
from torch import Tensor, nn

from eecore.analysis.connectivity import State, along, check_same, check_statistics, interpolate
from eecore.analysis.untouched import untouched
from eecore.errors import SettingError
from eecore.inference.checks import check_labels
from eecore.models import MultiExit
from eecore.training.loop import exit_losses


def bezier_path(
    model: MultiExit,
    state_a: State,
    state_b: State,
    train_x: Tensor,
    train_y: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 200,
    batch: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    points: int = 11,
) -> pd.DataFrame:
    """Loss and accuracy along a curve from A to B that was trained to be low.

    The curve (1-t)^2 A + 2t(1-t) P + t^2 B starts as the straight line, P the middle. P minimises by Adam the expected
    loss, mean over exits, over t uniform in [0, 1], batch norm in training mode.

    Args:
        model: gives the architecture; not changed, nor is torch's global generator used.
        state_a, state_b: state dicts, kept as the ends.
        train_x, train_y: training data, for P and, at the end, for the statistics of batch norm.
        x, y: samples on which the curve is evaluated.
        steps: updates of P, 0 or more; 0 is the straight line.
        batch: samples of each update, 2 or more.
        learning_rate: of Adam, above 0.
        seed: of batches and t.
        points: T, evenly spaced in t, 2 or more.
    Returns:
        As `path`.
    Raises:
        SettingError: as `path`, or a setting is out of its range, or the loss is not finite.
    Source:
        Garipov et al. 2018, arXiv:1802.10026, section 3.
    """
    check_same(model.state_dict(), state_a)
    check_same(state_a, state_b)
    check_statistics(train_x)
    if steps < 0 or batch < 2 or not 0 < learning_rate < math.inf:
        raise SettingError(f"steps, batch, learning_rate: {steps}, {batch}, {learning_rate} are out of range")
    train_y = check_labels(train_y, len(train_x), model.heads[-1].linear.out_features)  # type: ignore[union-attr, arg-type]
    middle = _train_middle(model, state_a, state_b, train_x, train_y, (steps, batch, learning_rate, seed))
    return along(model, (state_a, middle, state_b), bernstein, x, y, train_x, points)


def _train_middle(
    model: MultiExit,
    state_a: State,
    state_b: State,
    x: Tensor,
    y: Tensor,
    settings: tuple[int, int, float, int],
) -> dict[str, Tensor]:
    """The control point after some updates; its buffers are the middle of the ends'."""
    steps, batch, learning_rate, seed = settings
    generator = torch.Generator().manual_seed(seed)
    start = interpolate(state_a, state_b, 0.5)
    names = [name for name, _ in model.named_parameters()]
    control = {name: start[name].requires_grad_(True) for name in names}
    adam = torch.optim.Adam(control.values(), lr=learning_rate)
    with untouched(model):  # batch norm's running statistics change on the way and come back
        for module in model.modules():
            module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)
        for _ in range(steps):
            t = float(torch.rand((), generator=generator))
            rows = torch.randperm(len(x), generator=generator)[:batch]
            first, second, third = bernstein(t)
            point = {n: first * state_a[n] + second * control[n] + third * state_b[n] for n in names}
            loss = exit_losses(torch.func.functional_call(model, point, (x[rows],)), y[rows], 0.0).mean()
            if not bool(loss.isfinite()):
                raise SettingError("learning_rate, states: the loss of the curve is not finite")
            adam.zero_grad()
            loss.backward()
            adam.step()
    return {name: tensor.detach() for name, tensor in start.items()}


def bernstein(t: float) -> tuple[float, float, float]:
    """Weights of A, P and B at t.

    Example:
        >>> bernstein(0.5)
        (0.25, 0.5, 0.25)
    """
    return (1 - t) ** 2, 2 * t * (1 - t), t**2
