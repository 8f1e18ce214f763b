"""Exits on a network that somebody else wrote: cut into a stem and blocks, unedited, its parameters shared.

B batch, S sequence of tokens, D features.

A cut network goes to `with_exits`, or its recipe goes to `register`, which makes it a model like any other::

    models.register("tv_resnet18", lambda name, kind, shape: adapters.from_torchvision("resnet18"))

A registered function must make a new network at each call, because every run starts from its own. A run's identity
knows the module that this function is written in, not the library behind it. Weights of that library: export a
network once (`eecore.training.pretrained.export`) and start runs from the file.

The network's own classifier and final norm are left out; all heads are new. Libraries are imported only when they are
asked for. The cuts are tested on stand-ins that have the attributes of these libraries' networks, and, where the extra
"adapters" is installed, on networks of torchvision and timm, whose outputs they give exactly; that of transformers was
tried on its ViTModel (5.24), whose hidden states it gives exactly.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from eecore.errors import SettingError, choose, library
from eecore.models.backbone import Backbone, Layout
from eecore.models.comparing import check_alone, one_line
from eecore.models.construct import construct
from eecore.models.heads import HEADS
from eecore.models.multi_exit import MultiExit
from eecore.shapes import Float


def from_blocks(
    stem: nn.Module,
    blocks: Iterable[object],
    layout: str,
    head: str | None = None,
    class_token: bool = False,
    uncut: nn.Module | None = None,
) -> Backbone:
    """A backbone from parts at hand, which it shares.

    Args:
        stem: maps a batch of data to the input of block 0; nn.Identity() where there is nothing to do.
        blocks: in order; each takes what the one before gives.
        layout: of the blocks' outputs: "map" (B, D, H, W), "tokens" (B, S, D) or "vector" (B, D).
        head, class_token: see `Backbone`.
        uncut: the network that the parts come from, where there is one: when exits are put on, and at every `build`
            with weights, the outputs of the blocks are compared with it on random samples, and a cut that computes
            something else is refused.
    Raises:
        SettingError: no blocks, something that is no module, a module that is there twice, or an unknown name.
    Example:
        >>> parts = [nn.Linear(40, 8), nn.Linear(8, 8)]
        >>> model = with_exits(from_blocks(nn.Flatten(), parts, "vector"), kind="sequence", shape=(1, 40), classes=3)
        >>> model.exits, model.blocks[1] is parts[1]
        ((0, 1), True)
    """
    known = cast(Layout, choose("layout", layout, get_args(Layout)))
    if head is not None:
        choose("head", head, HEADS)
    blocks = list(blocks)
    parts = [part for part in (stem, *blocks) if isinstance(part, nn.Module)]
    if not blocks or len(parts) <= len(blocks):
        came = [type(block).__name__ for block in blocks]
        raise SettingError(f"blocks: expected one module or more behind the stem, got {came}")
    owners = [{_memory(p) for p in part.parameters()} for part in parts]
    if sum(map(len, owners)) > len(set().union(*owners)):
        raise SettingError("blocks: two of them share parameters; each parameter must belong to one block")
    return Backbone(stem, tuple(parts[1:]), known, head, class_token, uncut)


def _memory(weight: Tensor) -> int:
    """Where a weight's numbers lie, which two parameters may share; one without numbers is told apart by itself."""
    here = not weight.is_meta and not nn.parameter.is_lazy(weight) and weight.layout is torch.strided
    return (weight.data_ptr() if here else 0) or id(weight)


def with_exits(
    backbone: Backbone,
    *,
    kind: str,
    shape: Sequence[int],
    classes: int,
    exits: str | Sequence[int] = "every",
    head: str = "auto",
    seed: int = 0,
    vocabulary: int = 0,
) -> MultiExit:
    """Put exits on a network that is there. Its parameters are shared: training the one trains the other.

    Args:
        backbone: from `from_blocks`, `cut` or one of the libraries.
        kind, shape, classes, exits, head, vocabulary: see `eecore.models.build`.
        seed: of the heads, which are the only new weights.
    Raises:
        SettingError: as for `eecore.models.build`, a block cannot take what the one before gives, a cut network does
            not compute what the whole one does, or what a block gives for a sample depends on other samples, on
            chance, or is no number.
    """
    settings = {"exits": exits, "head": head, "seed": seed, "vocabulary": vocabulary}
    with one_line(f"model: its parts cannot run on {kind} data of {tuple(shape)}"):
        made = construct(lambda *_: backbone, "model", kind=kind, shape=shape, classes=classes, **settings)  # type: ignore[arg-type]
    check_alone(made.model)
    return made.model


def cut(network: nn.Module) -> Backbone:
    """Cut a network whose structure is known: by its attributes, without editing it.

    When exits are put on, what the blocks give is compared with what the whole network computes there.

    Known are residual networks with layer1 to layer4 (torchvision, timm), networks with a chain `features`
    (torchvision's VGG, MobileNet, EfficientNet, ConvNeXt), and vision transformers of timm, torchvision and
    transformers.

    Raises:
        SettingError: none of these; `from_blocks` takes any parts.
    """
    network = getattr(network, getattr(network, "base_model_prefix", "") or " ", network)  # without its classifier
    for marks, how in _CUTS:
        if all(_has(network, mark) for mark in marks):
            return replace(how(network), uncut=network)
    raise SettingError(
        f"model: {type(network).__name__} has no known structure (layer1 to layer4, features, or a vision "
        "transformer's blocks); cut it by hand and use from_blocks(stem, blocks, layout)"
    )


def from_torchvision(name: str, **options: Any) -> Backbone:
    """A new network of torchvision, cut; `options` go to torchvision.models.get_model."""
    return cut(library("torchvision.models").get_model(name, **options))


def from_timm(name: str, **options: Any) -> Backbone:
    """A new network of timm, cut; `options` go to timm.create_model."""
    return cut(library("timm").create_model(name, **options))


def from_transformers(config_or_folder: Any, **options: Any) -> Backbone:
    """A vision transformer of transformers, cut.

    Args:
        config_or_folder: a configuration (random weights), or a folder or name of pretrained ones.
        options: go to AutoModel.from_config or AutoModel.from_pretrained.
    """
    auto = library("transformers").AutoModel
    load = auto.from_pretrained if isinstance(config_or_folder, str) else auto.from_config
    return cut(load(config_or_folder, **options))


def _has(network: nn.Module, path: str) -> bool:
    found: Any = network
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is not None


class _Tokens(nn.Module):
    """Patches with class token and positions, as the stems of vision transformers make them.

    Args:
        patches: data -> (B, S, D) or a map (B, D, H, W).
        class_token: (1, 1, D) or None.
        position: (1, S, D), the class token's first where it has one.
        rest: what follows, such as a normalisation.
    """

    def __init__(
        self, patches: nn.Module, class_token: nn.Parameter | None, position: nn.Parameter, rest: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.patches, self.class_token, self.position = patches, class_token, position
        self.rest = nn.Sequential(*rest)

    def forward(self, x: Tensor) -> Float[Tensor, "B S D"]:
        """Tokens of a batch of data."""
        tokens = self.patches(x)
        tokens = tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return self.rest(tokens + self.position)


class _First(nn.Module):
    """A layer that may give a tuple, of which its first tensor goes on."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The layer's first output."""
        out = self.layer(x)
        return out[0] if isinstance(out, tuple) else out


def _grouped(parts: Sequence[nn.Module]) -> list[nn.Module]:
    """Parts of a chain, each with the norms, activations and pools that follow it.

    An activation may change its input in place: behind an exit it would change what the exit reads.
    """
    groups: list[list[nn.Module]] = []
    for part in parts:
        if not groups or any(p.ndim > 1 for p in part.parameters()):
            groups.append([])
        groups[-1].append(part)
    return [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups]


def _residual(network: Any) -> Backbone:
    children = dict(network.named_children())
    names = list(children)
    stem = [children[name] for name in names[: names.index("layer1")]]
    blocks = [block for stage in range(1, 5) for block in children[f"layer{stage}"]]
    return from_blocks(nn.Sequential(*stem), blocks, "map")


def _features(network: Any) -> Backbone:
    if hasattr(network, "permute"):
        raise SettingError(f"model: {type(network).__name__} keeps channels last; cut it by hand and use from_blocks")
    stem, *blocks = _grouped(list(network.features))
    return from_blocks(stem, blocks, "map")


def _timm_vit(network: Any) -> Backbone:
    unusual = [name for name in ("reg_token", "dist_token") if getattr(network, name, None) is not None]
    if unusual or getattr(network, "no_embed_class", False):
        what = unusual[0] if unusual else "a class token without position"
        raise SettingError(f"model: {type(network).__name__} has {what}; cut it by hand and use from_blocks")
    rest = [getattr(network, name) for name in ("pos_drop", "patch_drop", "norm_pre") if _has(network, name)]
    token = getattr(network, "cls_token", None)
    return _vit(_Tokens(network.patch_embed, token, network.pos_embed, rest), network.blocks, token is not None)


def _torchvision_vit(network: Any) -> Backbone:
    encoder = network.encoder
    stem = _Tokens(network.conv_proj, network.class_token, encoder.pos_embedding, [encoder.dropout])
    return _vit(stem, encoder.layers, True)


def _transformers_vit(network: Any) -> Backbone:
    layers = network.encoder.layer if _has(network, "encoder.layer") else network.layers
    return _vit(network.embeddings, [_First(layer) for layer in layers], _has(network, "embeddings.cls_token"))


def _vit(stem: nn.Module, blocks: Any, class_token: bool) -> Backbone:
    return from_blocks(stem, list(blocks), "tokens", "class_token" if class_token else None, class_token)


_CUTS: list[tuple[tuple[str, ...], Callable[[Any], Backbone]]] = [
    (("layer1", "layer2", "layer3", "layer4"), _residual),
    (("patch_embed", "pos_embed", "blocks"), _timm_vit),
    (("conv_proj", "encoder.layers", "encoder.pos_embedding"), _torchvision_vit),
    (("embeddings.patch_embeddings", "encoder.layer"), _transformers_vit),
    (("embeddings.patch_embeddings", "layers"), _transformers_vit),
    (("features",), _features),
]
