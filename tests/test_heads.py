"""Heads by name: by hand, in a cascade, what each costs, and phase 3 on stored features."""

import pytest
import torch
from torch import nn

import eecore
from eecore import data, ingredients, models
from eecore.errors import SettingError
from eecore.models import heads
from eecore.models.backbone import Backbone
from eecore.models.heads_cascade import CascadeHead, in_turn
from eecore.training import Phase, moving
from eecore.training.loop import train_phase
from eecore.training.recipe import Recipe

SEQUENCE = {"kind": "sequence", "shape": (1, 40), "classes": 10}
# Parameters and MACs of the heads behind the first three blocks: of resnet_nano with 8 x 40, 8 x 40 and 16 x 20,
# of vit_nano with 32 features a token, of mlp_nano with 128.
LINEAR, POOLED = ([90, 90, 170], [80, 80, 160]), ([331, 331, 651], [320, 320, 640])
EARLY = {
    ("resnet_nano", "linear"): LINEAR,
    ("resnet_nano", "pooled"): POOLED,
    ("resnet_nano", "conv:1"): (
        [331 + 8 * 8 * 3 + 16, 331 + 8 * 8 * 3 + 16, 651 + 16 * 16 * 3 + 32],
        [320 + 8 * 8 * 3 * 40, 320 + 8 * 8 * 3 * 40, 640 + 16 * 16 * 3 * 20],
    ),
    ("resnet_nano", "conv:2"): (
        [331 + 2 * 208, 331 + 2 * 208, 651 + 2 * 800],
        [320 + 2 * 7680, 320 + 2 * 7680, 640 + 2 * 15360],
    ),
    ("resnet_nano", "mlp:3"): ([90 + 2 * 72, 90 + 2 * 72, 170 + 2 * 272], [80 + 2 * 64, 80 + 2 * 64, 160 + 2 * 256]),
    ("resnet_nano", "cascade"): ([331, 331 + 120, 651 + 120], [320, 320 + 100, 640 + 100]),
    ("vit_nano", "mlp:2"): ([64 + 330 + 1056] * 3, [320 + 1024] * 3),
    ("vit_nano", "cascade:mlp:2"): ([1450, 1450 + 120, 1450 + 120], [1344, 1344 + 100, 1344 + 100]),
    ("mlp_nano", "cascade"): ([1290, 1290 + 120, 1290 + 120], [1280, 1280 + 100, 1280 + 100]),
}


def small(name="resnet_nano", **settings):
    """A small model on sequences, in eval mode."""
    return models.build(name, **SEQUENCE | settings).eval()


@pytest.mark.parametrize(("name", "head"), EARLY)
def test_parameters_and_macs_of_the_first_heads(name, head):
    parameters, macs = EARLY[name, head]
    model = small(name, head=head)
    assert [sum(p.numel() for p in h.parameters()) for h in model.heads][:3] == parameters
    found = models.head_macs(model, (1, 40), "sequence")
    assert found[:3] == macs
    described = models.describe(name, **SEQUENCE, head=head)
    assert described["macs"][-1] - described["backbone_macs"] == sum(found[:-1])


def test_every_head_by_its_name():
    """Each name fits one of these networks, and stands in the table that is printed."""
    for name in heads.names():
        model = small("vit_nano_cls" if name.startswith("class") else "resnet_nano", head=name)
        assert model(torch.randn(2, 1, 40)).shape == (6, 2, 10)
        kind = name.partition(":")[0]
        assert (
            kind
            in " ".join(part.name for part in ingredients.parts("head")).replace(":", " ").replace(",", " ").split()
        )


def test_perceptron_by_hand():
    x, head = torch.randn(5, 6, 8), heads.build("mlp:3", "tokens", (6, 8), 4)
    first, second = head.hidden[0], head.hidden[2]
    r = head.norm(x).mean(1)
    torch.testing.assert_close(head(x), head.linear(second(first(r).relu()).relu()))
    assert first.weight.shape == second.weight.shape == (8, 8)


def test_a_perceptron_of_one_layer_is_the_linear_head():
    a, b = small("vit_nano", head="linear"), small("vit_nano", head="mlp:1")
    assert a.state_dict().keys() == b.state_dict().keys()
    assert all(torch.equal(t, b.state_dict()[name]) for name, t in a.state_dict().items())


def test_a_perceptron_on_the_class_token_reads_nothing_else():
    model = small("vit_nano_cls", head="class_mlp:2")
    state, head = model.head_inputs(torch.randn(3, 1, 40))[1], model.heads[1]
    other = torch.cat([state[:, :1], torch.randn_like(state[:, 1:])], dim=1)
    assert torch.equal(head(other), head(state))
    mean = small("vit_nano_cls", head="mlp:2").heads[1]
    assert not torch.equal(mean(other), mean(state))


def test_convolutional_head_by_hand():
    head, x = heads.build("conv:2", "map", (3, 8, 8), 4).eval(), torch.randn(2, 3, 8, 8)
    conv, scale = nn.functional.conv2d, (1 + 1e-5) ** -0.5
    y = (conv(x, head.convolutions[0][0].weight, padding=1) * scale).relu()
    y = (conv(y, head.convolutions[1][0].weight, padding=1) * scale).relu()
    windows = y.reshape(2, 3, 4, 2, 4, 2).permute(0, 1, 2, 4, 3, 5).flatten(4)
    pooled = (windows.amax(-1) + windows.mean(-1)) / 2  # alpha starts at 0
    torch.testing.assert_close(head(x), head.linear(pooled.flatten(1)))


# -- cascade ----------------------------------------------------------------------------------------------


def test_cascade_is_one_map_of_features_and_normalised_logits_side_by_side():
    torch.manual_seed(0)
    inner = heads.build("linear", "vector", (7,), 5)
    drawn = inner.linear.weight.detach().clone()
    head, x, before = CascadeHead(inner, 5), torch.randn(4, 7), 3 * torch.randn(4, 5)
    nn.init.normal_(head.norm.weight)
    nn.init.normal_(head.norm.bias)
    one = nn.Linear(12, 5)
    with torch.no_grad():
        one.weight.copy_(torch.cat([inner.linear.weight, head.from_before.weight], dim=1))
        one.bias.copy_(inner.linear.bias)
    torch.testing.assert_close(head(x, before), one(torch.cat([x, head.norm(before)], dim=1)))
    torch.testing.assert_close(inner.linear.weight, drawn * (7 / 12) ** 0.5)


def test_both_maps_of_a_cascade_begin_as_one_map_would():
    """torch draws from U(-1, 1) / sqrt(inputs), here with the inputs of both."""
    head = CascadeHead(heads.build("linear", "vector", (300,), 100), 100)
    for weight in (head.inner.linear.weight, head.from_before.weight):
        assert weight.abs().max().item() == pytest.approx(400**-0.5, rel=0.01)


@pytest.mark.parametrize(("name", "head"), [("resnet_nano", "cascade:conv:1"), ("vit_nano", "cascade")])
def test_every_way_to_run_a_cascade_gives_the_same_logits(name, head):
    model, x = small(name, head=head, exits=(1, 2, 4)), torch.randn(3, 1, 40)
    with torch.no_grad():
        logits, states = model(x), model.head_inputs(x)
        reduced = [h.reduce(state) for h, state in zip(model.heads, states, strict=True)]
        assert torch.equal(torch.stack(in_turn(model.heads, reduced, reduced=True)), logits)
        state, before = x, None
        for k in range(4):
            state = model.advance(state, k)
            before = model.logits_at(state, k, before)
            assert torch.equal(before, logits[k])
            assert torch.equal(model.forward_to(x, k), logits[k])
        assert not isinstance(model.heads[0], CascadeHead)
        assert not isinstance(model.heads[3], CascadeHead)  # the backbone's own
        with pytest.raises(SettingError, match=r"^head: .*needs the logits of the exit before"):
            model.logits_at(states[1], 1)


def test_samples_that_go_on_take_their_logits_along():
    model, x, stays = small(head="cascade"), torch.randn(6, 1, 40), torch.tensor([1, 4, 5])
    with torch.no_grad():
        expected, state = model(x), model.advance(x, 0)
        first = model.logits_at(state, 0)
        second = model.logits_at(model.advance(models.rows(state, stays), 1), 1, first[stays])
    torch.testing.assert_close(second, expected[1][stays])


def test_no_gradient_of_a_later_exit_reaches_the_head_before():
    model, x = small(head="cascade"), torch.randn(3, 1, 40)
    model(x)[1].square().sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.heads[0].parameters())
    assert model.heads[1].from_before.weight.grad.any()
    assert model.blocks[0].body[0].weight.grad.any()  # through its own features


def test_later_exits_see_what_earlier_ones_say():
    model, x = small(head="cascade"), torch.randn(3, 1, 40)
    with torch.no_grad():
        before = model(x)
        model.heads[0].linear.weight.mul_(-1)
        after = model(x)
    assert not torch.equal(after[2], before[2])  # through exit 1
    assert torch.equal(after[5], before[5])  # the last one is in no cascade


def test_the_first_head_and_the_inner_maps_are_those_without_a_cascade():
    plain, cascade = small(head="pooled"), small(head="cascade")
    assert torch.equal(plain.heads[0].linear.weight, cascade.heads[0].linear.weight)
    width = plain.heads[1].linear.in_features
    scaled = plain.heads[1].linear.weight * (width / (width + 10)) ** 0.5
    torch.testing.assert_close(cascade.heads[1].inner.linear.weight, scaled)


def trained(head, monkeypatch, cache):
    """Heads of a small network after phase 3, with the frozen features stored or computed in every step."""
    monkeypatch.setattr(moving, "CACHE_BYTES", 2**31 if cache else 0)
    dataset = data.load("synthetic")
    shape = tuple(dataset.train.x.shape[1:])
    model = models.build("resnet_nano", kind=dataset.kind, shape=shape, classes=dataset.classes, head=head)
    frozen = [t.clone() for module in model.backbone_modules() for t in module.state_dict().values()]
    train_phase(model, dataset, Phase("heads", 2), Recipe(lr=0.01, batch_size=16), seed=0)
    after = [t for module in model.backbone_modules() for t in module.state_dict().values()]
    assert all(map(torch.equal, frozen, after))
    return {name: t for name, t in model.state_dict().items() if name.startswith("heads.")}


@pytest.mark.parametrize("head", ["cascade", "cascade:conv:1", "conv:2", "mlp:2"])
def test_phase_3_on_stored_features_is_phase_3(head, monkeypatch):
    stored, computed = trained(head, monkeypatch, True), trained(head, monkeypatch, False)
    for name, tensor in stored.items():
        torch.testing.assert_close(tensor, computed[name], rtol=1e-4, atol=1e-5)
    assert any(name.endswith("running_mean") and tensor.any() for name, tensor in stored.items()) == ("conv" in head)
    before = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=4, head=head).state_dict()
    for name, tensor in stored.items():
        if name.endswith(("linear.weight", "from_before.weight")):
            assert torch.equal(tensor, before[name]) == name.startswith("heads.5")  # the last head rests


# -- what does not fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "vit_nano", "head": "conv:2"},
            "^head: 'conv:2' needs a feature map, this backbone gives tokens; use 'mlp:2'$",
        ),
        (
            {"name": "mlp_nano", "head": "cascade:conv:1"},
            "^head: 'conv:1' needs a feature map, this backbone gives vector",
        ),
        ({"head": "mlp:9"}, "^head: 'mlp:9' came; 'mlp' has 1 to 5 layers, as in 'mlp:2'$"),
        ({"head": "conv:0"}, "^head: 'conv:0' came; 'conv' has 1 to 5 layers"),
        ({"head": "mlp"}, "^head: 'mlp' came; 'mlp' has 1 to 5 layers"),
        ({"head": "cascade:mlp:9"}, "^head: 'mlp:9' came"),
        ({"head": "cascade:cascade"}, "^head: 'cascade:cascade' came; a cascade is made of another head"),
        ({"head": "cascde"}, "^head: 'cascde' is not known; did you mean 'cascade'"),
        ({"head": "cascade:poled"}, "^head: 'poled' is not known; did you mean 'pooled'"),
        ({"head": "class_mlp:2"}, "^head: 'class_mlp:2' needs a model with a class token.*use 'mlp:2'$"),
        ({"head": "cascade", "exits": ()}, "^head: 'cascade:pooled' needs an earlier exit to read.*; 0 came$"),
        ({"head": "cascade", "exits": (2,)}, "^head: 'cascade:pooled' needs an earlier exit to read.*; 1 came$"),
        ({"head": "cascade", "classes": 1}, "^head: a cascade normalises logits, and a single output"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(settings, message):
    with pytest.raises(SettingError, match=message) as caught:
        small(**settings)
    assert "\n" not in str(caught.value)


def test_a_cascade_is_resolved_to_the_network_s_own_head():
    part = nn.Identity()
    assert heads.resolve("cascade", Backbone(part, (), "tokens", "class_token", True)) == "cascade:class_token"
    assert models.describe("msdnet_nano", **SEQUENCE, head="cascade")["head"] == "cascade:msdnet"


@pytest.mark.parametrize("regime", eecore.regimes())
def test_a_cascade_trains_in_every_regime_that_evaluates_the_exit_before(regime, tmp_path):
    settings = {"dataset": "synthetic", "model": "mlp_nano", "regime": regime, "epochs": 1, "head": "cascade"}
    if regime in ("alternating", "detached", "branch_wise"):
        with pytest.raises(SettingError, match=r"^head: 'cascade' reads the exit before, which a "):
            eecore.Run(**settings)
        return
    result = eecore.train(eecore.Run(**settings), eecore.Store(tmp_path), progress=False)
    assert result.test_logits.isfinite().all()
