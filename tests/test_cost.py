"""Cost in multiply-adds: against closed forms, and blind to device and mode."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from eecore import models
from eecore.models import MultiExit, backbone_macs, cost, exit_macs, head_macs


def test_perceptron_by_hand():
    """40 -> 7 -> 5 with heads of 3 classes behind both."""
    model = MultiExit(nn.Flatten(), [nn.Linear(40, 7), nn.Linear(7, 5)], [nn.Linear(7, 3), nn.Linear(5, 3)], (0, 1))
    assert head_macs(model, (1, 40), "sequence") == [21, 15]
    assert exit_macs(model, (1, 40), "sequence") == [280 + 21, 280 + 35 + 21 + 15]
    assert backbone_macs(model, (1, 40), "sequence") == 280 + 35 + 15


@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5)])
def test_convolution_by_hand(stride, side):
    """Positions out x channels out x channels in x kernel positions."""
    conv2, conv1 = nn.Conv2d(3, 4, 3, stride, padding=1), nn.Conv1d(3, 4, 5, stride, padding=2)
    assert cost.trace([conv2], (3, 9, 9), "image")[0] == [side * side * 4 * 3 * 9]
    assert cost.trace([conv1], (3, 9), "sequence")[0] == [side * 4 * 3 * 5]


def test_tokens_have_whole_numbers():
    macs, states = cost.trace([nn.Embedding(50, 6), nn.Linear(6, 2)], (9,), "tokens")
    assert macs == [0, 9 * 6 * 2]
    assert [tuple(state.shape) for state in states] == [(1, 9, 6), (1, 9, 2)]


def test_transformer_by_hand_attention_included():
    """vit_nano on 40 numbers: 10 tokens of 8 numbers each, width D = 32, perceptron of 2 D."""
    tokens, width, classes = 10, 32, 10
    linear = tokens * (4 * width * width + 2 * 2 * width * width)
    attention = 2 * tokens * tokens * width
    stem, head = tokens * 8 * width, width * classes
    model = models.build("vit_nano", kind="sequence", shape=(1, 40), classes=classes)
    expected = [stem + (k + 1) * (linear + attention + head) for k in range(6)]
    assert exit_macs(model, (1, 40), "sequence") == expected


def test_residual_network_by_hand():
    """resnet8 on one 8 x 8 channel: three stages of one block, the last two halve the side."""
    model = models.build("resnet8", kind="image", shape=(1, 8, 8), classes=10, head="pooled")
    stem = 64 * 16 * 9
    stages = [64 * 2 * 16 * 16 * 9]
    stages += [16 * 32 * (16 * 9 + 32 * 9 + 16), 4 * 64 * (32 * 9 + 64 * 9 + 32)]
    assert head_macs(model, (1, 8, 8), "image") == [16 * 16 * 10, 16 * 32 * 10, 64 * 10]
    assert backbone_macs(model, (1, 8, 8), "image") == stem + sum(stages) + 640


def test_attention_is_why_the_count_runs_on_meta():
    """On a real CPU tensor the counter misses fused attention; ours must not."""
    model = models.build("vit_nano", kind="sequence", shape=(1, 40), classes=10, exits=()).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 1, 40))
    attention = 6 * 2 * 10 * 10 * 32
    assert backbone_macs(model, (1, 40), "sequence") - counter.get_total_flops() // 2 in (0, attention)


@pytest.mark.parametrize("name", ["resnet_nano", "mlp_nano"])
def test_equals_the_counter_on_a_real_sample(name):
    model = models.build(name, kind="image", shape=(1, 8, 8), classes=10, exits="every:2").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 1, 8, 8))
    assert exit_macs(model, (1, 8, 8), "image")[-1] == counter.get_total_flops() // 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_counting_changes_nothing(dtype):
    model = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=10).to(dtype)
    model.train()
    model.blocks[0].eval()
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    macs = exit_macs(model, (1, 8, 8), "image")
    assert macs == models.describe("resnet_nano", kind="image", shape=(1, 8, 8), classes=10)["macs"]
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(tensor.device.type == "cpu" for tensor in model.state_dict().values())


@pytest.mark.parametrize("name", ["resnet_nano", "vit_nano", "mlp_nano"])
def test_costs_ascend_and_early_heads_cost_extra(name):
    model = models.build(name, kind="sequence", shape=(1, 40), classes=10)
    macs, of_heads = exit_macs(model, (1, 40), "sequence"), head_macs(model, (1, 40), "sequence")
    assert macs == sorted(set(macs))
    assert macs[-1] - backbone_macs(model, (1, 40), "sequence") == sum(of_heads[:-1])
