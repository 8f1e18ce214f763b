"""The objective where a recipe names none: the mean of all losses, in one backward pass.

J exits that a phase trains, B batch, C classes.
"""

from typing import Protocol

from torch import Tensor

from eecore.data import Target
from eecore.shapes import Float

__all__ = ["Backward", "MeanLoss"]


class Backward(Protocol):
    """From the loss of each exit and sample to the gradients of all parameters that move."""

    def backward(
        self, each: Float[Tensor, "J B"], logits: Float[Tensor, "J B C"], target: Target, step: int
    ) -> Float[Tensor, ""]:
        """Set the gradients of step `step` of the phase, which are empty; return the loss to show, detached."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all that changes from step to step, each name beginning with "objective."."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to where `tensors` was taken; what is not this objective's is left alone."""
        ...

    def finish(self) -> None:
        """Leave the network as it was: without hooks."""
        ...


class MeanLoss:
    """Uniform weights, one sum, no teacher."""

    def backward(
        self, each: Float[Tensor, "J B"], logits: Float[Tensor, "J B C"], target: Target, step: int
    ) -> Float[Tensor, ""]:
        """The gradients of the mean over exits and samples."""
        loss = each.mean()
        loss.backward()
        return loss.detach()

    def tensors(self) -> dict[str, Tensor]:
        """Nothing changes."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Nothing to restore."""

    def finish(self) -> None:
        """Nothing to undo."""
