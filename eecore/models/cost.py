"""Cost of a model in multiply-adds (MACs) per sample.

K exits. Counted: matrix products, convolutions, and the two products of attention, by torch's
FlopCounterMode (two operations are one MAC). Not counted: biases, normalisation, activations, softmax,
pooling, additions of residuals and position embeddings; together they are a few percent.

Everything runs on the meta device, which knows shapes and computes nothing. This is a matter of
correctness as well as of speed: on a CPU the counter does not see fused attention and reports 0 for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from eecore.errors import SettingError
from eecore.models.backbone import State, check_data
from eecore.models.heads_cascade import arguments
from eecore.models.multi_exit import MultiExit, versions


class Step(NamedTuple):
    """What one part of a network does with a sample that has a shape but no values.

    Args:
        macs: of the part.
        state: its output.
        in_place: whether it changes what it is given.
    """

    macs: int
    state: State
    in_place: bool


def trace(parts: Sequence[nn.Module], shape: Sequence[int], kind: str) -> tuple[list[int], list[State]]:
    """Run modules one after the other on a sample that has a shape but no values.

    Args:
        parts: modules, each fed with the output of the one before.
        shape: of one sample of data.
        kind: of the data, see `check_data`.
    Returns:
        MACs of each part, and its output for that sample: a state without values.
    Raises:
        SettingError: a part cannot take what the one before gives, or gives something else than tensors.
    Example:
        >>> macs, states = trace([nn.Flatten(), nn.Linear(40, 7)], (1, 40), "sequence")
        >>> macs, [tuple(state.shape) for state in states]
        ([0, 280], [(1, 40), (1, 7)])
    """
    steps = steps_of(parts, shape, kind)
    return [step.macs for step in steps], [step.state for step in steps]


def steps_of(parts: Sequence[nn.Module], shape: Sequence[int], kind: str) -> list[Step]:
    """`trace`, a record for each part."""
    dtype = torch.int64 if kind == "tokens" else torch.float32
    state: State = torch.empty((1, *check_data(kind, shape)), dtype=dtype, device="meta")
    steps: list[Step] = []
    for place, part in enumerate(parts):
        steps.append(_fitting(place, part, state))
        state = steps[-1].state
    return steps


def exit_macs(model: MultiExit, shape: Sequence[int], kind: str) -> list[int]:
    """MACs per sample to reach and evaluate each exit; the heads passed on the way are included.

    Args:
        model: stays as it is, on any device and in any mode.
        shape: of one sample of data.
        kind: of the data: "image", "sequence" or "tokens".
    Returns:
        K whole numbers, ascending.
    """
    reached, heads = _costs(model, shape, kind)
    return with_heads(reached, heads, model.exits)


def backbone_macs(model: MultiExit, shape: Sequence[int], kind: str) -> int:
    """MACs per sample of the network without early exits: stem, all blocks and the last head."""
    reached, heads = _costs(model, shape, kind)
    return reached[-1] + heads[-1]


def head_macs(model: MultiExit, shape: Sequence[int], kind: str) -> list[int]:
    """MACs per sample of each of the K heads alone."""
    return _costs(model, shape, kind)[1]


def to_block(macs: Iterable[int]) -> list[int]:
    """MACs up to and including each block, from those of the stem and of each block."""
    return list(accumulate(macs))[1:]


def of_heads(model: MultiExit, states: Sequence[State]) -> list[int]:
    """MACs of each of the K heads, where `trace` gave these states for the stem and each block."""
    macs, logits = [], None
    for head, block in zip(model.heads, model.exits, strict=True):
        spent, logits = _count(head, *arguments(head, states[1 + block], logits))
        macs.append(spent)
    return macs


def with_heads(reached: Sequence[int], heads: Sequence[int], exits: Sequence[int]) -> list[int]:
    """MACs to each exit, from those to each block without heads and those of each head.

    Example:
        >>> with_heads([100, 200, 300], [7, 5], exits=(1, 2))
        [207, 312]
    """
    return [reached[block] + passed for block, passed in zip(exits, accumulate(heads), strict=True)]


def _costs(model: MultiExit, shape: Sequence[int], kind: str) -> tuple[list[int], list[int]]:
    """MACs up to each block (heads apart), and of each head."""
    macs, states = trace(model.backbone_modules(), shape, kind)
    return to_block(macs), of_heads(model, states)


def _fitting(place: int, part: nn.Module, state: State) -> Step:
    """What a part of a network does, the stem being in place 0; one line where it does not fit."""
    given = versions(state)
    name = f"block {place - 1} ({type(part).__name__})" if place else f"the stem ({type(part).__name__})"
    try:
        macs, output = _count(part, state)
    except (RuntimeError, TypeError, IndexError) as error:
        came = [tuple(tensor.shape) for tensor in (state if isinstance(state, tuple) else (state,))]
        reason = str(error).strip().partition("\n")[0]
        raise SettingError(f"model: {name} cannot take what comes, {came}: {reason}") from error
    if not all(
        isinstance(tensor, Tensor) for tensor in (output if isinstance(output, tuple) and output else (output,))
    ):
        raise SettingError(f"model: {name} gives {type(output).__name__}, not a tensor or a tuple of tensors")
    return Step(macs, output, versions(state) != given)


def _count(part: nn.Module, *inputs: State) -> tuple[int, Any]:
    """MACs of one module for meta inputs, and its output; the module is not changed."""
    tensors = [*part.named_parameters(), *part.named_buffers()]
    shapes_only = {
        name: torch.empty(t.shape, dtype=torch.float32 if t.is_floating_point() else t.dtype, device="meta")
        for name, t in tensors
    }
    with torch.no_grad(), evaluating(part), FlopCounterMode(display=False) as counter:
        output = functional_call(part, shapes_only, inputs)
    return counter.get_total_flops() // 2, output


@contextmanager
def evaluating(part: nn.Module) -> Iterator[None]:
    """Eval mode for a while; afterwards each submodule is in the mode that it was in."""
    modes = [(module, module.training) for module in part.modules()]
    part.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
