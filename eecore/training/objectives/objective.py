"""What a phase minimises where a recipe asks for more than a mean: teachers, then weights, then a gradient rule.

K exits, J exits that a phase trains, B batch, C classes.

In a 'backbone' phase there is one exit, so nothing of this has an effect. In a 'heads' phase the backbone does not
move, so gradient rules have none; the frozen last exit is a teacher.
"""

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from eecore import models
from eecore.data import Dataset, Target
from eecore.shapes import Float
from eecore.training.moving import Moving
from eecore.training.objectives.branches import scale_branches
from eecore.training.objectives.conflicts import GradNorm, cagrad, pcgrad, separate_gradients, set_combination
from eecore.training.objectives.distillation import distilled, teacher_shares
from eecore.training.objectives.names import SCALED, SEPARATE
from eecore.training.objectives.sample_weights import SampleWeights
from eecore.training.objectives.weights import RunningMean, exit_weights, normalised
from eecore.training.recipe import Recipe

__all__ = ["Objective"]


class Objective:
    """Weights, self-distillation and gradient rule of one phase.

    Args:
        moving: the phase's view of the network.
        recipe: names them.
        dataset: the shape of its samples gives the exits' costs.
        steps: of the whole phase.
    """

    def __init__(self, moving: Moving, recipe: Recipe, dataset: Dataset, steps: int) -> None:
        self.moving, self.recipe, self.steps = moving, recipe, steps
        model, exits, device = moving.model, len(moving.exits), moving.y.device
        self._costs = torch.tensor(models.exit_macs(model, dataset.shape, dataset.kind), dtype=torch.float32).to(device)
        self._trained = torch.tensor(moving.exits, device=device)
        self._running = RunningMean(exits, device) if recipe.weights == "adaloss" else None
        self._samples = SampleWeights(moving, recipe.lr) if recipe.weights == "l2w" else None
        self._teaches = recipe.distillation is not None and moving.phase.trains != "backbone"
        if self._teaches:
            self._shares = teacher_shares(str(recipe.distillation), model.n_exits).to(device)
        meets = exits > 1 and moving.phase.trains == "all"  # gradients of several exits meet in the backbone
        self._separate = recipe.gradients if meets and recipe.gradients in SEPARATE else None
        self._norms = GradNorm(exits, device) if self._separate == "gradnorm" else None
        self._hooks: list[RemovableHandle] = scale_branches(model) if meets and recipe.gradients in SCALED else []

    def weights(self, losses: Float[Tensor, " J"], step: int) -> Float[Tensor, " J"]:
        """Weights of the exits in training in this step; they sum to one."""
        if self._running is not None:
            return self._running.weights(losses)
        progress = (step + 1) / self.steps
        return normalised(exit_weights(self.recipe.weights, self._costs, progress)[self._trained])

    def backward(
        self, each: Float[Tensor, "J B"], logits: Float[Tensor, "J B C"], target: Target, step: int
    ) -> Float[Tensor, ""]:
        """Set the gradients of step `step` of the phase, which are empty; return the loss to show, detached."""
        if self._teaches:
            teacher = [self.moving.frozen_logits().unsqueeze(0)] if self.moving.phase.trains == "heads" else []
            known = torch.cat([logits, *teacher])
            recipe = self.recipe
            each = distilled(each, known, self._shares, recipe.distillation_temperature, recipe.distillation_weight)
        if self._samples is not None:
            each = each * self._samples.step(each, step)
        if (
            self.recipe.weights in ("uniform", "l2w") and self._separate is None
        ):  # as without an objective, to the last bit
            loss = each.mean()
            loss.backward()
            return loss.detach()
        losses = each.mean(dim=1)
        weighted = self.weights(losses, step) * losses
        if self._separate is None:
            weighted.sum().backward()
        else:
            self._apart(weighted, losses, step)
        return weighted.detach().sum()

    def _apart(self, weighted: Float[Tensor, " J"], losses: Float[Tensor, " J"], step: int) -> None:
        """Heads get the gradient of the sum, the backbone the combination that the rule chooses."""
        model = self.moving.model
        shared = [p for p in model.backbone_parameters() if p.requires_grad]
        own = [p for head in model.heads for p in head.parameters()]
        gradients = separate_gradients(weighted, shared, own)
        gram = gradients @ gradients.T
        if self._norms is not None:
            coefficients = self._norms.step(gram, losses, first=step == 0)
        elif self._separate == "cagrad":
            coefficients = cagrad(gram)
        else:  # orders come from torch's generator, which the loop seeds for each epoch
            coefficients = pcgrad(gram, [torch.randperm(len(losses)).tolist() for _ in losses])
        set_combination(coefficients, gradients, shared)

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all that changes from step to step."""
        own = self._samples.tensors() if self._samples is not None else {}
        own |= {name: getattr(part, name).cpu().clone() for part, name in self._state()}
        return {f"objective.{name}": tensor for name, tensor in own.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to where `tensors` was taken."""
        own = {name.removeprefix("objective."): t for name, t in tensors.items() if name.startswith("objective.")}
        if not own:
            return
        for part, name in self._state():
            setattr(part, name, own[name].to(self.moving.y.device))
        if self._samples is not None:
            self._samples.restore(own)

    def _state(self) -> list[tuple[RunningMean | GradNorm, str]]:
        running = [(self._running, name) for name in ("mean", "share")] if self._running is not None else []
        norms = [(self._norms, name) for name in ("weights", "first")] if self._norms is not None else []
        return [*running, *norms]

    def finish(self) -> None:
        """Leave the network as it was: without hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
