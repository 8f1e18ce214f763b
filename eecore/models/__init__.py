"""Early-exit models by name.

K exits. A family module (resnet, vit, mlp, text, bert) has a table `MODELS` and a function
`backbone(name, kind, shape)`; everything else (exits, heads, seed, cost) is the same for all. The library that makes
BERT is imported when one is built.
"""

import sys
from collections.abc import Sequence
from types import ModuleType

from eecore.errors import SettingError, choose
from eecore.models import (
    bert,
    construct,
    cost,
    efficientnet,
    mlp,
    msdnet,
    resnet,
    text,
    vit,
)
from eecore.models.backbone import Backbone
from eecore.models.comparing import check_alone, one_line
from eecore.models.construct import Maker
from eecore.models.cost import backbone_macs, exit_macs, head_macs
from eecore.models.multi_exit import MultiExit, rows

__all__ = [
    "Backbone",
    "Maker",
    "MultiExit",
    "backbone_macs",
    "build",
    "describe",
    "exit_macs",
    "head_macs",
    "libraries",
    "maker",
    "names",
    "register",
    "rows",
    "source_module",
]

_MAKERS: dict[str, Maker] = {}


def register(name: str, make: Maker, *, replace: bool = False) -> None:
    """Add a model of one's own.

    Args:
        name: under which `build` finds it.
        make: function (name, kind, shape) -> Backbone; it draws its weights from torch's global generator. For tokens
            `shape` is (S, V): the length and the number of different tokens.
        replace: True to take the place of a model of this name, so that a notebook's cell can be run again.
    Raises:
        SettingError: the name is taken.
    """
    if name in _MAKERS and not replace:
        raise SettingError(f"name: a model {name!r} exists already; use replace=True to replace it")
    _MAKERS[name] = make


def names() -> list[str]:
    """Names of all models."""
    return list(_MAKERS)


def maker(name: str) -> Maker:
    """The function that makes a model's backbone; another one after the name was registered anew.

    Raises:
        SettingError: no such model.
    """
    return _MAKERS[choose("model", name, _MAKERS)]


def build(
    name: str,
    *,
    kind: str,
    shape: Sequence[int],
    classes: int,
    exits: str | Sequence[int] = "every",
    head: str = "auto",
    seed: int = 0,
    vocabulary: int = 0,
    device: str = "cpu",
) -> MultiExit:
    """Make a model with exits. The same seed gives the same weights; torch's generators stay untouched.

    Args:
        name: one of `names()`.
        kind: of the data: "image", "sequence" or "tokens".
        shape: of one sample: (C, H, W), (C, L) or (S,).
        classes: number of classes, from 1 up.
        exits: "every", "every:2", "macs:4", "fractions:0.2,0.5", "sdn" or block indices, see `placement.place`.
        head: of the exits before the last: "auto", a name of `heads.HEADS` such as "conv:2" or "mlp:2", "cascade", or
            "cascade:" and a name, such as "cascade:mlp:2".
        seed: from 0 up. Backbone and last head depend on it alone, not on `exits` and `head`.
        vocabulary: how many different tokens there are, where the data are tokens; 0 for other data.
        device: "cpu", or "meta" for shapes without values.
    Returns:
        The model on that device, in training mode.
    Raises:
        SettingError: an argument is wrong, data, backbone and head do not fit each other, or a registered model's
            blocks give for a sample what depends on other samples, on chance, or is no number.
    Example:
        >>> model = build("vit_nano", kind="sequence", shape=(1, 40), classes=10, exits="every:2")
        >>> model.exits
        (1, 3, 5)
    """
    make = maker(name)
    with one_line(f"model: {name} cannot run on {kind} data of {shape}"):
        made = construct.construct(
            make,
            name,
            kind=kind,
            shape=shape,
            classes=classes,
            exits=exits,
            head=head,
            seed=seed,
            vocabulary=vocabulary,
            device=device,
        )
    if make not in _OURS:
        check_alone(made.model)
    return made.model


def describe(
    name: str,
    *,
    kind: str,
    shape: Sequence[int],
    classes: int,
    exits: str | Sequence[int] = "every",
    head: str = "auto",
    vocabulary: int = 0,
) -> dict[str, object]:
    """Size and cost of a model, without making its weights.

    Args:
        name, kind, shape, classes, exits, head, vocabulary: as for `build`.
    Returns:
        parameters; macs (per sample to each exit, heads on the way included); backbone_macs (no early
        heads); exits (block indices); blocks (their number); head (that of the exits before the last).
    Raises:
        SettingError: as for `build`.
    Example:
        >>> describe("mlp_nano", kind="image", shape=(1, 8, 8), classes=10, exits=[1])["macs"]
        [25856, 76288]
    """
    make = maker(name)
    made = construct.construct(
        make,
        name,
        kind=kind,
        shape=shape,
        classes=classes,
        exits=exits,
        head=head,
        seed=0,
        vocabulary=vocabulary,
        device="meta",
    )
    model, of_heads = made.model, cost.of_heads(made.model, made.states)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": cost.with_heads(made.reached, of_heads, model.exits),
        "backbone_macs": made.reached[-1] + of_heads[-1],
        "exits": list(model.exits),
        "blocks": len(model.blocks),
        "head": made.head,
    }


def source_module(name: str) -> ModuleType:
    """The module of `maker`."""
    return sys.modules[maker(name).__module__]


def libraries(name: str) -> tuple[str, ...]:
    """Libraries beside torch that decide what a network of this name computes.

    Raises:
        SettingError: the name is not known.
    """
    return ("transformers",) if source_module(name) is bert else ()


_OURS = {family.backbone for family in (resnet, msdnet, efficientnet, vit, mlp, text, bert)}
for _family in (resnet, msdnet, efficientnet, vit, mlp, text, bert):
    for _name in _family.MODELS:
        register(_name, _family.backbone)
