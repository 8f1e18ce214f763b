"""Gradient rules that look at each exit's gradient of the backbone: PCGrad, CAGrad, GradNorm.

J exits, P parameters of the backbone. With M the J gradients (J, P), every rule is a choice of J coefficients w: the
backbone moves along w M. What the rules need of M is its Gram matrix M M^T (J, J), so that projecting costs little
beside the J backward passes. w = 1 is the sum.
"""

from collections.abc import Sequence

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from eecore.shapes import Float

__all__ = ["GradNorm", "cagrad", "pcgrad", "separate_gradients", "set_combination"]

CAGRAD_C = 0.4  # radius around the mean gradient, in its norm: our choice
GRADNORM_ALPHA = 1.5  # how strongly slow exits are favoured
GRADNORM_RATE = 0.025  # of the weights


def separate_gradients(
    losses: Float[Tensor, " J"], shared: Sequence[nn.Parameter], own: Sequence[nn.Parameter]
) -> Float[Tensor, "J P"]:
    """Each loss's gradient of the shared parameters; that of the others is set, summed over the losses.

    Args:
        losses: of one graph, which is freed.
        shared: of the backbone.
        own: of the heads.
    Returns:
        One row per loss, the shared parameters one after the other.
    """
    rows = []
    for j, loss in enumerate(losses):
        found = torch.autograd.grad(loss, [*shared, *own], retain_graph=j < len(losses) - 1, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for p, g in zip(shared, found, strict=False)]
        rows.append(torch.cat([g.reshape(-1) for g in flat]))
        for parameter, gradient in zip(own, found[len(shared) :], strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    return torch.stack(rows)


def set_combination(
    weights: Float[Tensor, " J"], gradients: Float[Tensor, "J P"], shared: Sequence[nn.Parameter]
) -> None:
    """Give the shared parameters the combination w M of the gradients."""
    parts = (weights @ gradients).split([p.numel() for p in shared])
    for parameter, part in zip(shared, parts, strict=True):
        parameter.grad = torch.empty_like(parameter).copy_(part.view(parameter.shape))  # its memory layout too


def pcgrad(gram: Float[Tensor, "J J"], orders: Sequence[Sequence[int]]) -> Float[Tensor, " J"]:
    """Coefficients of PCGrad: each gradient loses what conflicts with the others, then all are added.

    Gradient i meets the others one by one; where their product is negative, it is projected onto the plane on which the
    other one stands.

    Args:
        gram: products of the gradients.
        orders: for each gradient, in which order it meets the others: a permutation of all J, its own place is passed
            over.
    Source:
        Yu et al. 2020, arXiv:2001.06782, algorithm 1 (there the order is random).
    Example:
        >>> gram = torch.tensor([[1.0, -1.0], [-1.0, 2.0]])  # of (1, 0) and (-1, 1)
        >>> pcgrad(gram, [[0, 1], [0, 1]])  # (1, 0) becomes (0.5, 0.5), (-1, 1) becomes (0, 1)
        tensor([2.0000, 1.5000])
    """
    kept = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)  # row i: what gradient i is made of by now
    for i, order in enumerate(orders):
        for j in order:
            if j != i:
                product = kept[i] @ gram[j]
                conflict = product.clamp(max=0) / gram[j, j].clamp(min=torch.finfo(gram.dtype).tiny)
                kept[i, j] -= conflict
    return kept.sum(dim=0)


def cagrad(gram: Float[Tensor, "J J"], c: float = CAGRAD_C) -> Float[Tensor, " J"]:
    """Coefficients of CAGrad: of all steps near the mean gradient, the one that helps the worst-off exit most.

    With g_0 the mean gradient, the step is g_0 + c norm(g_0) g_w / norm(g_w), where w minimises
    g_w g_0 + c norm(g_0) norm(g_w) over weights that sum to one. Here J times as
    long, so that c = 0 is the sum. Solved on the host: a GPU waits for it.

    Args:
        gram: products of the gradients.
        c: in [0, 1).
    Source:
        Liu et al. 2021, arXiv:2110.14048, algorithm 1.
    Example:
        >>> cagrad(torch.eye(2), c=0.5)  # of no conflict: a longer step in the same direction
        tensor([1.5000, 1.5000])
    """
    products = gram.detach().double().cpu().numpy()
    products = products / max(products.trace() / len(products), 1e-300)  # w does not depend on the scale
    to_mean, count = products.mean(axis=1), len(products)
    radius = c * np.sqrt(max(to_mean.mean(), 0.0))

    def worst(w: np.ndarray) -> tuple[float, np.ndarray]:
        norm = np.sqrt(max(float(w @ products @ w), 1e-16))
        return float(w @ to_mean + radius * norm), to_mean + radius * (products @ w) / norm

    start = np.full(count, 1 / count)
    one = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)}
    options = {"ftol": 1e-10, "maxiter": 200}
    w = scipy.optimize.minimize(
        worst, start, jac=True, bounds=[(0, 1)] * count, constraints=[one], method="SLSQP", options=options
    ).x
    norm = np.sqrt(max(float(w @ products @ w), 1e-16))
    return torch.tensor(1 + count * radius / norm * w, dtype=gram.dtype, device=gram.device)


class GradNorm:
    """Coefficients that keep the exits' gradient norms in proportion to how slowly each exit learns.

    Exit k should have the norm G r_k^alpha: G is the mean norm, r_k the part of its first loss that exit k still has,
    relative to the mean of all. After each step w goes down the slope of sum_k abs(w_k norm(g_k) - G r_k^alpha), whose
    target counts as fixed, and is scaled to the sum J.

    Args:
        exits: J.
        device: of the gradients.
    Source:
        Chen et al. 2018, arXiv:1711.02257. There the norm is that of one shared layer and the weights are those of the
        whole loss; here both concern the backbone. The slope is divided by the mean norm, so that its rate has no unit:
        our choice, as is the rate of 0.025 a step.
    """

    def __init__(self, exits: int, device: torch.device | str = "cpu") -> None:
        self.weights, self.first = torch.ones(exits, device=device), torch.zeros(exits, device=device)

    def step(self, gram: Float[Tensor, "J J"], losses: Float[Tensor, " J"], first: bool) -> Float[Tensor, " J"]:
        """The coefficients of this step; those of the next one are worked out from its gradients and losses.

        Args:
            gram: products of the gradients.
            losses: of each exit, unweighted.
            first: whether this is the phase's first step, whose losses are those to compare with.
        """
        now, losses = self.weights, losses.detach().float()
        if first:
            self.first = losses
        norms = gram.diagonal().clamp(min=0).sqrt()
        left = losses / self.first.clamp(min=1e-8)
        slow = (left / left.mean()) ** GRADNORM_ALPHA
        scale = norms.mean().clamp(min=1e-30)
        slope = torch.sign(now * norms - (now * norms).mean() * slow) * norms / scale
        moved = (now - GRADNORM_RATE * slope).clamp(min=1e-3)
        self.weights = moved * len(moved) / moved.sum()
        return now
