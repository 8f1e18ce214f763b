"""Exits on foreign networks: stand-ins with the attributes of torchvision's, timm's and transformers' networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from eecore import errors, models
from eecore.errors import SettingError
from eecore.models import adapters
from eecore.training import Phase, Run, pretrained, train

IMAGES = {"kind": "image", "shape": (3, 16, 16), "classes": 5}


class Basic(nn.Module):
    """A residual block that works in place, as torchvision's do."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x):
        out = self.bn1(self.conv1(x))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Whole(nn.Module):
    """A network that runs as a whole: its classifier apart."""

    def forward(self, x):
        return self.features_of(x)


class ResNet(Whole):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(Basic(8, 8), Basic(8, 8))
        self.layer2 = nn.Sequential(Basic(8, 12, 2), Basic(12, 12))
        self.layer3 = nn.Sequential(Basic(12, 16, 2))
        self.layer4 = nn.Sequential(Basic(16, 16))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 7)

    def features_of(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class Vgg(Whole):
    def __init__(self):
        super().__init__()
        parts = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
        parts += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*parts, nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(inplace=True))

    def features_of(self, x):
        return self.features(x)


def encoder_layer():
    return nn.TransformerEncoderLayer(12, 2, 24, dropout=0.0, batch_first=True, norm_first=True)


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, 12, 4, 4)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class TimmVit(Whole):
    def __init__(self, token=True):
        super().__init__()
        self.patch_embed = Patches()
        self.cls_token = nn.Parameter(torch.randn(1, 1, 12)) if token else None
        self.reg_token = None
        self.no_embed_class = False
        self.pos_embed = nn.Parameter(torch.randn(1, 16 + token, 12))
        self.pos_drop, self.patch_drop, self.norm_pre = nn.Dropout(0.0), nn.Identity(), nn.Identity()
        self.blocks = nn.Sequential(*(encoder_layer() for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 7)

    def features_of(self, x):
        x = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        return self.blocks(self.norm_pre(self.pos_drop(x + self.pos_embed)))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.randn(1, 17, 12))
        self.dropout, self.ln = nn.Dropout(0.0), nn.LayerNorm(12)
        self.layers = nn.Sequential(*(encoder_layer() for _ in range(3)))


class TorchvisionVit(Whole):
    def __init__(self):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, 12, 4, 4)
        self.class_token = nn.Parameter(torch.randn(1, 1, 12))
        self.encoder = Encoder()

    def features_of(self, x):
        x = self.conv_proj(x).reshape(len(x), 12, 16).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
        return self.encoder.layers(x + self.encoder.pos_embedding)


class TupleLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = encoder_layer()

    def forward(self, x):
        return (self.inner(x),)


class Embeddings(TimmVit):
    """The stem alone, under transformers' names."""

    def __init__(self):
        super().__init__()
        self.patch_embeddings = Patches()
        del self.blocks, self.patch_embed, self.norm, self.head

    def forward(self, x):
        x = self.patch_embeddings(x)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed


class TransformersVit(Whole):
    base_model_prefix = "vit"

    def __init__(self):
        super().__init__()
        self.embeddings, self.encoder = Embeddings(), nn.Module()
        self.encoder.layer = nn.ModuleList(TupleLayer() for _ in range(3))

    def features_of(self, x):
        x = self.embeddings(x)
        for layer in self.encoder.layer:
            x = layer(x)[0]
        return x


class Classifier(nn.Module):
    """A model with a classifier around the one that counts, as transformers has them."""

    base_model_prefix = "vit"

    def __init__(self):
        super().__init__()
        self.vit, self.classifier = TransformersVit(), nn.Linear(12, 7)

    def features_of(self, x):
        return self.vit.features_of(x)


FOREIGN = {
    ResNet: (6, "map"),
    Vgg: (2, "map"),
    TimmVit: (3, "tokens"),
    TorchvisionVit: (3, "tokens"),
    TransformersVit: (3, "tokens"),
    Classifier: (3, "tokens"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_cut_network_computes_what_the_whole_one_does(kind):
    network = kind().eval()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    backbone = adapters.cut(network)
    blocks, layout = FOREIGN[kind]
    assert (len(backbone.blocks), backbone.layout) == (blocks, layout)
    model = adapters.with_exits(backbone, **IMAGES).eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.block_outputs(x)[-1], network.features_of(x))
        logits = model(x)
        for k in range(model.n_exits):  # later blocks that work in place change nothing for an earlier exit
            torch.testing.assert_close(model.forward_to(x, k), logits[k])
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


@pytest.mark.parametrize("kind", FOREIGN)
def test_parameters_are_shared_not_copied(kind):
    network = kind()
    model = adapters.with_exits(adapters.cut(network), **IMAGES, exits="every:2")
    theirs = {id(p) for p in network.parameters()}
    assert {id(p) for p in model.backbone_parameters()} <= theirs
    x = torch.randn(2, 3, 16, 16)
    old = network.eval().features_of(x)
    F.cross_entropy(model.eval()(x)[-1], torch.tensor([1, 2])).backward()
    with torch.no_grad():
        for parameter in model.backbone_parameters():
            parameter -= 0.1 * parameter.grad
    assert not torch.equal(network.features_of(x), old)


def test_class_tokens_are_read_where_there_are_any():
    heads = [adapters.with_exits(adapters.cut(network), **IMAGES).heads[0] for network in (TimmVit(), TimmVit(False))]
    assert [head.first for head in heads] == [True, False]


def test_one_line_makes_it_a_model_that_trains_in_every_regime(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "_MAKERS", dict(models._MAKERS))
    models.register("foreign", lambda name, kind, shape: adapters.cut(GreyResNet()))
    run = Run(dataset="digits", model="foreign", regime="mixed", epochs=1, exits="every:3")
    first, again = train(run, progress=False), train(run.replace(regime="disjoint"), progress=False)
    assert first.record["prefix_keys"][0] == again.record["prefix_keys"][0]
    assert first.frame().query("split == 'test'").accuracy.iloc[-1] > 0.5
    network, file = GreyResNet(), tmp_path / "given.safetensors"
    shape = {"kind": "image", "shape": (1, 8, 8), "classes": 10}
    pretrained.export(adapters.with_exits(adapters.cut(network), **shape).state_dict(), file)
    start = train(run.replace(phases=(Phase("heads", 1),), pretrained=str(file)), progress=False).model()
    assert torch.equal(start.stem[0].weight, network.conv1.weight)


class GreyResNet(ResNet):
    def __init__(self):
        super().__init__()
        self.conv1, self.maxpool = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.Identity()


def blocks_of(*parts, stem=None, layout="vector"):
    return adapters.from_blocks(stem or nn.Flatten(), parts, layout)


class NotATensor(nn.Module):
    def forward(self, x):
        return {"hidden": x}


SHARED = nn.Linear(768, 768)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: adapters.cut(nn.Linear(2, 2)), "^model: Linear has no known structure.*use from_blocks"),
        (lambda: blocks_of(), "^blocks: expected one module or more"),
        (lambda: blocks_of("conv"), "^blocks: expected one module or more behind the stem.*'str'"),
        (lambda: blocks_of(SHARED, SHARED), "^blocks: two of them share parameters"),
        (lambda: blocks_of(SHARED, layout="maps"), "^layout: 'maps' is not known; did you mean 'map'"),
        (lambda: adapters.from_blocks(nn.Flatten(), [SHARED], "vector", "pool"), "^head: 'pool' is not known"),
        (lambda: blocks_of(SHARED, layout="map"), r"^layout: block 0 gives \(1, 768\), which is no map"),
        (
            lambda: blocks_of(SHARED, nn.Linear(9, 9)),
            r"^model: block 1 \(Linear\) cannot take what comes, \[\(1, 768\)\]",
        ),
        (lambda: blocks_of(SHARED, stem=nn.Conv2d(1, 3, 3)), r"^model: the stem \(Conv2d\) cannot take what comes"),
        (lambda: blocks_of(NotATensor()), r"^model: block 0 \(NotATensor\) gives dict, not a tensor"),
    ],
)
def test_what_does_not_fit_is_one_line(make, message):
    with pytest.raises(SettingError, match=message) as caught:
        adapters.with_exits(make(), **IMAGES)
    assert "\n" not in str(caught.value)


def test_unusual_transformers_are_refused():
    network = TimmVit()
    network.reg_token = nn.Parameter(torch.zeros(1, 4, 12))
    with pytest.raises(SettingError, match=r"^model: TimmVit has reg_token"):
        adapters.cut(network)


@pytest.mark.parametrize(
    ("call", "package"),
    [
        (lambda: adapters.from_timm("resnet18"), "timm"),
        (lambda: adapters.from_torchvision("resnet18"), "torchvision"),
        (lambda: adapters.from_transformers("folder"), "transformers"),
    ],
)
def test_a_missing_library_is_one_line(call, package, monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}\nand more")

    monkeypatch.setattr(errors.importlib, "import_module", missing)
    with pytest.raises(SettingError, match=rf"^{package}: cannot be imported.*pip install {package}$") as caught:
        call()
    assert "\n" not in str(caught.value)
