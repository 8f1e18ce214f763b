"""What is made of a network is that network: folded, exported, cut from another, or with parts that work in place."""

import copy

import pytest
import torch
from torch import nn

from eecore import export, models
from eecore.errors import SettingError
from eecore.inference import folded, live, predict
from eecore.models import adapters
from eecore.models.backbone import Backbone
from eecore.models.comparing import apart, samples_like

IMAGES = {"kind": "image", "shape": (3, 8, 8), "classes": 4}


class NormAct(nn.BatchNorm2d):
    """A normalisation that holds its activation, as timm's BatchNormAct2d does."""

    def __init__(self, features):
        super().__init__(features)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


class Standardised(nn.Conv2d):
    """A convolution that standardises its weights when it runs, as timm's StdConv2d does."""

    def forward(self, x):
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias, padding=self.padding)


class Peeking(nn.Sequential):
    """A chain with a chain inside, of which it uses the first layer alone once more."""

    def forward(self, x):
        inner = self[0]
        return inner(x) + inner[0](x)


def conv(make=nn.Conv2d):
    return make(3, 3, 3, padding=1)


def twice():
    one = conv()
    return nn.Sequential(one, nn.BatchNorm2d(3)), nn.Sequential(nn.ReLU(), one, nn.BatchNorm2d(3))


def hooked():
    layer = conv()
    layer.register_forward_hook(lambda part, inputs, out: out.relu())
    return nn.Sequential(layer, nn.BatchNorm2d(3))


def replaced():
    norm = nn.BatchNorm2d(3)
    norm.forward = lambda x: nn.BatchNorm2d.forward(norm, x).relu()
    return nn.Sequential(conv(), norm)


KEPT = {
    "a norm with an activation": lambda: [nn.Sequential(conv(), NormAct(3))],
    "standardised weights": lambda: [nn.Sequential(conv(Standardised), nn.BatchNorm2d(3))],
    "parametrized weights": lambda: [
        nn.Sequential(nn.utils.parametrizations.weight_norm(conv()), nn.BatchNorm2d(3)),
    ],
    "a hook": lambda: [hooked()],
    "a forward of its own": lambda: [replaced()],
    "a layer in two places": lambda: [nn.Sequential(*twice())],
}


def network(blocks):
    generator = torch.Generator().manual_seed(1)
    for block in blocks:
        for part in block.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.copy_(torch.randn(3, generator=generator))
                part.running_var.copy_(torch.rand(3, generator=generator) + 0.5)
    heads = [nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)) for _ in blocks]
    return models.MultiExit(nn.Identity(), blocks, heads, range(len(blocks))).eval()


@pytest.mark.parametrize("case", KEPT)
def test_only_layers_of_exactly_these_types_are_folded(case):
    model, x = network(KEPT[case]()), samples_like("image", (3, 8, 8))
    with torch.no_grad():
        model(x)  # the old weight norm can be copied after that
    quick = folded(model, x)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in one.modules()) for one in (quick, model)]
    assert norms[0] == norms[1] > 0
    with torch.no_grad():
        torch.testing.assert_close(quick(x), model(x))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_what_cannot_be_copied_is_told_in_one_line():
    old = network([nn.Sequential(nn.utils.weight_norm(conv()), nn.BatchNorm2d(3))])
    with pytest.raises(SettingError, match=r"^model: it holds tensors that torch cannot copy.*parametrizations"):
        folded(old)


def test_a_fold_that_makes_another_network_is_an_error():
    model, x = network([Peeking(nn.Sequential(conv(), nn.BatchNorm2d(3)))]), samples_like("image", (3, 8, 8))
    with pytest.raises(SettingError, match=r"^model: folded, it is another network: logits of exit 1 differ"):
        folded(model, x)
    model.made_for = ("image", (3, 8, 8), 0)  # as `build` leaves it
    with pytest.raises(SettingError, match=r"^model: folded"):
        folded(model)


@pytest.mark.parametrize("samples", [None, samples_like("image", (3, 8, 8), samples=7)])
def test_an_export_keeps_what_may_not_be_folded(tmp_path, samples):
    model = network([nn.Sequential(conv(), NormAct(3)), nn.Sequential(conv(), NormAct(3))])
    folder = export.export(model, tmp_path / "out", kind="image", shape=(3, 8, 8), samples=samples, threshold=0.3)
    x = torch.randn(20, 3, 8, 8)
    found, wanted = export.load(folder)(x.numpy()), predict(model, x, threshold=0.3)
    torch.testing.assert_close(torch.from_numpy(found.answers), wanted.answers, rtol=1e-4, atol=1e-4)


def test_an_export_that_is_another_network_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    model = network([nn.Sequential(conv(), nn.ReLU()), nn.Sequential(conv(), nn.ReLU())])
    plain = export.write._graph

    def wrong(segment, *others):
        with torch.no_grad():
            segment.head[2].bias += 0.5 * (segment.k == 1)
        return plain(segment, *others)

    monkeypatch.setattr(export.write, "_graph", wrong)
    with pytest.raises(SettingError, match=r"^export: the graphs are another network: logits of exit 2"):
        export.export(model, tmp_path / "out", kind="image", shape=(3, 8, 8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("samples", [torch.zeros(0, 3, 8, 8), torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8).long()])
def test_samples_of_another_form_are_refused(tmp_path, samples):
    with pytest.raises(SettingError, match=r"^samples: expected \(N, 3, 8, 8\) of torch.float32, got"):
        export.export(network([conv()]), tmp_path / "out", kind="image", shape=(3, 8, 8), samples=samples)


# --- parts that work in place


class Adds(nn.Module):
    def forward(self, x):
        return x.add_(1.0)


def in_place(block):
    parts = [nn.Sequential(block(), conv()) for _ in range(3)]
    return adapters.with_exits(adapters.from_blocks(nn.Identity(), parts, "map"), **IMAGES).eval()


@pytest.mark.parametrize("block", [lambda: nn.ReLU(inplace=True), Adds, lambda: nn.Sequential(nn.Identity(), Adds())])
def test_parts_that_work_in_place_are_one_network_however_they_run(block):
    model, x = in_place(block), samples_like("image", (3, 8, 8))
    given = x.clone()
    with torch.no_grad():
        logits = model(x)
        states = model.block_outputs(x)
        for k in range(3):
            assert torch.equal(model.forward_to(x, k), logits[k])
            assert torch.equal(model.heads[k](states[k]), logits[k])
            assert torch.equal(live(model, x, threshold=[float(k > j) for j in range(2)] + [0.0]).answers, logits[k])
    assert torch.equal(x, given)
    model.train()(x).sum().backward()  # nothing that a gradient needs was written over


def test_putting_exits_on_twice_copies_once():
    part = nn.Sequential(Adds(), conv())
    for _ in range(2):
        adapters.with_exits(adapters.from_blocks(nn.Identity(), [part], "map"), **IMAGES)
    assert len(part._forward_pre_hooks) == 1
    assert not conv()._forward_pre_hooks


@pytest.mark.parametrize("who", ["the block behind it", "a head"])
def test_networks_made_by_hand_that_work_in_place_are_refused(who):
    head = nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    blocks = [conv(), Adds() if who != "a head" else conv()]
    model = models.MultiExit(nn.Identity(), blocks, [head if who == "a head" else plain, plain], [0, 1])
    with torch.no_grad(), pytest.raises(SettingError, match=f"^model: what exit or block 0 .* in place by {who}"):
        model(torch.randn(2, 3, 8, 8))


# --- cuts


class Positions(nn.Module):
    """A network whose blocks get something more than what the one before gives, as rotary positions."""

    def __init__(self, order=(0, 1), shift=1.0):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout(0.5))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(6, 6, 1), nn.Tanh()) for _ in range(2))
        self.order, self.shift, self.fc = order, shift, nn.Linear(99, 2)  # which does not fit

    def forward(self, x):
        x = self.stem(x)
        for i in self.order:
            x = self.blocks[i](x + self.shift)
        return self.fc(x)


def cut_of(whole, **more):
    return adapters.from_blocks(whole.stem, list(whole.blocks), "map", uncut=whole, **more)


def test_a_cut_that_is_the_network_changes_nothing_in_it():
    whole = Positions(shift=0.0).train()
    whole.blocks[1].eval()
    before = {name: t.clone() for name, t in whole.state_dict().items()}
    state = torch.random.get_rng_state()
    model = adapters.with_exits(cut_of(whole), **IMAGES)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(t, before[name]) for name, t in whole.state_dict().items())
    assert whole.training
    assert not whole.blocks[1].training
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (lambda: Positions(), "block 0 gives other values than in the whole network"),
        (lambda: Positions((1, 0), 0.0), r"the whole network runs blocks \[1, 0\], not \[0, 1\]"),
        (lambda: Positions((0, 1, 1), 0.0), r"runs blocks \[0, 1, 1\]"),
        (lambda: Positions((0,), 0.0), r"runs blocks \[0\]"),
    ],
)
def test_a_cut_that_is_another_network_is_refused(whole, message):
    with pytest.raises(SettingError, match=f"^model: Positions cannot be cut like this: .*{message}"):
        adapters.with_exits(cut_of(whole()), **IMAGES)


class Hidden(Positions):
    """Something between the parts that a new network does not show: all of its weights are alike."""

    def __init__(self, between):
        super().__init__(shift=0.0)
        self.between = between

    def forward(self, x):
        x = self.between(self.blocks[0](self.stem(x)))
        return self.fc(self.blocks[1](x))


class Added(nn.Module):
    """Learnt positions, as those between the layers of YOLOS: zeros at first."""

    def __init__(self, deviation):
        super().__init__()
        self.position = nn.Parameter(deviation * torch.randn(1, 6, 8, 8))

    def forward(self, x):
        return x + self.position


class Scaled(nn.Module):
    """A branch with a scale of 1e-6, as in ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.branch, self.scale = nn.Conv2d(6, 6, 1), nn.Parameter(torch.full((6, 1, 1), 1e-6))

    def forward(self, x):
        return x + self.scale * self.branch(x)


HIDDEN = {
    "positions of zeros": lambda: Added(0.0),
    "positions of almost zero": lambda: Added(1e-6),
    "a small scale": Scaled,
    "a normalisation": lambda: nn.BatchNorm2d(6, affine=False),
}


@pytest.mark.parametrize("between", HIDDEN)
def test_what_a_new_network_does_not_show_is_noticed(between):
    whole = Hidden(HIDDEN[between]())
    before = {name: t.clone() for name, t in whole.state_dict().items()}
    with pytest.raises(SettingError, match=r"^model: Hidden cannot be cut like this: .*block 1 gives other values"):
        adapters.with_exits(cut_of(whole), **IMAGES)
    assert all(torch.equal(t, before[name]) for name, t in whole.state_dict().items())


def test_a_stem_may_be_a_copy():
    whole = Positions(shift=0.0)
    parts = adapters.from_blocks(copy.deepcopy(whole.stem), list(whole.blocks), "map", uncut=whole)
    assert adapters.with_exits(parts, **IMAGES).n_exits == 2


@pytest.mark.parametrize("error", [AssertionError(), AttributeError("no ndim"), ValueError("64 pixels, not 224")])
def test_a_part_that_refuses_its_input_in_its_own_way_is_told_in_one_line(error):
    def refuse(x):
        raise error

    said = str(error) or "AssertionError"
    with pytest.raises(SettingError, match=rf"^model: its parts cannot run on image data of \(3, 8, 8\): {said}$"):
        own(Own(refuse))


def test_a_registered_cut_is_compared_where_there_are_weights(monkeypatch):
    monkeypatch.setattr(models, "_MAKERS", dict(models._MAKERS))
    models.register("rotary", lambda name, kind, shape: cut_of(Positions()))
    assert models.describe("rotary", **IMAGES)["blocks"] == 2
    with pytest.raises(SettingError, match=r"^model: Positions cannot be cut"):
        models.build("rotary", **IMAGES)


def test_a_model_that_cannot_be_made_without_values_is_made_with_them(monkeypatch):
    monkeypatch.setattr(models, "_MAKERS", dict(models._MAKERS))

    def stored(name, kind, shape):
        layer = nn.Conv2d(3, 6, 3)
        if layer.weight.is_meta:
            raise RuntimeError("You are using `from_pretrained` with a meta device context manager\nmore")
        return Backbone(nn.Identity(), (layer,), "map")

    def broken(name, kind, shape):
        raise RuntimeError("no such weights\nmore")

    models.register("stored", stored)
    models.register("broken", broken)
    assert models.describe("stored", **IMAGES) == {**models.describe("stored", **IMAGES), "blocks": 1}
    assert all(p.is_meta for p in models.build("stored", **IMAGES, device="meta").parameters())
    with pytest.raises(SettingError, match=r"^model: broken cannot be made: no such weights$"):
        models.describe("broken", **IMAGES)


def test_how_far_apart():
    one = torch.tensor([1.0, -4.0, float("-inf")])
    assert apart(one, one) == 0
    assert apart(torch.tensor([1.0, -4.4, float("-inf")]), one) == pytest.approx(0.1)
    assert apart(torch.tensor([1.0, float("nan"), float("-inf")]), one) == float("inf")
    assert apart(torch.ones(2), torch.zeros(2)) == float("inf")


# --- a sample is judged alone


class Own(nn.Module):
    """Somebody's own block: a function."""

    def __init__(self, function):
        super().__init__()
        self.function, self.seen = function, 0

    def forward(self, x):
        self.seen += 1
        return self.function(x)


def own(*blocks, layout="map"):
    return adapters.with_exits(adapters.from_blocks(nn.Identity(), [*blocks, conv()], layout), **IMAGES)


def counting():
    block = Own(lambda x: x * block.seen)
    return block


NOT_ALONE = {
    "the mean of the batch": lambda: Own(lambda x: x - x.mean(0, keepdim=True)),
    "statistics of the batch": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "a drop-out that is always on": lambda: Own(lambda x: nn.functional.dropout(x, 0.5, True)),
    "noise": lambda: Own(lambda x: x + torch.randn_like(x)),
    "a count of its calls": counting,
    "two rows a sample": lambda: Own(lambda x: x.reshape(-1, 3, 8, 4)),
}


@pytest.mark.parametrize("case", NOT_ALONE)
def test_blocks_that_do_not_judge_each_sample_alone_are_refused(case, monkeypatch):
    with pytest.raises(SettingError, match=r"^model: block 0 answers a sample otherwise alone"):
        own(NOT_ALONE[case]())
    monkeypatch.setattr(models, "_MAKERS", dict(models._MAKERS))
    models.register("own", lambda name, kind, shape: Backbone(nn.Identity(), (NOT_ALONE[case](), conv()), "map"))
    with pytest.raises(SettingError, match=r"^model: block 0 answers a sample otherwise alone"):
        models.build("own", **IMAGES)


@pytest.mark.parametrize("block", [lambda: conv().half(), lambda: conv().double(), lambda: Own(torch.fft.fft2)])
def test_types_that_do_not_fit_are_told_in_one_line(block):
    with pytest.raises(SettingError, match=r"^model: it cannot run on random samples of this form: "):
        adapters.with_exits(adapters.from_blocks(nn.Identity(), [block()], "map"), **IMAGES)


def test_weights_that_are_no_numbers_are_refused():
    broken = conv()
    with torch.no_grad():
        broken.weight[0] = float("nan")
    with pytest.raises(SettingError, match=r"^model: block 0 gives NaN on random samples: look for NaN in its weights"):
        own(broken)


def test_a_network_of_ones_own_stays_as_it_is():
    parts = [nn.Sequential(conv(), nn.BatchNorm2d(3), nn.Dropout(0.5))]
    state = torch.random.get_rng_state()
    before = {name: t.clone() for name, t in parts[0].state_dict().items()}
    backbone = adapters.from_blocks(nn.Identity(), parts, "map")
    assert adapters.with_exits(backbone, **IMAGES).training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(t, before[name]) for name, t in parts[0].state_dict().items())


def test_a_graph_for_one_number_of_samples_is_refused_in_one_line(tmp_path):
    model = own(Own(lambda x: x.reshape(len(x), 3, 8, 8)))
    with pytest.raises(SettingError, match=r"^export: exit 1 cannot be made a graph for any number of samples .*len"):
        export.export(model, tmp_path / "out", kind="image", shape=(3, 8, 8))
    assert not list(tmp_path.iterdir())


def test_a_vision_transformer_with_a_class_token_is_exported(tmp_path):
    token, position = nn.Parameter(torch.randn(1, 1, 6)), nn.Parameter(torch.randn(1, 17, 6))
    stem = adapters._Tokens(nn.Conv2d(3, 6, 2, stride=2), token, position, [])
    parts = adapters.from_blocks(stem, [nn.Linear(6, 6), nn.Linear(6, 6)], "tokens", class_token=True)
    model, x = adapters.with_exits(parts, **IMAGES).eval(), torch.randn(5, 3, 8, 8)
    folder = export.export(model, tmp_path / "out", kind="image", shape=(3, 8, 8), threshold=1.0)
    found, wanted = export.load(folder)(x.numpy()), predict(model, x, threshold=1.0)
    torch.testing.assert_close(torch.from_numpy(found.answers), wanted.answers, rtol=1e-4, atol=1e-4)


def test_two_parameters_in_one_memory_are_shared_ones():
    one, other = conv(), conv()
    other.weight = nn.Parameter(one.weight.data)
    with pytest.raises(SettingError, match=r"^blocks: two of them share parameters"):
        adapters.from_blocks(nn.Identity(), [one, other], "map")


def test_blocks_may_come_one_by_one():
    assert len(adapters.from_blocks(nn.Identity(), (conv() for _ in range(2)), "map").blocks) == 2
