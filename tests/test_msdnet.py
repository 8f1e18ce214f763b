"""Multi-scale dense networks: against the published count, a count by a formula of its own, and layers by hand."""

import pytest
import torch
from torch.nn import functional as F

from eecore import models
from eecore.analysis.activations import activations
from eecore.analysis.gradients import dominance
from eecore.analysis.permutations import permutation_groups
from eecore.errors import SettingError
from eecore.models import heads, msdnet

CIFAR = {"kind": "image", "shape": (3, 32, 32)}
NAMES = ["msdnet_nano", "msdnet5", "msdnet7", "msdnet10", "msdnet5_lin", "msdnet7_lin"]


def by_formula(steps, channels, growth, classes, side=32):
    """Parameters, and MACs to each exit, from the paper's text alone: no module, one convolution after the other."""
    factors, layers = (1, 2, 4), sum(steps)
    count = {"parameters": 0, "macs": 0}

    def convolution(inputs, outputs, kernel, out_side):
        count["parameters"] += inputs * outputs * kernel**2 + 2 * outputs  # a batch norm has two numbers a channel
        count["macs"] += inputs * outputs * kernel**2 * out_side**2
        return outputs

    sides, came = [side, side // 2, side // 4], 3
    for scale, out_side in enumerate(sides):
        came = convolution(came, channels * factors[scale], 3, out_side)
    layer, finest, macs = 0, 0, []
    for step in steps:
        for _ in range(step):
            now = layer // -(-layers // 3)  # a scale less after each third
            for scale in range(now, 3):
                sources = [source for source in (scale - 1, scale) if source >= finest]
                width = growth * factors[scale] // len(sources)
                for source in sources:
                    inputs = channels * factors[source]
                    inner = convolution(inputs, min(inputs, factors[source] * width), 1, sides[source])
                    convolution(inner, width, 3, sides[scale])
            channels += growth
            if now > finest:
                for scale in range(now, 3):
                    convolution(channels * factors[scale], channels // 2 * factors[scale], 1, sides[scale])
                channels //= 2
            layer, finest = layer + 1, now
        features = 4 * channels
        width = min(128, 2 * features)
        convolution(features, width, 3, side // 8)
        convolution(width, width, 3, side // 16)
        count["parameters"] += width * classes + classes
        count["macs"] += width * classes
        macs.append(count["macs"])
    return count["parameters"], macs


def test_published_number_of_parameters():
    """10 blocks for CIFAR-10, as printed by its authors' program (check_msdnet/log.txt of kalviny/MSDNet-PyTorch)."""
    assert models.describe("msdnet10", **CIFAR, classes=10)["parameters"] == 4_839_544


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_by_a_formula(name, classes):
    size = msdnet.MODELS[name]
    found = models.describe(name, **CIFAR, classes=classes)
    assert (found["parameters"], found["macs"]) == by_formula(size.steps, size.channels, size.growth, classes)


def test_scales_are_dropped_and_channels_halved():
    """The shapes that the authors' network has behind each of its ten blocks (coarsest: 160, 208, ... channels)."""
    made = models.construct.construct(
        msdnet.backbone, "msdnet10", **CIFAR, classes=10, exits="every", head="auto", seed=0, device="meta"
    )
    assert [len(state) for state in made.states] == [3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1]
    assert [state[-1].shape[1] for state in made.states] == [64, 160, 208, 256, 164, 212, 260, 308, 188, 236, 284]
    assert [tuple(part.shape) for part in made.states[0]] == [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]


def convolved(x, path, stride=1):
    """Bottleneck and 3 x 3 convolution of one path in eval mode with fresh batch norms, which only divide."""
    scale = (1 + 1e-5) ** -0.5
    x = (F.conv2d(x, path[0].weight) * scale).relu()
    return (F.conv2d(x, path[3].weight, stride=stride, padding=1) * scale).relu()


def test_layers_by_hand():
    """One layer that keeps all scales, and one that drops the finest and still reads it."""
    model = models.build("msdnet_nano", **CIFAR, classes=10).eval()
    fine, middle, coarse = model.stem(torch.randn(2, 3, 32, 32))
    first = model.blocks[0][0]
    out = first((fine, middle, coarse))
    torch.testing.assert_close(out[0], torch.cat([fine, convolved(fine, first.scales[0].paths[0])], 1))
    down, same = first.scales[2].paths
    torch.testing.assert_close(out[2], torch.cat([coarse, convolved(middle, down, 2), convolved(coarse, same)], 1))
    last, transition = model.blocks[1][0]
    dropped = last(out2 := model.blocks[0](model.stem(torch.randn(2, 3, 32, 32))))
    assert (len(out2), len(dropped)) == (3, 2)
    down, same = last.scales[0].paths
    expected = torch.cat([out2[1], convolved(out2[0], down, 2), convolved(out2[1], same)], 1)
    torch.testing.assert_close(dropped[0], expected)
    assert [x.shape[1] for x in transition(dropped)] == [x.shape[1] // 2 for x in dropped]


@pytest.mark.parametrize(("kind", "shape"), [("image", (1, 8, 8)), ("image", (1, 28, 28)), ("sequence", (1, 40))])
def test_small_data_and_leaving_early(kind, shape):
    model = models.build("msdnet_nano", kind=kind, shape=shape, classes=5).eval()
    x = torch.randn(6, *shape)
    with torch.no_grad():
        logits, stays = model(x), torch.tensor([0, 3, 5])
        assert logits.shape == (4, 6, 5)
        left = models.rows(model.advance(x, 0), stays)
        late = model.heads[1](model.advance(left, 1))
    torch.testing.assert_close(late, logits[1][stays], rtol=1e-4, atol=1e-5)


def test_head_by_hand():
    head = heads.build("msdnet", "map", (100, 8, 8), 3).eval()
    came, scale = torch.randn(2, 100, 8, 8), (1 + 1e-5) ** -0.5
    x = came
    for part in head.convolutions:
        x = (F.conv2d(x, part[0].weight, stride=2, padding=1) * scale).relu()
    assert x.shape == (2, 128, 2, 2)
    assert head.linear.bias.abs().max() == 0
    torch.testing.assert_close(head((came[:, :, ::2], came)), x.mean((2, 3)) @ head.linear.weight.T)


@pytest.mark.parametrize("head", ["auto", "linear", "pooled", "msdnet"])
def test_the_last_head_is_the_networks_own(head):
    one = models.build("msdnet_nano", **CIFAR, classes=5, head=head, exits="every:2")
    two = models.build("msdnet_nano", **CIFAR, classes=5)
    assert isinstance(one.heads[-1], heads.MSDNetHead)
    for a, b in zip(one.heads[-1].parameters(), two.heads[-1].parameters(), strict=True):
        assert torch.equal(a, b)
    other = models.build("resnet_nano", **CIFAR, classes=5, head=head)
    assert isinstance(other.heads[-1], heads.LinearHead)


def test_wrong_data_and_heads():
    with pytest.raises(SettingError, match=r"^msdnet5 needs an image or a sequence, tokens came"):
        models.build("msdnet5", kind="tokens", shape=(16,), classes=3, vocabulary=9)
    with pytest.raises(SettingError, match=r"^head: 'msdnet' needs a feature map, this backbone gives tokens"):
        models.build("vit_nano", **CIFAR, classes=3, head="msdnet")


def test_analyses_read_the_coarsest_scale_or_refuse():
    model = models.build("msdnet_nano", kind="image", shape=(1, 8, 8), classes=4)
    x, y = torch.randn(12, 1, 8, 8), torch.arange(12) % 4
    found = activations(model, x, "mean")
    with torch.no_grad():
        coarsest = model.eval().block_outputs(x)[1][-1]
    torch.testing.assert_close(found.blocks["block 1"], coarsest.mean((2, 3)))
    shares = dominance(model, x, y, training=True)
    assert shares.groupby("block").share.sum().to_numpy() == pytest.approx([1.0] * 5)
    with pytest.raises(SettingError, match=r"^model: matching knows perceptrons, residual networks and transformers"):
        permutation_groups(model)
