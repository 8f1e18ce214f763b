"""Optimiser, learning rate and determinism: pure functions of the recipe and the step."""

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from eecore.training.recipe import Recipe


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Learning rate of step `step` (0-based) of a phase of `steps` steps.

    A function of the step alone, so that a resumed phase needs no state of a scheduler.

    Example:
        >>> [round(learning_rate(s, 4, Recipe(lr=1.0, warmup=0.0)), 3) for s in range(4)]
        [1.0, 0.854, 0.5, 0.146]
    """
    warm = round(recipe.warmup * steps)
    if recipe.schedule == "onecycle":
        warm = steps // 2
    if step < warm:
        return recipe.lr * (step + 1) / (warm + 1)
    if recipe.schedule == "multistep":
        return recipe.lr * recipe.decay ** sum(step >= milestone * steps for milestone in recipe.milestones)
    progress = (step - warm) / max(1, steps - warm)
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))
    if recipe.schedule == "onecycle":
        return recipe.lr * (1 - progress)
    return recipe.lr


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe, steady: bool = True) -> torch.optim.Optimizer:
    """AdamW or SGD over `parameters`; weight decay spares biases and norms, which have one axis.

    Args:
        parameters: all that ever move.
        recipe: the optimisation.
        steady: whether all of them move in every step; torch's fused SGD demands that.
    """
    moving = list(parameters)
    groups = [
        {"params": [p for p in moving if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in moving if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=steady)


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2**63) that is decided by `parts` alone: the same in every process."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextlib.contextmanager
def torch_settings(threads: int, seed: int | None = None) -> Iterator[None]:
    """Run a block with `threads` threads and, where given, a seed; both are put back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
