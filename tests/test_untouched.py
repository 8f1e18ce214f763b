"""What is lent to a measurement comes back bit for bit, also after an exception."""

import copy

import pytest
import torch

from eecore import models
from eecore.analysis.untouched import untouched


def snapshot(model):
    tensors = {name: t.clone() for name, t in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    flags = [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    return tensors, modes, flags


def same(a, b):
    tensors = all(torch.equal(a[0][name], b[0][name]) for name in a[0])
    gradients = all(
        x[0] == y[0] and ((x[1] is None and y[1] is None) or torch.equal(x[1], y[1]))
        for x, y in zip(a[2], b[2], strict=True)
    )
    return tensors and a[1] == b[1] and gradients


@pytest.mark.parametrize("fails", [False, True])
def test_weights_buffers_gradients_modes_and_flags_come_back(fails):
    model = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=4)
    model(torch.randn(4, 1, 8, 8)).sum().backward()
    model.heads[0].eval()
    model.stem.requires_grad_(False)
    before = copy.deepcopy(snapshot(model))
    try:
        with untouched(model, training=True) as lent:
            assert all(p.requires_grad and p.grad is None for p in lent.parameters())
            lent(torch.randn(8, 1, 8, 8)).sum().backward()  # moves batch-norm buffers, makes gradients
            with torch.no_grad():
                for parameter in lent.parameters():
                    parameter.add_(1.0)
            assert not same(before, snapshot(model))
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert same(before, snapshot(model))
