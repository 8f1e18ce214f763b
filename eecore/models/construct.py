"""From a backbone to a model with exits: fit checked, weights fixed by the seed alone, a cut compared with the whole.

K exits, C classes.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models import cost, heads
from eecore.models.backbone import Backbone, State, check_data, is_count, reading
from eecore.models.comparing import check_cut, samples_like
from eecore.models.multi_exit import MultiExit
from eecore.models.placement import place

Maker = Callable[[str, str, tuple[int, ...]], Backbone]


@dataclass(frozen=True)
class Construction:
    """A model, and what was found out on the way.

    Args:
        model: with its exits and heads.
        head: name of the head at the exits before the last.
        reached: MACs per sample up to and including each block, heads apart.
        states: outputs of the stem and of each block for one sample, without values.
    """

    model: MultiExit
    head: str
    reached: list[int]
    states: list[State]


def construct(
    make: Maker,
    name: str,
    *,
    kind: str,
    shape: Sequence[int],
    classes: int,
    exits: str | Sequence[int],
    head: str,
    seed: int,
    vocabulary: int = 0,
    device: str = "cpu",
) -> Construction:
    """Make the backbone, place the exits, and give each a head.

    The backbone and the head behind a block depend on the seed and on nothing that is chosen elsewhere (in a cascade
    also on whether an exit comes before): models that differ in `exits` or `head` share them. The last head is the
    backbone's own classifier, `Backbone.head` or else "linear" (global mean, then linear), whatever `head` says, so
    that phase 1 is the same for all.

    Args:
        make: family function, (name, kind, shape) -> Backbone.
        device: "cpu", or "meta" for shapes without values.
        name, kind, shape, classes, exits, head, seed, vocabulary: see `eecore.models.build`.
    Returns:
        The model, with its cost up to each block.
    Raises:
        SettingError: an argument is wrong, data, backbone and head do not fit each other, or a backbone that was cut
            from a network does not compute what that does (compared where there are weights, so not on "meta").
    """
    sides = check_data(kind, shape)
    if not is_count(vocabulary, smallest=0) or (vocabulary and kind != "tokens"):
        raise SettingError(f"vocabulary: {vocabulary!r} came, a whole number from 0 up is needed, 0 for {kind} data")
    if not is_count(classes):
        raise SettingError(f"classes: {classes!r} came, a whole number from 1 up is needed")
    if not is_count(seed, smallest=0):
        raise SettingError(f"seed: {seed!r} came, a whole number from 0 up is needed")
    asked = (*sides, int(vocabulary)) if kind == "tokens" else sides
    backbone = _made(make, name, kind, asked, seed, device)
    kind_of_head, own_head = heads.resolve(head, backbone), backbone.head or "linear"
    parts = [backbone.stem, *backbone.blocks]
    steps = cost.steps_of(parts, sides, kind)
    states = [step.state for step in steps]
    _check_layout(backbone, states)
    for part, step in zip(parts, steps, strict=True):
        if step.in_place and _copied not in part._forward_pre_hooks.values():
            part.register_forward_pre_hook(_copied)
    if backbone.uncut is not None:
        check_cut(backbone, backbone.uncut, samples_like(kind, sides, int(vocabulary)))
    reached = cost.to_block([step.macs for step in steps])
    places = place(exits, reached)
    heads.check_exits(kind_of_head, places)
    made: list[heads.Head] = []
    for block in places:
        last = block == places[-1]
        features = tuple(reading(states[1 + block]).shape[1:])
        with torch.device(device), _seeded(seed, f"head {block}"):
            named = own_head if last else kind_of_head
            made.append(heads.build(named, backbone.layout, features, int(classes), behind_another=bool(made)))
    if head != "auto":  # an impossible head is refused even where only the last exit is asked for
        with torch.device("meta"):
            heads.build(kind_of_head, backbone.layout, tuple(reading(states[-1]).shape[1:]), int(classes))
    model = MultiExit(backbone.stem, backbone.blocks, made, places)
    model.made_for = (kind, sides, int(vocabulary))
    return Construction(model, kind_of_head, reached, states)


def _check_layout(backbone: Backbone, states: Sequence[State]) -> None:
    """Stop where what exits would read has not the axes of the backbone's layout."""
    axes = {"map": (3, 4), "tokens": (3,), "vector": (2,)}[backbone.layout]
    for block, state in enumerate(states[1:]):
        shape = tuple(reading(state).shape)
        if len(shape) not in axes:
            raise SettingError(f"layout: block {block} gives {shape}, which is no {backbone.layout}; see Backbone")


def _made(make: Maker, name: str, kind: str, asked: tuple[int, ...], seed: int, device: str) -> Backbone:
    """The backbone on a device. One that cannot be made without values, as from stored weights, is made with them."""
    for where in dict.fromkeys((device, "cpu")):
        try:
            with torch.device(where), _seeded(seed, "backbone"):
                backbone = make(name, kind, asked)
            break
        except (RuntimeError, NotImplementedError) as error:
            if where == "cpu":
                reason = str(error).strip().partition("\n")[0]
                raise SettingError(f"model: {name} cannot be made: {reason}") from error
    if where != device:
        for part in (backbone.stem, *backbone.blocks):
            part.to(device)
    return backbone


def _copied(part: nn.Module, inputs: tuple[State, ...]) -> tuple[State, ...]:
    """A hook of a part that works in place: it gets a copy, so that exits and data before it stay what they are."""
    return tuple(x.clone() if isinstance(x, Tensor) else tuple(one.clone() for one in x) for x in inputs)


@contextmanager
def _seeded(seed: int, part: str) -> Iterator[None]:
    """Torch's CPU generator seeded for one part of the model, and as it was before afterwards."""
    digest = hashlib.sha256(f"{seed} {part}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would seed every accelerator too, which fork_rng would not undo.
        torch.default_generator.manual_seed(int.from_bytes(digest[:8]) >> 1)
        yield
