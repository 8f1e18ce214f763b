"""A network with exits as segments: what lies between two exits, the head of the second, and what the rule says there.

K exits, B samples of a batch, C classes.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.inference.protocol import ExitRule, Rule
from eecore.inference.rules import SIMPLE_RULES
from eecore.inference.stepping import Named, stepping
from eecore.models import MultiExit
from eecore.models.backbone import State
from eecore.models.heads_cascade import CascadeHead

__all__ = ["Segment", "adaptive_maximum", "cut", "exportable", "inputs_in_turn"]


class Segment(nn.Module):
    """The way from exit k-1 to exit k as one function of tensors.

    Its inputs are the state at exit k-1 (for k = 0 the data), the logits of exit k-1 where head k is in a cascade, and
    what the rule remembers. Its outputs are the state at exit k, the logits, the answer, the score, and what the rule
    remembers then. No output is an input or another output, as a graph that is stored may want.

    Args:
        model: whose segment it is.
        k: exit, 0..K-1.
        rule: as an object.
        states: tensors of the state that comes.
    """

    def __init__(self, model: MultiExit, k: int, rule: ExitRule, states: int) -> None:
        super().__init__()
        parts = model.backbone_modules()
        first = model.exits[k - 1] + 2 if k else 0  # the stem is part 0
        self.parts = nn.ModuleList(parts[first : model.exits[k] + 2])
        self.head = model.heads[k]
        self.k, self.states = k, states
        self.cascade = isinstance(self.head, CascadeHead)
        self._rule = rule

    def run(self, inputs: tuple[Tensor, ...]) -> dict[str, list[Tensor]]:
        """Outputs by kind: state, logits, answer, score, memory."""
        came = list(inputs)
        state: State = came[0] if self.states == 1 else tuple(came[: self.states])
        before = came[self.states] if self.cascade else None
        memory = tuple(came[self.states + self.cascade :])
        for part in self.parts:
            state = part(state)
        logits = self.head(state) if before is None else self.head(state, before)
        found = self._rule.step(logits.float(), self.k, memory)
        states = [state] if isinstance(state, Tensor) else list(state)
        return {
            "state": states,
            "logits": [logits],
            "answer": [found.answer.float()],
            "score": [found.score.float()],
            "memory": list(found.memory),
        }

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """All outputs, in the order of `run`."""
        return tuple(_apart(inputs, (tensor for kind in self.run(inputs).values() for tensor in kind)))


def _apart(inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> Iterator[Tensor]:
    """Outputs, each a tensor of its own."""
    known = [*inputs]
    for tensor in outputs:
        yield tensor.clone() if any(tensor is other for other in known) else tensor
        known.append(tensor)


def exportable(rule: Rule) -> ExitRule:
    """The rule as an object that can be part of a graph.

    Raises:
        SettingError: it is unknown, a rule of regression, or a function of one's own (`register_rule`), whose code
            need not be made of what a graph can hold.
    """
    found = stepping(rule)
    if isinstance(found, Named) and found.name not in SIMPLE_RULES:
        raise SettingError(
            f"rule: {found.name!r} cannot be exported; allowed: {', '.join(SIMPLE_RULES)}, or a rule that is an object"
        )
    return found


def cut(model: MultiExit, rule: ExitRule, x: Tensor) -> Iterator[tuple[Segment, tuple[Tensor, ...]]]:
    """The segments in turn, each with inputs that it gets when `x` runs through all of them."""
    inputs: tuple[Tensor, ...] = (x,)
    states = 1
    for k in range(model.n_exits):
        segment = Segment(model, k, rule, states).eval()
        yield segment, inputs
        with torch.no_grad():
            out = segment.run(inputs)
        states = len(out["state"])
        following = k + 1 < model.n_exits and isinstance(model.heads[k + 1], CascadeHead)
        inputs = tuple(inputs_in_turn(out, following))


def inputs_in_turn(out: dict[str, list[Tensor]], cascade: bool) -> list[Tensor]:
    """What the next segment gets of a segment's outputs."""
    return [*out["state"], *(out["logits"] if cascade else []), *out["memory"]]


def adaptive_maximum(x: Tensor, sides: list[int]) -> tuple[Tensor, Tensor]:
    """`torch.adaptive_max_pool2d` by slices, as ONNX has no such operation; the places of the maxima are left out.

    Args:
        x: (..., H, W).
        sides: two, not larger than H and W.
    Returns:
        The largest of each window, (..., h, w), and zeros in place of where it was.
    Example:
        >>> adaptive_maximum(torch.arange(25.0).view(1, 5, 5), [2, 2])[0].tolist()
        [[[12.0, 14.0], [22.0, 24.0]]]
    """
    for axis, side in zip((-2, -1), sides, strict=True):
        length = x.shape[axis]
        windows = [(i * length // side, -(-(i + 1) * length // side)) for i in range(side)]
        x = torch.stack([x.narrow(axis, a, b - a).amax(axis) for a, b in windows], dim=axis)
    return x, torch.zeros_like(x, dtype=torch.int64)
