"""A model that is measured comes back as it was: weights, buffers, gradients, modes and flags, bit for bit."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def untouched(model: nn.Module, training: bool = False) -> Iterator[nn.Module]:
    """Lend a model to a block of code that may change it.

    Args:
        model: restored at the end, also after an exception.
        training: the mode in which it is lent.
    Yields:
        The same model, with every parameter differentiable and no gradient.
    """
    state = {name: t.detach().clone() for name, t in model.state_dict().items()}
    modes = [(module, module.training) for module in model.modules()]
    flags = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    model.train(training)
    for parameter, _, _ in flags:
        parameter.requires_grad_(True)
        parameter.grad = None
    try:
        yield model
    finally:
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if not torch.equal(tensor, state[name]):
                    tensor.copy_(state[name])
        for module, mode in modes:
            module.training = mode
        for parameter, differentiable, gradient in flags:
            parameter.requires_grad_(differentiable)
            parameter.grad = gradient
