"""Mode connectivity: what happens to the loss on the way from one network to another.

K exits, T points on the way. Running statistics of batch norm belong to one network, not to a point between two: they
are estimated anew at every point, the ends included.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from eecore.analysis.landscape import evaluate
from eecore.analysis.planes import recompute_batch_norm
from eecore.analysis.untouched import untouched
from eecore.errors import SettingError
from eecore.inference.checks import check_labels
from eecore.models import MultiExit

State = Mapping[str, Tensor]
MEAN = "mean"  # in the column exit: the mean over exits


def interpolate(state_a: State, state_b: State, t: float) -> dict[str, Tensor]:
    """(1 - t) A + t B for parameters and floating-point buffers; counters come from A.

    Args:
        state_a, state_b: state dicts of one architecture, not changed.
        t: in [0, 1]; 0 gives A and 1 gives B exactly.
    Raises:
        SettingError: t is outside [0, 1], or names or shapes differ.
    Example:
        >>> interpolate({"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}, 0.25)
        {'w': tensor([1.])}
    """
    if not 0 <= t <= 1:
        raise SettingError(f"t: must lie in [0, 1], {t} came")
    check_same(state_a, state_b)
    return mixed((state_a, state_b), (1 - t, t))


def reestimate_batch_norm(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The model's state with running statistics of batch norm as its weights give them on x.

    Args:
        model: not changed. Only its batch norms run in training mode, dropout is off.
        x: training data without augmentation, 2 samples or more; statistics are the mean over its batches.
    Returns:
        A new state dict, for `load_state_dict`; equal to the model's own where it has no batch norm.
    Raises:
        SettingError: there are fewer than 2 samples.
    Source:
        Izmailov et al. 2018, arXiv:1803.05407 (batch norm of averaged weights).
    """
    check_statistics(x)
    with untouched(model):
        recompute_batch_norm(model, x)
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def repair(model: nn.Module, state: State, x: Tensor) -> dict[str, Tensor]:
    """Undo the collapse of activations' variance in a mixture of networks (REPAIR), for networks with batch norm.

    REPAIR sets mean and deviation of each unit's pre-activation to the mixture of its ends' values. Where a batch norm
    follows, those are its bias and weight, mixed already: all that is left is to estimate its running statistics.

    Args:
        model: gives the architecture; not changed.
        state: such as `interpolate` returns.
        x: training data, 2 samples or more.
    Returns:
        A new state dict.
    Raises:
        SettingError: the model has no batch norm (transformers), the state does not fit, or x is too small.
    Source:
        Jordan et al. 2023, arXiv:2211.08403.
    """
    if not _has_batch_norm(model):
        raise SettingError("model: REPAIR is for networks with batch norm, this one has none")
    check_same(model.state_dict(), state)
    check_statistics(x)
    with untouched(model):
        model.load_state_dict(dict(state))
        recompute_batch_norm(model, x)
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def path(
    model: MultiExit, state_a: State, state_b: State, x: Tensor, y: Tensor, x_bn: Tensor, points: int = 11
) -> pd.DataFrame:
    """Loss and accuracy of every exit along the straight line from A to B.

    An exit depends on the blocks before it and on its own head alone: the rows of the last exit are the path of the
    backbone.

    Args:
        model: gives the architecture; not changed.
        state_a, state_b: state dicts; for independent runs B may be aligned first, see `matching.align`.
        x, y: samples on which the loss is evaluated.
        x_bn: training data for the statistics of batch norm, estimated at every point, ends included.
        points: T, evenly spaced, 2 or more; an odd number has the middle.
    Returns:
        A row for each point and exit: t, exit (1..K), loss (cross-entropy, nats), accuracy (fraction).
    Raises:
        SettingError: the states do not fit, x and y do not fit, fewer than 2 points or samples in x_bn.
    Source:
        Frankle et al. 2020, arXiv:1912.05671 (linear mode connectivity).
    """
    check_same(state_a, state_b)
    return along(model, (state_a, state_b), lambda t: (1 - t, t), x, y, x_bn, points)


def barrier(frame: pd.DataFrame) -> pd.DataFrame:
    """How far a path rises above the straight line between its ends' values, at its highest.

    max over t of L(t) - ((1 - t) L(0) + t L(1)); never negative, since the ends give 0.

    Args:
        frame: from `path` or `bezier_path`.
    Returns:
        A row for each exit (1..K) and one for exit "mean" (of the exits' mean loss and error, not the mean of their
        barriers): exit, loss (nats), loss_t, error (fraction), error_t; the last of each pair is where.
    Raises:
        SettingError: the frame lacks a column or an end, or holds NaN.
    Source:
        Frankle et al. 2020, arXiv:1912.05671; Entezari et al. 2022, arXiv:2110.06296.
    Example:
        >>> line = pd.DataFrame({"t": [0, 0.5, 1], "exit": 1, "loss": [1.0, 3.0, 2.0], "accuracy": 0.5})
        >>> float(barrier(line)["loss"][0])
        1.5
    """
    missing = {"t", "exit", "loss", "accuracy"} - set(frame)
    if missing:
        raise SettingError(f"frame: columns {', '.join(sorted(missing))} are missing")
    values = frame.assign(error=1 - frame["accuracy"]).pivot(index="t", columns="exit", values=["loss", "error"])
    t = values.index.to_numpy(dtype=float)
    if len(t) < 2 or t[0] != 0 or t[-1] != 1 or values.isna().to_numpy().any():
        raise SettingError("frame: every exit needs finite values from t = 0 to t = 1")
    found: dict[str, list[float]] = {}
    for name in ("loss", "error"):
        exits = values[name]
        curves = np.column_stack([exits.to_numpy(), exits.mean(axis=1)])  # (T, K + 1)
        rise = curves - ((1 - t)[:, None] * curves[0] + t[:, None] * curves[-1])
        rise[[0, -1]] = 0.0  # exactly
        found[name], found[f"{name}_t"] = rise.max(axis=0).tolist(), t[rise.argmax(axis=0)].tolist()
    return pd.DataFrame({"exit": [*values["loss"].columns, MEAN], **found})


def along(
    model: MultiExit,
    states: tuple[State, ...],
    weights: Callable[[float], tuple[float, ...]],
    x: Tensor,
    y: Tensor,
    x_bn: Tensor | None,
    points: int,
) -> pd.DataFrame:
    """Evaluate mixtures of states, `weights(t)` of each, as `path` describes; x_bn None: buffers stay mixed too."""
    if points < 2:
        raise SettingError(f"points: at least 2 are needed, {points} came")
    check_same(model.state_dict(), states[0])
    if x_bn is not None and _has_batch_norm(model):
        check_statistics(x_bn)
    y = check_labels(y, len(x), model.heads[-1].linear.out_features)  # type: ignore[union-attr, arg-type]
    # copies: a state may be the model's own, whose tensors every point on the way overwrites
    states = tuple({name: tensor.detach().clone() for name, tensor in state.items()} for state in states)
    frames = []
    with untouched(model):
        for t in np.linspace(0, 1, points).tolist():
            model.load_state_dict(mixed(states, weights(t)))
            if x_bn is not None:
                recompute_batch_norm(model, x_bn)
            loss, accuracy = evaluate(model, x, y)
            if not np.isfinite(loss).all():
                raise SettingError(f"x, states: the loss is not finite at t = {t:g}")
            exits = range(1, model.n_exits + 1)
            frames.append(pd.DataFrame({"t": t, "exit": exits, "loss": loss, "accuracy": accuracy}))
    return pd.concat(frames, ignore_index=True)


def mixed(states: tuple[State, ...], weights: tuple[float, ...]) -> dict[str, Tensor]:
    """Weighted sum of floating-point tensors; a weight of 1 gives that state exactly."""
    mixture = {}
    for name, first in states[0].items():
        mixture[name] = first.detach().clone()
        if first.is_floating_point():
            parts = [w * state[name].detach() for state, w in zip(states, weights, strict=True) if w != 0]
            mixture[name] = torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0].clone()
    return mixture


def check_same(state_a: State, state_b: State) -> None:
    """Stop where two states are not of one architecture.

    Raises:
        SettingError: names or shapes differ.
    """
    if {n: t.shape for n, t in state_a.items()} != {n: t.shape for n, t in state_b.items()}:
        differ = sorted(
            n
            for n in {*state_a, *state_b}
            if getattr(state_a.get(n), "shape", 0) != getattr(state_b.get(n), "shape", 1)
        )
        raise SettingError(f"states: expected one architecture, '{differ[0]}' and {len(differ) - 1} more differ")


def check_statistics(x: Tensor) -> None:
    """Stop where data are too few for the statistics of batch norm.

    Raises:
        SettingError: there are fewer than 2 samples.
    """
    if x.ndim < 1 or len(x) < 2:
        raise SettingError(f"x for batch norm: at least 2 samples are needed, {tuple(x.shape)} came")


def _has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
