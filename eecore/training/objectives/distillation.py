"""Self-distillation: exits learn from what later exits of the same network say.

E exits at hand, J exits that learn (the first J of them), B batch, C classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from eecore.errors import choose
from eecore.shapes import Float
from eecore.training.objectives.names import DISTILLATIONS

__all__ = ["distilled", "teacher_shares"]


def teacher_shares(kind: str, exits: int) -> Float[Tensor, "E E"]:
    """How much exit k (rows) learns from exit j (columns): rows sum to one, that of the last exit is empty.

    Args:
        kind: "last", "next" or "later" (the mean over all exits behind it).
        exits: E.
    Raises:
        SettingError: the kind is not known.
    Example:
        >>> teacher_shares("later", 3)
        tensor([[0.0000, 0.5000, 0.5000],
                [0.0000, 0.0000, 1.0000],
                [0.0000, 0.0000, 0.0000]])
    """
    choose("distillation", kind, DISTILLATIONS)
    if kind == "later":
        behind = torch.ones(exits, exits).triu(1)
        return behind / behind.sum(dim=1, keepdim=True).clamp(min=1)
    shares = torch.zeros(exits, exits)
    for k in range(exits - 1):
        shares[k, exits - 1 if kind == "last" else k + 1] = 1.0
    return shares


def distilled(
    each: Float[Tensor, "J B"],
    logits: Float[Tensor, "E B C"],
    shares: Float[Tensor, "E E"],
    temperature: float | int,
    weight: float | int,
) -> Float[Tensor, "J B"]:
    """The losses of exits that learn from labels and from later exits.

    (1 - w) l_k + w T^2 sum_j s_kj CE(z_k / T, softmax(z_j / T)) where exit k has a teacher, else l_k. No gradient
    flows into a teacher. T^2 keeps the gradient's scale where T grows.

    Args:
        each: l_k, the losses against the labels.
        logits: z of the exits that learn, then of those that only teach.
        shares: s, from `teacher_shares`.
        temperature: T > 0.
        weight: w in [0, 1].
    Source:
        Hinton et al. 2015, Distilling the knowledge in a neural network; Zhang et al. 2019, Be your own teacher.
    """
    students = len(each)
    soft = torch.softmax(logits.detach().float() / temperature, dim=2)
    # Cross-entropy is linear in what is taught: the mean over teachers is that of the teachers' mean.
    taught = torch.einsum("je,ebc->jbc", shares[:students], soft)
    against = -(taught * F.log_softmax(logits[:students].float() / temperature, dim=2)).sum(dim=2)
    has_teacher = shares[:students].sum(dim=1, keepdim=True) > 0
    return torch.where(has_teacher, (1 - weight) * each + weight * temperature**2 * against, each)
