"""Rules within a phase: which parts move in which epoch, what heads see, and which losses count in which step.

Axes: K exits, J exits that a phase trains, B batch, C classes.
"""

from torch import Tensor, cat, is_grad_enabled, nn, set_grad_enabled, zeros_like

from eecore.data import Target
from eecore.models import MultiExit
from eecore.models.backbone import State
from eecore.shapes import Bool, Float, Int
from eecore.training.phases import UNFREEZING, Phase

__all__ = [
    "branch_logits",
    "branch_modules",
    "detached_logits",
    "early_heads_rest",
    "moving_parts",
    "open_gates",
    "ruled_losses",
]


def moving_parts(parts: int, rule: str, epoch: int, epochs: int) -> range:
    """Which of a backbone's parts (the stem, then the blocks) move in an epoch.

    Their number grows evenly, rounded up: some move from the first epoch on, and all do in the last one.

    Args:
        parts: their number.
        rule: "unfreeze_top": the last parts join first; "unfreeze_bottom": the first ones; any other: all move.
        epoch: 0-based.
        epochs: of the whole phase.
    Example:
        >>> [list(moving_parts(3, "unfreeze_top", epoch, 3)) for epoch in range(3)]
        [[2], [1, 2], [0, 1, 2]]
        >>> [list(moving_parts(3, "unfreeze_bottom", epoch, 2)) for epoch in range(2)]
        [[0, 1], [0, 1, 2]]
    """
    if rule not in UNFREEZING:
        return range(parts)
    count = -(-parts * (epoch + 1) // epochs)
    return range(parts - count, parts) if rule == "unfreeze_top" else range(count)


def branch_parts(exits: tuple[int, ...], k: int) -> range:
    """Which of the backbone's parts (0 the stem, 1 block 0, ...) lie between exit k-1 and exit k.

    Example:
        >>> [list(branch_parts((1, 2), k)) for k in range(2)]
        [[0, 1, 2], [3]]
    """
    return range(exits[k - 1] + 2 if k else 0, exits[k] + 2)


def branch_modules(model: MultiExit, k: int) -> list[nn.Module]:
    """The modules that lie between exit k-1 and exit k; the stem belongs to exit 0."""
    parts = model.backbone_modules()
    return [parts[i] for i in branch_parts(model.exits, k)]


def branch_logits(model: MultiExit, x: Tensor, k: int) -> Float[Tensor, "B C"]:
    """Logits of exit k. What lies before exit k-1 is only run, what lies behind exit k is not even that."""
    state: State = x
    for earlier in range(k):
        state = _detached(model.advance(state, earlier))
    return model.heads[k](model.advance(state, k))


def early_heads_rest(phase: Phase, step: int) -> bool:
    """Whether the last head alone counts in a step, counted over the whole phase from 0."""
    return phase.rule == "alternating" and step % 2 == 0


def detached_logits(model: MultiExit, x: Tensor, learn: bool = True) -> list[Float[Tensor, "B C"]]:
    """Logits of the K exits, where the backbone learns from the last one alone.

    Args:
        model: the network.
        x: a batch of data.
        learn: whether the early heads learn; else they are only run.
    """
    *early, last = model.head_inputs(x)
    with set_grad_enabled(learn and is_grad_enabled()):
        logits = [head(_detached(state)) for head, state in zip(model.heads[:-1], early, strict=True)]
    return [*logits, model.heads[-1](last)]


def _detached(state: State) -> State:
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


def open_gates(logits: Float[Tensor, "J B C"], y: Int[Tensor, " B"], threshold: float) -> Bool[Tensor, "J B"]:
    """Which exits learn from which samples: those that no earlier exit solves confidently.

    An exit solves a sample where its prediction is right and its confidence strictly above the threshold.

    Args:
        logits: of all exits, in order.
        y: classes.
        threshold: in (0, 1).
    Example:
        >>> import torch
        >>> sure, unsure = [9.0, 0.0], [0.0, 0.1]
        >>> open_gates(torch.tensor([[sure, unsure], [sure, sure], [sure, sure]]), torch.tensor([0, 0]), 0.9).tolist()
        [[True, True], [False, True], [False, False]]
    """
    confidence, prediction = logits.detach().softmax(dim=2).max(dim=2)
    solved = (prediction == y) & (confidence > threshold)
    return solved.cumsum(dim=0) - solved.long() == 0


def ruled_losses(
    phase: Phase, each: Float[Tensor, "J B"], logits: Float[Tensor, "J B C"], target: Target, step: int
) -> Float[Tensor, "J B"]:
    """What a phase's rule leaves of the losses of each exit and sample in a step.

    Args:
        phase: its rule and threshold are used.
        each: the losses.
        logits: they belong to.
        target: of the batch.
        step: 0-based, over the whole phase.
    Returns:
        The losses; 0 for an exit or a sample that does not count.
    """
    if early_heads_rest(phase, step):
        return cat([zeros_like(each[:-1]), each[-1:]])
    if phase.rule == "gated" and phase.threshold is not None:
        return each * open_gates(logits, target.y, phase.threshold)
    return each
