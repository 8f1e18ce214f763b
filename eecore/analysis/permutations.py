"""Orders of hidden units that leave what a network computes unchanged.

A group is a set of axes of parameters and buffers that must be reordered together. U units of a group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models import MultiExit
from eecore.models.resnet import Residual
from eecore.models.vit import Block
from eecore.shapes import Float, Int

State = Mapping[str, Tensor]
Permutations = dict[str, Int[Tensor, " U"]]


@dataclass(frozen=True)
class Axis:
    """One axis of one tensor of the state, which holds parts x units x inner values in this order.

    Args:
        name: in the state dict.
        axis: of the tensor.
        units: U, which are reordered.
        parts: such as 3 for query, key and value in one matrix.
        inner: values that move with a unit, such as its positions in a flattened map.
    """

    name: str
    axis: int
    units: int
    parts: int = 1
    inner: int = 1


def permutation_groups(model: MultiExit) -> dict[str, list[Axis]]:
    """What may be reordered in a model without changing what it computes.

    Perceptrons: the units of each block. Residual networks: the channels between the convolutions of each block, and
    those of the residual stream, shared by all blocks up to the next projecting shortcut. Transformers: the residual
    stream, in each block the attention heads and the hidden units of the perceptron; not the features inside an
    attention head. The outputs of the data and of the classifiers keep their order.

    Args:
        model: not changed.
    Returns:
        Name of the group -> its axes.
    Raises:
        SettingError: the model is of none of these families.
    """
    kinds = {type(block) for block in model.blocks}
    if kinds == {Residual}:
        return _of_resnet(model)
    if kinds == {Block}:
        return _of_vit(model)
    perceptron = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    if all([type(part) for part in block.children()] == perceptron for block in model.blocks):
        return _of_mlp(model)
    raise SettingError("model: matching knows perceptrons, residual networks and transformers, not these blocks")


def permute(state: State, groups: Mapping[str, list[Axis]], permutations: Permutations) -> dict[str, Tensor]:
    """Reorder the units of a network: new unit i is old unit p[i]. The function it computes stays the same.

    Args:
        state: state dict, not changed.
        groups: from `permutation_groups`.
        permutations: for some or all groups, a permutation of 0..U-1.
    Returns:
        A new state dict.
    Raises:
        SettingError: a group is not known, or what came is no permutation of its units.
    """
    changed = {name: tensor.detach().clone() for name, tensor in state.items()}
    for group, order in permutations.items():
        if group not in groups:
            raise SettingError(f"permutations: there is no group '{group}'. Known: {', '.join(groups)}")
        units = groups[group][0].units
        if len(order) != units or not torch.equal(order.cpu().sort().values, torch.arange(units)):
            raise SettingError(f"permutations: '{group}' needs each of 0 to {units - 1} once")
        for place in groups[group]:
            changed[place.name] = reordered(changed[place.name], place, order)
    return changed


def reordered(tensor: Tensor, place: Axis, order: Int[Tensor, " U"]) -> Tensor:
    """One tensor with its units in a new order: new unit i is old unit order[i]."""
    split = tensor.unflatten(place.axis, (place.parts, place.units, place.inner))
    return split.index_select(place.axis + 1, order.to(tensor.device)).flatten(place.axis, place.axis + 2)


def by_unit(tensor: Tensor, place: Axis) -> Float[Tensor, "U M"]:
    """One row per unit, M values each."""
    split = tensor.unflatten(place.axis, (place.parts, place.units, place.inner))
    return split.movedim(place.axis + 1, 0).flatten(1)


def _norm(prefix: str, units: int, layer_norm: bool = False) -> list[Axis]:
    """Axes of a normalisation: weight, bias and, for batch norm, running statistics."""
    names = ("weight", "bias") if layer_norm else ("weight", "bias", "running_mean", "running_var")
    return [Axis(f"{prefix}.{name}", 0, units) for name in names]


def _heads_behind(model: MultiExit, state: State, block: int, units: int) -> list[Axis]:
    """The classifier that reads a block's features, whose order is features first, then positions."""
    heads = [f"heads.{k}" for k, behind in enumerate(model.exits) if behind == block]
    convolution = "convolutions.0.0.weight"  # of a head that begins with one
    names = [f"{h}.{convolution}" if f"{h}.{convolution}" in state else f"{h}.linear.weight" for h in heads]
    return [Axis(name, 1, units, inner=state[name].shape[1] // units) for name in names]


def _of_mlp(model: MultiExit) -> dict[str, list[Axis]]:
    state, groups = model.state_dict(), {}
    for i in range(len(model.blocks)):
        units = len(state[f"blocks.{i}.0.weight"])
        places = [Axis(f"blocks.{i}.0.weight", 0, units), *_norm(f"blocks.{i}.1", units)]
        if i + 1 < len(model.blocks):
            places.append(Axis(f"blocks.{i + 1}.0.weight", 1, units))
        groups[f"block {i}"] = places + _heads_behind(model, state, i, units)
    return groups


def _of_resnet(model: MultiExit) -> dict[str, list[Axis]]:
    state = model.state_dict()
    units = len(state["stem.0.weight"])
    stream = [Axis("stem.0.weight", 0, units), *_norm("stem.1", units)]
    groups, streams = {"stream 0": stream}, 1
    for i in range(len(model.blocks)):
        body, shortcut = f"blocks.{i}.body.", f"blocks.{i}.shortcut"
        # convolutions by their place in the body; the batch norm of each follows it
        convs = [int(n.split(".")[-2]) for n, t in state.items() if n.startswith(body) and t.ndim > 1]
        stream.append(Axis(f"{body}{convs[0]}.weight", 1, units))
        for number, (conv, later) in enumerate(pairwise(convs)):
            inner = len(state[f"{body}{conv}.weight"])
            places = [Axis(f"{body}{conv}.weight", 0, inner), *_norm(f"{body}{conv + 1}", inner)]
            groups[f"block {i} inner {number}"] = [*places, Axis(f"{body}{later}.weight", 1, inner)]
        if f"{shortcut}.0.weight" in state:  # a projection starts a new stream
            stream.append(Axis(f"{shortcut}.0.weight", 1, units))
            units = len(state[f"{shortcut}.0.weight"])
            stream = [Axis(f"{shortcut}.0.weight", 0, units), *_norm(f"{shortcut}.1", units)]
            groups[f"stream {streams}"] = stream
            streams += 1
        stream += [Axis(f"{body}{convs[-1]}.weight", 0, units), *_norm(f"{body}{convs[-1] + 1}", units)]
        stream += _heads_behind(model, state, i, units)
    return groups


def _of_vit(model: MultiExit) -> dict[str, list[Axis]]:
    state = model.state_dict()
    width = state["stem.position"].shape[1]
    stream = [Axis("stem.project.weight", 0, width), Axis("stem.project.bias", 0, width)]
    stream.append(Axis("stem.position", 1, width))
    if "stem.class_token" in state:
        stream.append(Axis("stem.class_token", 0, width))
    groups = {"stream": stream}
    for i, block in enumerate(model.blocks):
        at, qkv = f"blocks.{i}", f"blocks.{i}.attention.qkv"
        stream += [*_norm(f"{at}.norm1", width, layer_norm=True), *_norm(f"{at}.norm2", width, layer_norm=True)]
        stream += [Axis(f"{qkv}.weight", 1, width), Axis(f"{at}.mlp.0.weight", 1, width)]
        for name in (f"{at}.attention.out", f"{at}.mlp.2"):
            stream += [Axis(f"{name}.weight", 0, width), Axis(f"{name}.bias", 0, width)]
        stream += _heads_behind(model, state, i, width)
        heads = cast(Block, block).attention.attention_heads
        size = width // heads
        groups[f"block {i} attention heads"] = [
            Axis(f"{qkv}.weight", 0, heads, parts=3, inner=size),
            Axis(f"{qkv}.bias", 0, heads, parts=3, inner=size),
            Axis(f"{at}.attention.out.weight", 1, heads, inner=size),
        ]
        hidden = len(state[f"{at}.mlp.0.weight"])
        groups[f"block {i} hidden"] = [
            Axis(f"{at}.mlp.0.weight", 0, hidden),
            Axis(f"{at}.mlp.0.bias", 0, hidden),
            Axis(f"{at}.mlp.2.weight", 1, hidden),
        ]
    for k in range(model.n_exits):
        stream += _norm(f"heads.{k}.norm", width, layer_norm=True)
    return groups
