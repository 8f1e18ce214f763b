"""Models: a table of all of them, the ways to run one, where exits lie, what the seed fixes, what is refused."""

import importlib.util
import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import eecore
from eecore import models
from eecore.errors import SettingError, how_to_install
from eecore.models import heads
from eecore.models.backbone import Backbone
from eecore.models.placement import place

# On 3 x 32 x 32 (texts: 32 tokens out of 1 000) with 10 classes.
# parameters and backbone_macs: the network without early exits;
# exits: of "macs:3"; macs: to each of them with the default head.
TABLE = {
    "resnet_nano": (44_754, 448_320, 6, [1, 3, 5], [187_136, 320_768, 452_160]),
    "resnet_ref": (701_466, 35_046_656, 8, [1, 4, 7], [9_882_112, 21_950_976, 35_059_456]),
    "resnet8": (78_042, 12_501_632, 3, [0, 1, 2], [5_163_520, 8_838_656, 12_509_312]),
    "resnet14": (175_258, 26_657_408, 6, [1, 3, 5], [9_882_112, 18_275_840, 26_665_088]),
    "resnet20": (272_474, 40_813_184, 9, [2, 5, 8], [14_600_704, 27_713_024, 40_820_864]),
    "resnet18": (11_173_962, 555_422_720, 8, [2, 4, 7], [211_505_152, 345_763_840, 555_484_160]),
    "resnet34": (21_282_122, 1_159_402_496, 16, [4, 10, 15], [362_500_096, 798_748_672, 1_159_463_936]),
    "resnet50": (23_520_842, 1_297_829_888, 16, [4, 10, 15], [412_893_184, 891_207_680, 1_298_075_648]),
    "msdnet_nano": (89_158, 4_010_624, 4, [0, 1, 3], [2_413_504, 3_745_344, 5_449_920]),
    "msdnet5": (655_446, 34_760_960, 5, [0, 2, 4], [14_955_776, 29_648_384, 41_915_136]),
    "msdnet7": (842_374, 51_880_192, 7, [1, 3, 6], [21_695_744, 39_214_592, 60_361_472]),
    "msdnet10": (1_201_438, 78_935_296, 10, [2, 5, 9], [29_467_904, 57_443_840, 89_628_416]),
    "msdnet5_lin": (815_586, 45_933_824, 5, [1, 3, 4], [11_972_864, 36_606_464, 53_309_184]),
    "msdnet7_lin": (1_612_054, 110_893_312, 7, [3, 5, 6], [38_272_256, 93_003_264, 121_365_248]),
    "efficientnet_nano": (14_260, 1_433_280, 5, [1, 3, 4], [295_552, 1_101_952, 1_439_680]),
    "efficientnet_b0": (4_020_358, 116_167_168, 16, [6, 11, 15], [36_374_784, 76_982_784, 116_210_688]),
    "vit_nano": (59_882, 5_112_128, 6, [1, 3, 5], [1_966_400, 3_539_584, 5_112_768]),
    "vit_micro": (698_890, 50_725_824, 9, [2, 5, 8], [17_695_680, 34_211_712, 50_727_744]),
    "vit_tiny": (5_362_378, 359_204_736, 12, [3, 7, 11], [120_129_408, 239_668_992, 359_208_576]),
    "vit_small": (21_341_578, 1_397_886_720, 12, [3, 7, 11], [466_751_232, 932_322_816, 1_397_894_400]),
    "vit_base": (85_150_474, 5_513_682_432, 12, [3, 7, 11], [1_839_472_128, 3_676_584_960, 5_513_697_792]),
    "vit_nano_cls": (59_946, 5_210_816, 6, [1, 3, 5], [1_999_296, 3_605_376, 5_211_456]),
    "vit_tiny_cls": (5_362_762, 365_107_584, 12, [3, 7, 11], [122_097_024, 243_604_224, 365_111_424]),
    "vit_small_cls": (21_342_346, 1_420_309_248, 12, [3, 7, 11], [474_225_408, 947_271_168, 1_420_316_928]),
    "vit_base_cls": (85_152_010, 5_600_994_816, 12, [3, 7, 11], [1_868_576_256, 3_734_793_216, 5_601_010_176]),
    "mlp_nano": (461_322, 460_032, 5, [0, 1, 4], [394_496, 412_160, 462_592]),
    "mlp_small": (1_053_706, 1_051_136, 5, [0, 1, 4], [788_992, 857_088, 1_056_256]),
    "text_nano": (97_066, 2_359_616, 6, [0, 3, 5], [721_216, 1_704_576, 2_360_256]),
    "text_small": (663_562, 17_827_072, 4, [0, 2, 3], [4_457_728, 13_371_904, 17_829_632]),
    "text_pairs": (198_922, 4_719_232, 4, [0, 2, 3], [1_180_288, 3_540_224, 4_720_512]),
}
# The same of the models that an optional library makes, and the extra to install.
OPTIONAL = {
    "bert_nano": ("text", (74_538, 983_360, 3, [0, 1, 2], [328_000, 656_000, 984_000])),
    "bert_base": ("text", (86_227_978, 2_736_791_040, 12, [3, 7, 11], [912_268_800, 1_824_537_600, 2_736_806_400])),
}
MODULE = {"text": "transformers"}  # extra -> what it brings
# Published for CIFAR-size inputs: parameters and MACs in millions (resnet20: 0.27 M, He et al. 2016, table 6).
LITERATURE = {
    "resnet20": (0.27, 40.8),
    "resnet18": (11.17, 556.0),
    "resnet34": (21.28, 1160.0),
    "resnet50": (23.52, 1300.0),
    "vit_tiny": (5.4, None),
}
# Published for 224 x 224 images and 1000 classes; MACs in billions. ResNets, b0 and base have the exact counts
# of torchvision's documentation; Touvron et al. 2021 (DeiT) give 5, 22 and 86 million for tiny, small and base.
IMAGENET = {
    "resnet34": (21_797_672, 3.66),
    "resnet50": (25_557_032, 4.09),
    "efficientnet_b0": (5_288_548, 0.39),
    "vit_tiny_cls": (5_717_416, 1.25),
    "vit_small_cls": (22_050_664, 4.6),
    "vit_base_cls": (86_567_656, 17.56),
}
CIFAR = {"kind": "image", "shape": (3, 32, 32), "classes": 10}
TEXT = {"kind": "tokens", "shape": (32,), "classes": 10, "vocabulary": 1000}  # what text models get instead
SMALL = ["resnet_nano", "resnet8", "msdnet_nano", "efficientnet_nano", "vit_nano", "vit_nano_cls", "mlp_nano"]
DATA = [("image", (1, 8, 8), "auto"), ("image", (1, 28, 28), "linear"), ("image", (3, 32, 32), "auto")]
DATA += [("sequence", (1, 40), "auto"), ("sequence", (1, 40), "linear")]


def data_of(name):
    """The data of the table: images, or texts of 32 tokens out of 1 000."""
    return TEXT if name.startswith(("text", "bert")) else CIFAR


def small(name="vit_nano", **settings):
    """A small model on sequences, in eval mode."""
    return models.build(name, **{"kind": "sequence", "shape": (1, 40), "classes": 10} | settings).eval()


def same_state(a, b):
    """Whether two states are equal, be they one tensor or several."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return len(a) == len(b) and all(map(torch.equal, a, b))


def test_table_names_every_model():
    assert [*TABLE, *OPTIONAL] == models.names()


@pytest.mark.parametrize("name", TABLE)
def test_table(name):
    check_row(name, TABLE[name])


@pytest.mark.parametrize("name", OPTIONAL)
def test_table_of_optional_models(name):
    """The row where the library is here, one line that says what to install where it is not."""
    extra, row = OPTIONAL[name]
    if importlib.util.find_spec(MODULE[extra]):
        check_row(name, row)
    else:
        how = re.escape(how_to_install(extra))
        with pytest.raises(SettingError, match=rf"^{MODULE[extra]}: cannot be .*: {how}$"):
            models.describe(name, **data_of(name))


def check_row(name, row):
    """Whether a model has the size, the exits and the cost of its row."""
    parameters, backbone_macs, blocks, exits, macs = row
    plain = models.describe(name, **data_of(name), exits=())
    assert plain["parameters"] == parameters
    assert plain["macs"] == [backbone_macs]
    described = models.describe(name, **data_of(name), exits="macs:3")
    assert described["blocks"] == blocks
    assert described["exits"] == exits
    assert described["macs"] == macs
    assert described["backbone_macs"] == backbone_macs
    expected = {"resnet": "pooled", "efficientnet": "pooled", "msdnet": "msdnet"}
    family = next((f for f in expected if name.startswith(f)), None)
    assert described["head"] == expected.get(family, "class_token" if name.endswith("_cls") else "linear")


@pytest.mark.parametrize("name", LITERATURE)
def test_sizes_agree_with_the_literature(name):
    parameters, macs = LITERATURE[name]
    assert TABLE[name][0] / 1e6 == pytest.approx(parameters, rel=0.01)
    assert macs is None or TABLE[name][1] / 1e6 == pytest.approx(macs, rel=0.005)


@pytest.mark.parametrize("name", IMAGENET)
def test_sizes_on_imagenet_are_the_published_ones(name):
    parameters, billions = IMAGENET[name]
    found = models.describe(name, kind="image", shape=(3, 224, 224), classes=1000, exits=())
    assert found["parameters"] == parameters
    assert found["backbone_macs"] / 1e9 == pytest.approx(billions, rel=0.012)


@pytest.mark.parametrize(("name", "millions"), [("resnet34", 21.33), ("resnet50", 23.71)])
def test_residual_networks_on_cifar_100(name, millions):
    """ImageNet's widths behind a 3 x 3 stem."""
    found = models.describe(name, **CIFAR | {"classes": 100}, exits=())
    assert found["parameters"] / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("name", TABLE)
def test_output_shape(name):
    """On the meta device, where the large models take no memory."""
    make = models._MAKERS[name]
    made = models.construct.construct(make, name, **data_of(name), exits="every:2", head="auto", seed=0, device="meta")
    x = torch.empty(2, *data_of(name)["shape"], device="meta")
    logits = made.model.eval()(x.long() if name.startswith("text") else x)
    assert logits.shape == ((TABLE[name][2] + 1) // 2, 2, 10)


@pytest.mark.parametrize(("kind", "shape", "head"), DATA)
@pytest.mark.parametrize("name", SMALL)
def test_every_way_to_run_a_model_gives_the_same_logits(name, kind, shape, head):
    model = models.build(name, kind=kind, shape=shape, classes=7, exits="every:2", head=head).eval()
    x = torch.randn(3, *shape)
    with torch.no_grad():
        logits = model(x)
        assert logits.shape == (model.n_exits, 3, 7)
        state = x
        outputs, inputs = model.block_outputs(x), model.head_inputs(x)
        assert len(outputs) == len(model.blocks)
        for k, exit_head in enumerate(model.heads):
            state = model.advance(state, k)
            assert torch.equal(exit_head(state), logits[k])
            assert torch.equal(exit_head.classify(exit_head.reduce(state)), logits[k])
            assert torch.equal(model.forward_to(x, k), logits[k])
            assert same_state(inputs[k], state)
            assert same_state(outputs[model.exits[k]], state)
        assert model(x[:1]).shape == (model.n_exits, 1, 7)  # a batch of one
        torch.testing.assert_close(model(x[:1]), logits[:, :1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_all_parameters_get_a_gradient(name):
    model = small(name)
    model(torch.randn(2, 1, 40)).square().sum().backward()  # in eval mode, which must not forbid it
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_forward_to_runs_no_other_head_and_no_later_block():
    model, ran = small(exits=(1, 3)), []
    parts = {f"head {k}": head for k, head in enumerate(model.heads)}
    parts |= {f"block {i}": block for i, block in enumerate(model.blocks)}
    for label, part in parts.items():
        part.register_forward_hook(lambda *_, label=label: ran.append(label))
    model.forward_to(torch.randn(1, 1, 40), 1)
    assert ran == ["block 0", "block 1", "block 2", "block 3", "head 1"]
    ran.clear()
    model.head_inputs(torch.randn(1, 1, 40))
    model.block_outputs(torch.randn(1, 1, 40))
    assert not any(label.startswith("head") for label in ran)


@pytest.mark.parametrize("k", [-1, 6])
def test_an_exit_that_is_not_there(k):
    model, x = small(), torch.randn(1, 1, 40)
    for run in (model.advance, model.forward_to):
        with pytest.raises(SettingError, match="exits 0 to 5"):
            run(x, k)


@pytest.mark.parametrize("name", SMALL)
def test_parameters_are_those_of_backbone_and_heads(name):
    model = small(name)
    backbone = {id(p) for p in model.backbone_parameters()}
    in_heads = {id(p) for p in model.heads.parameters()}
    assert not backbone & in_heads
    assert backbone | in_heads == {id(p) for p in model.parameters()}
    for module in model.train().backbone_modules():
        module.eval()
    assert not any(m.training for m in [*model.stem.modules(), *model.blocks[-1].modules()])
    assert all(head.training for head in model.heads)


@pytest.mark.parametrize("name", SMALL)
def test_backbone_and_last_head_depend_on_the_seed_alone(name):
    first = small(name, seed=3)
    again = small(name, seed=3, exits="every:2", head="linear")
    same, other = small(name, seed=3), small(name, seed=4)
    for a, b in zip(first.backbone_parameters(), again.backbone_parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(first.heads[-1].parameters(), again.heads[-1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    pairs = zip(first.backbone_parameters(), other.backbone_parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.heads[0].linear.weight, first.heads[1].linear.weight)


@pytest.mark.parametrize("head", ["auto", "linear"])
def test_the_global_generator_is_untouched(head):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    small(head=head)
    models.describe("resnet_nano", **CIFAR, head=head)
    assert torch.equal(torch.get_rng_state(), before)


def test_he_initialisation():
    model = models.build("resnet14", **CIFAR)
    weight = model.blocks[-1].body[0].weight  # 64 x 64 x 3 x 3
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_pooled_head_by_hand():
    head = heads.build("pooled", "map", (2, 8, 8), 3)
    x = torch.randn(5, 2, 8, 8)
    windows = x.reshape(5, 2, 4, 2, 4, 2).permute(0, 1, 2, 4, 3, 5).flatten(4)
    torch.testing.assert_close(head.reduce(x)[:, 0], windows.amax(-1))
    torch.testing.assert_close(head.reduce(x)[:, 1], windows.mean(-1))
    with torch.no_grad():
        head.alpha.fill_(1.2)
    share = 1 / (1 + torch.tensor(-1.2).exp())
    mixed = share * windows.amax(-1) + (1 - share) * windows.mean(-1)
    torch.testing.assert_close(head(x), mixed.flatten(1) @ head.linear.weight.T + head.linear.bias)


@pytest.mark.parametrize(
    ("shape", "reduced"),
    [((2, 4, 4), (2, 4, 4)), ((2, 3), (2, 3)), ((2, 9), (2, 2, 4)), ((2, 8, 3), (2, 2, 4, 3))],
)
def test_pooled_head_leaves_short_axes_alone(shape, reduced):
    head = heads.build("pooled", "map", shape, 3)
    r = head.reduce(torch.randn(5, *shape))
    assert r.shape == (5, *reduced)
    assert head.classify(r).shape == (5, 3)
    assert hasattr(head, "alpha") == (len(reduced) > len(shape))


def test_linear_head_by_hand():
    x = torch.randn(5, 6, 8)
    head = heads.build("linear", "tokens", (6, 8), 3)
    nn.init.normal_(head.norm.weight)  # scale and shift are learned: the head is what LayerNorm, mean, linear would be
    nn.init.normal_(head.norm.bias)
    torch.testing.assert_close(head(x), head.linear(head.norm(x).mean(1)))
    assert head.reduce(x).shape == (5, 8)
    image = torch.randn(5, 6, 4, 2)
    assert heads.build("linear", "map", (6, 4, 2), 3).reduce(image).shape == (5, 6)


def test_class_token_head_by_hand():
    """The head reads the first token only; the token is learned, has a position, and sees the patches."""
    model = small("vit_nano_cls")
    assert [type(head).__name__ for head in model.heads] == ["LinearHead"] * 6
    x = torch.randn(3, 1, 40)
    tokens = model.stem(x)
    assert tokens.shape == (3, 11, 32)
    torch.testing.assert_close(tokens[:, 0], (model.stem.class_token + model.stem.position[0]).expand(3, -1))
    state, head = model.head_inputs(x)[2], model.heads[2]
    torch.testing.assert_close(head(state), head.linear(head.norm(state[:, 0])))
    assert torch.equal(head(state), head((torch.ones(3, 11), state)))
    other = torch.cat([state[:, :1], torch.randn(3, 10, 32)], dim=1)
    assert torch.equal(head(other), head(state))
    mean = models.build("vit_nano_cls", kind="sequence", shape=(1, 40), classes=10, head="linear").heads[2]
    assert not torch.equal(mean(other), mean(state))


def test_inverted_bottleneck_by_hand():
    block = models.build("efficientnet_nano", **CIFAR).eval().blocks[2]
    assert block.residual
    body, x, scale = block.body, torch.randn(2, 16, 8, 8), (1 + 1e-5) ** -0.5
    functional = nn.functional
    y = functional.silu(functional.conv2d(x, body[0].weight) * scale)
    y = functional.silu(functional.conv2d(y, body[3].weight, padding=1, groups=48) * scale)
    attention = body[6]
    weights = functional.silu(attention.squeeze(y.mean((2, 3), keepdim=True)))
    y = y * torch.sigmoid(attention.excite(weights))
    torch.testing.assert_close(block(x), x + functional.conv2d(y, body[7].weight) * scale)


def test_linear_head_takes_the_mean_of_the_tokens_that_are_there():
    x, mask = torch.randn(2, 6, 8), torch.tensor([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    head = heads.build("linear", "tokens", (6, 8), 3)
    torch.testing.assert_close(head((mask, x))[:1], head(x[:1, :2]))
    torch.testing.assert_close(head((mask, x))[1:], head(x[1:]))
    assert head((torch.zeros(2, 6), x)).isfinite().all()


class Scales(nn.Module):
    """A block that hands on two tensors, of which an exit reads the last."""

    def forward(self, state):
        fine, coarse = state if isinstance(state, tuple) else (state, state[..., ::2, ::2])
        return fine + 1, 2 * coarse


def test_a_state_may_be_several_tensors():
    images = {"kind": "image", "shape": (3, 8, 8), "classes": 5}
    parts = lambda name, kind, shape: Backbone(nn.Identity(), (Scales(), Scales()), "map")  # noqa: E731
    made = models.construct.construct(parts, "scales", **images, exits="every", head="linear", seed=0)
    x = torch.randn(4, 3, 8, 8)
    states = made.model.block_outputs(x)
    assert [tuple(part.shape) for part in states[1]] == [(4, 3, 8, 8), (4, 3, 4, 4)]
    torch.testing.assert_close(states[1][1], 4 * x[..., ::2, ::2])
    stays = torch.tensor([True, False, True, False])
    left = models.rows(made.model.advance(x, 0), stays)
    torch.testing.assert_close(made.model.heads[1](made.model.advance(left, 1)), made.model(x)[1][stays])
    assert models.exit_macs(made.model, (3, 8, 8), "image") == [15, 30]


@pytest.mark.parametrize(
    ("exits", "expected"),
    [
        ("every", (0, 1, 2, 3, 4, 5)),
        ("every:2", (1, 3, 5)),
        ("every:4", (1, 5)),
        ("every:6", (5,)),
        ((), (5,)),
        ([0, 3], (0, 3, 5)),
        ((2, 5), (2, 5)),
        ("macs:1", (5,)),
        ("macs:2", (3, 5)),
        ("macs:3", (2, 3, 5)),
        ("macs:6", (0, 1, 2, 3, 4, 5)),
        ("fractions:.1", (1, 5)),
        ("fractions:0.4,0.8", (2, 4, 5)),  # 30 of 100 is nearer to 40 than 60
        ("fractions:0.01,0.02", (0, 1, 5)),  # a block has one exit: the second one moves on
        ("fractions:0.95,0.99", (3, 4, 5)),  # and the first leaves a block for the second
    ],
)
def test_placement(exits, expected):
    assert place(exits, [5, 10, 30, 60, 90, 100]) == expected


def test_the_fractions_of_shallow_deep_networks():
    """Kaya et al. 2019: the block nearest to 15, 30, 45, 60, 75 and 90 % of the cost."""
    assert place("sdn", [10 * i for i in range(1, 11)]) == place(
        "fractions:0.15,0.3,0.45,0.6,0.75,0.9", [10 * i for i in range(1, 11)]
    )
    assert place("sdn", [5 * i for i in range(1, 21)]) == (2, 5, 8, 11, 14, 17, 19)
    described = models.describe("resnet20", **CIFAR, exits="sdn", head="pooled")
    assert len(described["exits"]) == 7
    for fraction, macs in zip(models.placement.SDN, described["macs"], strict=False):
        assert macs / described["backbone_macs"] == pytest.approx(fraction, abs=0.08)  # half a block's cost


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=20),
    st.lists(st.integers(1, 999), min_size=1, max_size=19, unique=True),
)
def test_fractions_give_so_many_ascending_exits_and_the_last(steps, thousandths):
    macs = [sum(steps[: i + 1]) for i in range(len(steps))]
    fractions = sorted(thousandths)[: len(macs) - 1]
    exits = place("fractions:" + ",".join(f"{t / 1000:.3f}" for t in fractions), macs)
    assert len(exits) == len(fractions) + 1
    assert list(exits) == sorted(set(exits))
    assert exits[-1] == len(macs) - 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.data())
def test_equal_macs_gives_so_many_ascending_exits_up_to_the_last(steps, data):
    macs = [sum(steps[: i + 1]) for i in range(len(steps))]
    number = data.draw(st.integers(1, len(macs)))
    exits = place(f"macs:{number}", macs)
    assert len(exits) == number
    assert list(exits) == sorted(set(exits))
    assert exits[0] >= 0
    assert exits[-1] == len(macs) - 1


@given(st.integers(1, 30), st.data())
def test_every_nth_has_equal_gaps_and_ends_at_the_last(blocks, data):
    n = data.draw(st.integers(1, blocks))
    exits = place(f"every:{n}", list(range(blocks)))
    assert exits[-1] == blocks - 1
    assert exits[0] < n
    assert {b - a for a, b in pairwise(exits)} <= {n}


@pytest.mark.parametrize(
    ("exits", "message"),
    [
        ("sdn", "^exits: 'sdn' asks for 6 exits before the last block, this model has 5 blocks before it$"),
        ("fractions:.1,.2,.3,.4,.5,.6", "asks for 6 exits before the last block, this model has 5"),
        *[
            (f"fractions:{text}", "^exits: .*needs ascending numbers between 0 and 1, as in 'fractions:0.2,0.5'$")
            for text in ("", "0.5,0.2", "0.5,0.5", "1.5", "1", "0", "0.0", "half", "0.2,", "-0.1", "nan")
        ],
    ],
)
def test_wrong_fractions_say_why(exits, message):
    with pytest.raises(SettingError, match=message) as caught:
        small(exits=exits)
    assert "\n" not in str(caught.value)


WRONG_EXITS = ["evry", "every:0", "every:7", "macs:7", "macs:", "every:-1", [3, 1], [1, 1], [6], [-1], [True]]


@pytest.mark.parametrize("exits", WRONG_EXITS)
def test_wrong_exits_say_what_is_allowed(exits):
    with pytest.raises(SettingError, match=r"^exits: .*'every:n' and 'macs:n' with n in 1..6.* in 0..5$"):
        small(exits=exits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "vit_nanno"}, "^model: .*did you mean 'vit_nano'.*Known: resnet_nano, .*mlp_small"),
        ({"kind": "images"}, "^kind: .*did you mean 'image'"),
        ({"shape": (1, 28, 28)}, r"^shape: sequence data needs \(C, L\)"),
        ({"shape": (1, 0)}, r"^shape: sequence data needs \(C, L\)"),
        ({"shape": (1, 41)}, "^vit_nano: patch 4 does not divide the length 41"),
        ({"kind": "image", "shape": (3, 30, 32)}, "^vit_nano: patch 4 does not divide the side 30"),
        ({"kind": "tokens", "shape": (16,)}, "^vit_nano needs an image or a sequence, tokens came"),
        ({"name": "resnet8", "kind": "tokens", "shape": (16,)}, "^resnet8 needs an image or a sequence"),
        ({"name": "mlp_nano", "kind": "tokens", "shape": (16,)}, "^mlp_nano needs an image or a sequence"),
        ({"head": "pool"}, "^head: .*did you mean 'pooled'.*Known: auto, linear, pooled, msdnet, class_token"),
        ({"head": "pooled"}, "^head: 'pooled' needs a feature map, this backbone gives tokens"),
        ({"head": "pooled", "exits": ()}, "^head: 'pooled' needs a feature map, this backbone gives tokens"),
        ({"name": "mlp_nano", "head": "pooled"}, "needs a feature map, this backbone gives vector"),
        ({"head": "class_token"}, "^head: 'class_token' needs a model with a class token, such as vit_tiny_cls"),
        ({"name": "resnet8", "head": "class_token"}, "^head: 'class_token' needs a model with a class token"),
        ({"classes": 0}, "^classes: 0 came"),
        ({"seed": -1}, "^seed: -1 came"),
        ({"seed": True}, "^seed: True came"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(settings, message):
    with pytest.raises(SettingError, match=message) as caught:
        small(**settings)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_hold_together():
    part = torch.nn.Identity()
    with pytest.raises(SettingError, match=r"^heads: 1 heads came for 2 exits"):
        models.MultiExit(part, [part, part], [part], (0, 1))
    with pytest.raises(SettingError, match=r"^exits: "):
        models.MultiExit(part, [part, part], [part], (0,))


def test_a_model_of_ones_own(monkeypatch):
    monkeypatch.setattr(models, "_MAKERS", dict(models._MAKERS))

    def make(name, kind, shape):
        width = shape[-1]
        return models.Backbone(torch.nn.Flatten(), (torch.nn.Linear(width, width), torch.nn.Linear(width, 5)), "vector")

    models.register("mine", make)
    model = small("mine")
    assert model(torch.randn(2, 1, 40)).shape == (2, 2, 10)
    assert models.source_module("mine").__name__ == __name__
    with pytest.raises(SettingError, match="exists already; use replace=True"):
        models.register("mine", make)
    models.register("mine", lambda *data: make(*data), replace=True)
    assert small("mine").exits == model.exits

    def deeper(name, kind, shape):
        layers = [torch.nn.Linear(shape[-1], shape[-1]) for _ in range(3)]
        return models.Backbone(torch.nn.Flatten(), tuple(layers), "vector")

    asked = {"dataset": "mnist1d", "model": "mine", "regime": "joint", "seed": 0, "epochs": 1}
    weighed = [eecore.Recipe(weights=(1.0,) * exits) for exits in (2, 3)]
    assert eecore.Run(**asked, recipe=weighed[0]).recipe == weighed[0]
    models.register("mine", deeper, replace=True)  # what is known of a name goes with what it stood for
    assert eecore.Run(**asked, recipe=weighed[1]).recipe == weighed[1]


@pytest.mark.parametrize("shape", [(8, 40), (32, 10), (8, 8, 8), (8, 7, 7), (8, 14, 14), (4, 8, 4), (4, 12, 6)])
def test_pooled_head_reduces_like_adaptive_pooling(shape):
    """Where windows are even the head uses plain pooling; both must see the same windows."""
    head, x = models.heads.PooledHead("map", shape, 3), torch.randn(2, *shape)
    functional = torch.nn.functional
    largest, mean = (
        (functional.adaptive_max_pool1d, functional.adaptive_avg_pool1d)
        if len(shape) == 2
        else (functional.adaptive_max_pool2d, functional.adaptive_avg_pool2d)
    )
    expected = torch.stack([largest(x, head.pooled), mean(x, head.pooled)], dim=1)
    torch.testing.assert_close(head.reduce(x), expected)
