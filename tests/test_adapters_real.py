"""Exits on networks of torchvision and timm as they are installed, with the extra "adapters".

A cut network's last state goes through the rest of the network, its own pooling and classifier: that must give what the
network gives, bit for bit, or the cut has left something out or put it in another order.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from eecore import models
from eecore.models import adapters

pytestmark = pytest.mark.adapters


def pooled(network: nn.Module, state: Tensor) -> Tensor:
    return network.avgpool(state).flatten(1)


Rest = Callable[[nn.Module, Tensor], Tensor]
TORCHVISION: dict[str, tuple[int, Rest]] = {  # blocks, and what comes behind them
    "resnet18": (8, lambda net, state: net.fc(pooled(net, state))),
    "resnext50_32x4d": (16, lambda net, state: net.fc(pooled(net, state))),
    "alexnet": (4, lambda net, state: net.classifier(pooled(net, state))),
    "vgg11_bn": (7, lambda net, state: net.classifier(pooled(net, state))),
    "mobilenet_v2": (18, lambda net, state: net.classifier(state.mean((2, 3)))),
    "efficientnet_b0": (8, lambda net, state: net.classifier(pooled(net, state))),
    "convnext_tiny": (7, lambda net, state: net.classifier(net.avgpool(state))),
    "vit_b_16": (12, lambda net, state: net.heads(net.encoder.ln(state)[:, 0])),
}
TIMM: dict[str, tuple[int, Rest]] = {
    "resnet18": (8, lambda net, state: net.forward_head(state)),
    "resnet50d": (16, lambda net, state: net.forward_head(state)),
    "vit_tiny_patch16_224": (12, lambda net, state: net.forward_head(net.norm(state))),
    "vgg11_bn": (7, lambda net, state: net.forward_head(state)),
}
CASES = [("torchvision", name) for name in TORCHVISION] + [("timm", name) for name in TIMM]


def made(library: str, name: str) -> nn.Module:
    """A network with random weights, none of them zero, in eval mode."""
    torch.manual_seed(0)
    timm = library == "timm"
    create = adapters.library("timm").create_model if timm else adapters.library("torchvision.models").get_model
    network = create(name).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize(("library", "name"), CASES)
def test_a_cut_network_is_the_network(library: str, name: str) -> None:
    network = made(library, name)
    blocks, rest = (TIMM if library == "timm" else TORCHVISION)[name]
    x = torch.randn(1, 3, 224, 224)
    backbone = adapters.cut(network)
    assert len(backbone.blocks) == blocks
    with torch.no_grad():
        state = backbone.stem(x)
        for block in backbone.blocks:
            state = block(state)
        expected = network(x)
        assert torch.equal(rest(network, state), expected)
        assert expected.std() > 0


@pytest.mark.parametrize(("library", "name"), [("torchvision", "resnet18"), ("timm", "vit_tiny_patch16_224")])
def test_exits_on_it_train_everything(library: str, name: str) -> None:
    shape = (3, 224, 224)
    model = adapters.with_exits(adapters.cut(made(library, name)), kind="image", shape=shape, classes=5)
    logits = model(torch.randn(2, *shape))
    assert logits.shape == (model.n_exits, 2, 5)
    logits.logsumexp(2).mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    macs = models.exit_macs(model, shape, "image")
    assert macs == sorted(macs)


REFUSED = [("torchvision", "swin_t"), ("timm", "deit_tiny_distilled_patch16_224"), ("timm", "mixer_s16_224")]


@pytest.mark.parametrize(("library", "name"), REFUSED)
def test_what_cannot_be_cut_says_so(library: str, name: str) -> None:
    with pytest.raises(adapters.SettingError, match="cut it by hand and use from_blocks"):
        adapters.cut(made(library, name))
