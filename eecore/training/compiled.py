"""A network through torch.compile: begun anew in each phase, with outputs that are safe to keep."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["compiled"]


def compiled(forward: Callable[[Tensor], Tensor], device: str) -> Callable[[Tensor], Tensor]:
    """`forward`, compiled at its first calls; a batch of another size is compiled for itself.

    On a GPU the kernels of a step are recorded once and replayed together (CUDA graphs), since a host launches the
    many small kernels of these networks more slowly than the GPU executes them.

    Args:
        forward: logits of a batch.
        device: where it runs.
    Source:
        https://docs.pytorch.org/docs/stable/generated/torch.compile.html, mode "reduce-overhead".
    """
    torch.compiler.reset()  # else the graphs of earlier phases count towards torch's limit, and it gives up
    graphs = torch.device(device).type == "cuda"
    fast = torch.compile(forward, dynamic=False, mode="reduce-overhead" if graphs else None)
    if not graphs:
        return fast

    def kept(x: Tensor) -> Tensor:
        return fast(x).clone()  # a replay writes over the outputs of the one before

    return kept
