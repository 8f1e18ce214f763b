"""What a family of models hands over: a stem, a chain of blocks, and the layout of their outputs.

B batch, C channels, H and W image sides, L length, S sequence of tokens, V words of a vocabulary, D features.

What a block hands to the next one is a state: a tensor, or several where the next block needs more than an exit reads
(the scales of MSDNet, the mask of a text). Exits and analyses read its last tensor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal

from torch import Tensor, nn

from eecore.errors import SettingError, choose

Layout = Literal["map", "tokens", "vector"]
State = Tensor | tuple[Tensor, ...]

# kind of data -> letters of one sample's shape
KINDS = {"image": "(C, H, W)", "sequence": "(C, L)", "tokens": "(S,)"}


@dataclass(frozen=True)
class Backbone:
    """A network without heads.

    Args:
        stem: maps a batch of data to the input of block 0.
        blocks: applied one after the other; an exit may follow each of them.
        layout: of the tensor that an exit reads behind every block: "map" (B, C, L) or (B, C, H, W), "tokens"
            (B, S, D), "vector" (B, D). With "tokens" a state of two tensors is (mask, tokens): the mask, (B, S) of
            ones and zeros, says which tokens are there.
        head: name of the head that belongs to this backbone: its last exit always has it, the others under "auto".
            None: the last one is "linear", and "auto" follows the layout.
        class_token: whether the first token stands for the whole sample ("tokens" only).
        uncut: the network that stem and blocks were cut from; what they compute is compared with it, see `construct`.
    """

    stem: nn.Module
    blocks: tuple[nn.Module, ...]
    layout: Layout
    head: str | None = None
    class_token: bool = False
    uncut: nn.Module | None = field(default=None, repr=False, compare=False)


def reading(state: State) -> Tensor:
    """The tensor of a state that exits and analyses read: the last one."""
    return state if isinstance(state, Tensor) else state[-1]


def is_count(value: object, smallest: int = 1) -> bool:
    """Whether `value` is a whole number (not a truth value) of at least `smallest`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= smallest


def check_data(kind: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return one sample's shape as a tuple, where it is one that data of this kind can have.

    Args:
        kind: "image", "sequence" or "tokens".
        shape: of one sample, without the batch: (C, H, W), (C, L) or (S,).
    Raises:
        SettingError: the kind is unknown, or the shape is not one of this kind.
    Example:
        >>> check_data("sequence", [1, 40])
        (1, 40)
    """
    letters = KINDS[choose("kind", kind, KINDS)]
    fits = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not fits or len(shape) != letters.count(",") + (kind != "tokens") or not all(map(is_count, shape)):
        raise SettingError(f"shape: {kind} data needs {letters}, whole numbers from 1 up; {shape!r} came")
    return tuple(int(side) for side in shape)


def needs_grid(name: str, kind: str) -> None:
    """Stop where a model that reads images and sequences is given tokens.

    Raises:
        SettingError: the kind is neither "image" nor "sequence".
    """
    if kind not in ("image", "sequence"):
        raise SettingError(f"{name} needs an image or a sequence, {kind} came")


def needs_tokens(name: str, kind: str, shape: Sequence[int]) -> tuple[int, int]:
    """Length S and vocabulary V of the data of a model that reads tokens.

    Args:
        name: of the model, for the error.
        kind: of the data.
        shape: what a family function gets, (S, V).
    Raises:
        SettingError: the kind is not "tokens", or there are fewer than two different tokens.
    Example:
        >>> needs_tokens("text_nano", "tokens", (24, 300))
        (24, 300)
    """
    if kind != "tokens":
        raise SettingError(f"{name} needs tokens, {kind} came")
    length, vocabulary = shape
    if vocabulary < 2:
        raise SettingError(f"vocabulary: {name} needs 2 different tokens or more, {vocabulary} came")
    return length, vocabulary
