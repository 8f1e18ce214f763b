"""Gradients scaled where the network branches into a head and the blocks behind it, in one backward pass.

K exits, numbered from 0. The gradient that leaves the block of exit i is (head_i + (K-i-1) later) / (K-i): "head" is
what comes back through the head and "later" what comes back from the next block, which has been scaled in the same way.

Written out, this is the average over the exits behind: with later = the average of K-i-1 gradients, the numerator is
the sum of K-i. So gradient equilibrium and the rescaling of BoostNet are one update wherever blocks form a chain and
every path to a later exit passes through them. Both names are known; they share this code, and the tests compare it
with both definitions. Heads get their own gradient, unscaled.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from eecore.models import MultiExit

__all__ = ["branch_factors", "scale_branches"]


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def branch_factors(exits: int) -> list[tuple[float, float]]:
    """Factors of the gradients from the head and from later blocks, at each exit but the last.

    Source:
        Li et al. 2019, arXiv:1908.06294 (gradient equilibrium);
        Yu et al. 2023, arXiv:2211.16726 (the average over the exits behind).
    Example:
        >>> branch_factors(3)
        [(0.3333333333333333, 0.6666666666666666), (0.5, 0.5)]
    """
    return [(1 / (exits - i), (exits - i - 1) / (exits - i)) for i in range(exits - 1)]


def scale_branches(model: MultiExit) -> list[RemovableHandle]:
    """Scale gradients at all branches of `model` from now on, until the handles are removed.

    The network computes the same as before.
    """
    handles = []
    for i, (head, later) in enumerate(branch_factors(model.n_exits)):
        handles.append(_scale_input(model.heads[i], head))
        handles.append(_scale_input(model.blocks[model.exits[i] + 1], later))
    return handles


def _scale_input(module: nn.Module, factor: float) -> RemovableHandle:
    def scaled(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_scale(inputs[0], factor), *inputs[1:])

    return module.register_forward_pre_hook(cast(Any, scaled))


def _scale(state: Any, factor: float) -> Any:
    """A state whose gradient is scaled; a mask has none."""
    if isinstance(state, tuple):
        return tuple(_scale(part, factor) for part in state)
    return _Scaled.apply(state, factor) if state.requires_grad else state
