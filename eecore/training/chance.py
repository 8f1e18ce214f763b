"""Phases that ended where they learnt nothing: a rate that is too high, or a recipe that is not for this network.

C classes.
"""

import logging
import math
import multiprocessing
from typing import Any

import torch

from eecore import data
from eecore.training.result import Result

log = logging.getLogger(__name__)
NEAR = 0.005  # a loss nearer than this to chance is chance: nats of a cross-entropy, else a fraction of the variance
_told: set[str] = set()


def warn(result: Result) -> None:
    """Say it once in a process where a phase of a run ended at chance; what trains for others leaves it to them."""
    if result.key not in _told and multiprocessing.parent_process() is None:
        _told.add(result.key)
        if said := at_chance(result):
            log.warning("%s", said)


def at_chance(result: Result) -> str:
    """A line about the first phase whose losses ended no better than those of an answer that ignores the sample.

    Both count, the training loss of the last epoch and the validation loss after it: the first alone is high where one
    epoch is all there is, the second alone where the network learns the training data by heart.

    Returns:
        The line, or "" where there is no such phase.
    """
    run, recipe, level = result.run, result.run.recipe, chance_loss(result)
    assert recipe is not None
    limit = level * (1 - NEAR) if _squared(result) else level - NEAR
    for i, phase in enumerate(result.record["phases"]):
        history = phase["history"]
        last = history[-1]
        if recipe.patience is not None:  # its best state is what the phase ended with
            last = min(history, key=lambda row: row["validation_loss"])
        if _learnt_nothing(result, phase, last, limit):
            return (
                f"{data.info(run.dataset).name} {run.model} {run.regime} seed {run.seed}: phase {i + 1} "
                f"({phase['trains']}) learnt nothing: its training loss ended at {last['train_loss']:.4g}, and chance "
                f"is {level:.4g}; try another rate (it was lr={recipe.lr:g}), more epochs, or a preset "
                "(`eecore recipes`)"
            )
    return ""


def _squared(result: Result) -> bool:
    return result.run.task == "regression" and result.run.recipe.loss == "standard"  # type: ignore[union-attr]


def _learnt_nothing(result: Result, phase: dict[str, Any], last: dict[str, Any], limit: float) -> bool:
    if last["validation_loss"] < limit:
        return False
    plain = phase["trains"] in ("backbone", "branch") or not result.run.recipe.has_objective  # type: ignore[union-attr]
    if plain or "validation_accuracy" not in last:
        return bool(last["train_loss"] >= limit)
    return max(last["validation_accuracy"]) < _shares(result).max().item() + 0.1  # its training loss has other terms


def chance_loss(result: Result) -> float:
    """The lowest loss of an answer that is the same for all samples, on the labels of validation.

    Returns:
        For classes the entropy of their shares in nats, log C where they are equally many; for a regression the
        variance, or what a Gaussian with it costs.
    """
    y, recipe = result.validation_labels, result.run.recipe
    assert recipe is not None
    if result.run.task == "regression":
        variance = y.double().var(correction=0).item()
        return variance if _squared(result) else 0.5 * (math.log(max(variance, 1e-12)) + 1)
    shares = _shares(result)
    return -torch.special.xlogy(shares, shares).sum().item()


def _shares(result: Result) -> torch.Tensor:
    counts = torch.bincount(result.validation_labels, minlength=data.info(result.run.dataset).classes).double()
    return counts / counts.sum()
