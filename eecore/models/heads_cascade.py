"""Heads in a cascade: each reads what the exit before said. B batch, C classes, D features.

A linear map of two vectors side by side is the sum of a linear map of each. So any head that ends in a linear map
becomes one of a cascade by adding a linear map of the logits before, and what it reads of the backbone stays what it
was: `reduce` is the inner head's, and what phase 3 stores of a frozen backbone is the same with and without a cascade.
Only the order of evaluation is new: head k after head k-1.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models.backbone import State
from eecore.shapes import Float


class CascadeHead(nn.Module):
    """A head whose last linear map also sees the logits of the exit before, detached and normalised.

    Detached: the exit before is trained by its own loss alone.

    Args:
        inner: a head with `reduce`, `classify` and a last map `linear`. It is scaled so that both maps together begin
            as one map of D + C inputs would.
        classes: number of logits.
    Raises:
        SettingError: there is one output only, which a LayerNorm would make 0.
    Source:
        Wołczyk et al. 2021, Zero Time Waste, arXiv:2106.05409.
    """

    def __init__(self, inner: Any, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise SettingError(
                "head: a cascade normalises logits, and a single output becomes 0 by that; use 2 or more"
            )
        self.inner = inner
        self.norm = nn.LayerNorm(classes)
        self.from_before = nn.Linear(classes, classes, bias=False)  # the inner map has the bias
        width = inner.linear.in_features
        with torch.no_grad():
            for parameter in inner.linear.parameters():
                parameter.mul_((width / (width + classes)) ** 0.5)  # drawn from U(-1, 1) / sqrt(D)
            self.from_before.weight.mul_((classes / (width + classes)) ** 0.5)

    def reduce(self, state: State) -> Tensor:
        """What the inner head reads; it has no parameters and needs no other exit."""
        return self.inner.reduce(state)

    def classify(self, r: Tensor, before: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """Logits from what `reduce` returned and the logits of the exit before."""
        return self.inner.classify(r) + self.from_before(self.norm(before.detach()))

    def forward(self, state: State, before: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """Logits of a block's output and the logits of the exit before."""
        return self.classify(self.reduce(state), before)


def arguments(head: nn.Module, x: Any, before: Tensor | None) -> tuple[Any, ...]:
    """What a head is called with: its own input, and in a cascade the logits of the exit before.

    Raises:
        SettingError: a cascade's head came without the logits of the exit before.
    """
    if not isinstance(head, CascadeHead):
        return (x,)
    if before is None:
        raise SettingError("head: this one is part of a cascade and needs the logits of the exit before")
    return (x, before)


def in_turn(
    heads: Iterable[Any], inputs: Iterable[Any], before: Tensor | None = None, reduced: bool = False
) -> list[Float[Tensor, "B C"]]:
    """Logits of heads one after the other, each given those of the one before where it asks for them.

    Args:
        heads: of exits that follow each other.
        inputs: of these heads.
        before: logits of the exit before the first of them, where it is in a cascade.
        reduced: inputs are what the heads' `reduce` returned, not states.
    Raises:
        SettingError: the first of them is in a cascade and `before` did not come.
    """
    out: list[Tensor] = []
    for head, x in zip(heads, inputs, strict=True):
        before = (head.classify if reduced else head)(*arguments(head, x, before))
        out.append(before)
    return out
