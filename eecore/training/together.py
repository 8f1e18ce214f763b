"""What several processes do together within a step: rows put together, gradients added up, one batch's statistics.

torch's SyncBatchNorm exists on GPUs alone, and DistributedDataParallel takes the mean of the gradients of separate
losses; here the loss is one. All of it is made of one operation, a sum over the processes.

Axes: J exits that a phase trains, B batch, C classes.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from eecore.shapes import Float

__all__ = ["LostError", "Share", "batch_norm", "over_all", "sum_gradient", "sum_rows"]


class LostError(RuntimeError):
    """Another process no longer answers."""


@dataclass
class Share:
    """Which part of a batch is this process's.

    Attributes:
        rank: of this process, from 0.
        processes: all of them.
        inside: whether its rows are being computed just now.
        divided: whether the gradient to come is of its rows alone.
    """

    rank: int
    processes: int
    inside: bool = False
    divided: bool = False

    @contextlib.contextmanager
    def rows(self, samples: int) -> Iterator[slice]:
        """This process's rows of a batch, while they are being computed."""
        first, last = (samples * r // self.processes for r in (self.rank, self.rank + 1))
        self.inside = self.divided = True
        try:
            yield slice(first, last)
        finally:
            self.inside = False


def over_all(own: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> None:
    """Put in place of a tensor its sum over all processes, or another `operation`.

    Raises:
        LostError: a process died. Its connections break before its parent can know that it ended, so it is said here.
    """
    try:
        dist.all_reduce(own, operation)
    except RuntimeError as error:
        raise LostError(str(error)) from error


class _Sum(torch.autograd.Function):
    """The sum over the processes. Each uses it for rows of its own, so its derivative is a sum as well."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        over_all(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        total = gradients[0].contiguous().clone()
        over_all(total)
        return total


class _Rows(torch.autograd.Function):
    """The rows of all processes. What comes after is the same in each, so a row's derivative is there already."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, where: slice, samples: int) -> Tensor:
        ctx.where = where
        total = own.new_zeros(own.shape[0], samples, *own.shape[2:])
        total[:, where] = own
        over_all(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        return gradients[0][:, ctx.where], None, None


def sum_rows(own: Float[Tensor, "J b C"], where: slice, samples: int) -> Float[Tensor, "J B C"]:
    """Logits of a whole batch of `samples`, from those of each process's rows."""
    return _Rows.apply(own, where, samples)


def sum_gradient(share: Share, parameter: Tensor) -> None:
    """A hook: the gradient of the whole batch, from those of each process's rows."""
    if share.divided and parameter.grad is not None:
        over_all(parameter.grad)


def batch_norm(norm: _BatchNorm, share: Share, x: Tensor) -> Tensor:
    """Batch norm with mean and variance of the whole batch, of which each process has its rows.

    As torch's in eval mode, and outside of what is divided.

    Args:
        norm: the layer; its running statistics move as ever.
        share: of this process.
        x: (b, features, ...), its rows.
    """
    if not (share.inside and norm.training):
        return type(norm).forward(norm, x)
    axes, shape = [0, *range(2, x.ndim)], (1, -1, *(1,) * (x.ndim - 2))
    values = x.float()
    count = values.new_full((1,), x.numel() / x.shape[1])
    total = _sum(torch.cat([values.sum(axes), count]))
    n = total[-1].detach()
    mean = total[:-1] / n
    centred = values - mean.view(shape)
    variance = _sum((centred**2).sum(axes)) / n
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        with torch.no_grad():
            norm.num_batches_tracked += 1
            step = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, step)
            norm.running_var.lerp_(variance * n / (n - 1), step)
    out = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out.to(x.dtype)


def _sum(own: Tensor) -> Tensor:
    return _Sum.apply(own)
