"""Which objectives fit a network; what does not fit stops with the reason."""

from collections.abc import Iterable

import torch

from eecore.errors import SettingError
from eecore.training.phases import Phase
from eecore.training.recipe import Recipe

__all__ = ["check_exits", "check_parallel", "check_ruled"]

PARTIAL = ("alternating", "gated", "detached")  # rules under which some exits do not learn from all samples


def check_exits(recipe: Recipe, exits: int) -> None:
    """Stop where a recipe's objective does not fit a network of so many exits.

    Raises:
        SettingError: one line.
    Example:
        >>> check_exits(Recipe(weights=(1.0, 2.0)), exits=3)
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: weights: 2 numbers came for a network of 3 exits
    """
    if not isinstance(recipe.weights, str) and len(recipe.weights) != exits:
        raise SettingError(f"weights: {len(recipe.weights)} numbers came for a network of {exits} exits")
    if exits > 1:
        return
    for name in ("weights", "gradients", "distillation"):
        value = getattr(recipe, name)
        if value != type(recipe).model_fields[name].default:
            raise SettingError(f"{name}: {value!r} needs an exit before the last one, and this network has none")


def check_ruled(recipe: Recipe, phases: Iterable[Phase]) -> None:
    """Stop where a phase leaves out gradients that a recipe's objective needs.

    Raises:
        SettingError: one line.
    Example:
        >>> check_ruled(Recipe(gradients="pcgrad"), [Phase("all", 1, rule="alternating")])
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: gradients: 'pcgrad' needs every exit in every step, unlike the rule 'alternating'
    """
    for phase in phases:
        if recipe.weights == "l2w" and phase.rule in PARTIAL:
            raise SettingError(f"weights: 'l2w' needs every exit in every step, unlike the rule {phase.rule!r}")
        for name in ("gradients", "distillation"):
            value = getattr(recipe, name)
            needed = phase.rule and (phase.trains == "all" or name == "distillation")
            if needed and value != type(recipe).model_fields[name].default:
                raise SettingError(f"{name}: {value!r} needs every exit in every step, unlike the rule {phase.rule!r}")


def check_parallel(processes: int, recipe: Recipe, device: str) -> None:
    """Stop where a phase cannot be divided.

    Raises:
        SettingError: one line.
    Example:
        >>> check_parallel(2, Recipe(gradients="pcgrad"), "cpu")
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: processes: 2 does not fit gradients='pcgrad': one gradient of a batch is divided
    """
    wrong = {
        f"device={device!r}: the CPU's training is divided": torch.device(device).type != "cpu",
        "compile=True": recipe.compile,
        f"gradients={recipe.gradients!r}: one gradient of a batch is divided": recipe.gradients != "sum",
        "weights='l2w': one gradient of a batch is divided": recipe.weights == "l2w",
    }
    for what, is_so in wrong.items():
        if processes > 1 and is_so:
            raise SettingError(f"processes: {processes} does not fit {what}")
