"""What is minimised: weights of the exits, self-distillation, and rules for gradients that meet in the backbone."""

from eecore.training.objectives.branches import branch_factors, scale_branches
from eecore.training.objectives.conflicts import GradNorm, cagrad, pcgrad, separate_gradients
from eecore.training.objectives.distillation import distilled, teacher_shares
from eecore.training.objectives.names import DISTILLATIONS, GRADIENTS, WEIGHTS, Ingredient
from eecore.training.objectives.weights import RunningMean, exit_weights

__all__ = [
    "DISTILLATIONS",
    "GRADIENTS",
    "WEIGHTS",
    "GradNorm",
    "Ingredient",
    "RunningMean",
    "branch_factors",
    "cagrad",
    "distilled",
    "exit_weights",
    "pcgrad",
    "scale_branches",
    "separate_gradients",
    "teacher_shares",
]
