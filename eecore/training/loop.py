"""The training loop: one phase of one network, written out.

Axes: K exits, J exits that a phase trains, N samples, B batch, C classes.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from eecore.data import Dataset, Split
from eecore.errors import SettingError, TrainingError
from eecore.models import MultiExit
from eecore.shapes import Float, Int
from eecore.training.losses import exit_losses
from eecore.training.moving import Moving
from eecore.training.objectives.mean import Backward, MeanLoss
from eecore.training.objectives.objective import Objective
from eecore.training.optim import derived_seed, learning_rate, make_optimizer, torch_settings
from eecore.training.phases import Phase
from eecore.training.recipe import Recipe

__all__ = ["Progress", "epoch_batches", "exit_losses", "judged", "split_logits", "train_phase"]


@dataclass
class Progress:
    """Where a phase stands after an epoch: all that is needed to go on as if nothing had happened."""

    epoch: int = 0  # epochs done
    tensors: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)  # one row an epoch
    best: float = math.inf  # the criterion's best value
    waited: int = 0  # epochs since then


def epoch_batches(samples: int, batch_size: int, generator: torch.Generator) -> Iterator[Int[Tensor, " B"]]:
    """Indices of one epoch in a fresh order, without the incomplete last batch."""
    order = torch.randperm(samples, generator=generator, device=generator.device)
    size = min(batch_size, samples)
    for start in range(0, samples - size + 1, size):
        yield order[start : start + size]


def train_phase(
    model: MultiExit,
    dataset: Dataset,
    phase: Phase,
    recipe: Recipe,
    *,
    augmentation: str = "none",
    seed: int,
    threads: int = 1,
    device: str = "cpu",
    start: Progress | None = None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    keeps: Callable[[int], bool] = lambda epochs: True,
) -> Progress:
    """Train what `phase` trains, in place.

    Args:
        model: the network, changed in place; what the phase does not train stays bit-identical.
        dataset: its train split is learnt from; its validation split is evaluated after every epoch. The test split
            is never touched.
        phase: which parameters move, and for how many epochs.
        recipe: the optimisation.
        augmentation: name of an augmentation of eecore.data.
        seed: decides order, augmentation and dropout of every epoch.
        threads: threads of torch meanwhile.
        device: where to train; the model comes back to the CPU.
        start: the progress of an interrupted call with the same arguments, to go on from.
        on_epoch: called after every epoch with the progress (for checkpoints and progress bars).
        keeps: asked after every epoch, with the epochs done, whether the progress is to carry the tensors to go on
            from: to copy them takes time where the network is large.
    Returns:
        The progress at the end; its history has a row per epoch: epoch, train_loss, validation_loss (mean over the
        exits in training, the early-stopping criterion), validation_accuracy, or for regression validation_pearson and
        validation_mse (per exit in training), lr, seconds (training), evaluation_seconds.
    Raises:
        TrainingError: the loss is not finite; names phase, step and learning rate.
    """
    steps_an_epoch = max(1, len(dataset.train) // recipe.batch_size)
    steps = phase.epochs * steps_an_epoch
    with torch_settings(threads):
        model.to(device)
        moving = Moving(model, phase, recipe, augmentation, dataset, device)
        optimizer = make_optimizer(moving.parameters, recipe, phase.is_steady)
        plain = (
            phase.trains in ("backbone", "branch") or not recipe.has_objective
        )  # of one exit there is nothing to weigh
        objective: Backward = MeanLoss() if plain else Objective(moving, recipe, dataset, steps)
        progress = start or Progress()
        moving.restore(progress.tensors, optimizer)
        objective.restore(progress.tensors)
        while progress.epoch < phase.epochs and not _exhausted(progress, recipe):
            began = time.perf_counter()
            first_step = progress.epoch * steps_an_epoch
            epoch_seed = derived_seed(seed, phase.trains, progress.epoch)
            generator = torch.Generator(device).manual_seed(epoch_seed)
            losses = []
            with torch_settings(threads, epoch_seed):
                moving.train_mode(progress.epoch)
                batches = epoch_batches(len(moving.y), recipe.batch_size, generator)
                for i, batch in enumerate(moving.batches(batches)):
                    for group in optimizer.param_groups:
                        group["lr"] = learning_rate(first_step + i, steps, recipe)
                    moving.begin_step(first_step + i)
                    with _autocast(device, recipe):
                        logits, target = moving.forward(batch, generator)
                    each = moving.losses(logits.float(), target)  # (J, B)
                    each = moving.ruled(each, logits, target, first_step + i)
                    optimizer.zero_grad()
                    loss = objective.backward(each, logits, target, first_step + i)
                    if recipe.clip_norm is not None:
                        torch.nn.utils.clip_grad_norm_(moving.parameters, recipe.clip_norm)
                    optimizer.step()
                    moving.average()
                    losses.append(loss)
            mean_loss = _finite_mean(torch.stack(losses), phase, first_step, steps, recipe)
            trained = time.perf_counter()
            row = {"epoch": progress.epoch, "train_loss": mean_loss, **moving.validate()}
            row |= {"lr": learning_rate(first_step, steps, recipe), "seconds": trained - began}
            row["evaluation_seconds"] = time.perf_counter() - trained
            state = {**moving.tensors(optimizer), **objective.tensors()} if keeps(progress.epoch + 1) else {}
            progress = _advance(progress, row, recipe, moving, state)
            on_epoch(progress)
        moving.finish(progress.tensors)
        objective.finish()
        model.to("cpu")
    return progress


def _exhausted(progress: Progress, recipe: Recipe) -> bool:
    return recipe.patience is not None and progress.waited >= recipe.patience


def judged(best: float, waited: int, loss: float, min_delta: float) -> tuple[float, int]:
    """Best value of the criterion and epochs since then, after one more epoch. A tie is no improvement.

    Example:
        >>> judged(best=1.0, waited=0, loss=1.0, min_delta=0.0), judged(1.0, 1, loss=0.9, min_delta=0.0)
        ((1.0, 1), (0.9, 0))
    """
    return (loss, 0) if loss < best - min_delta else (best, waited + 1)


def _advance(
    progress: Progress, row: dict[str, Any], recipe: Recipe, moving: Moving, state: dict[str, Tensor]
) -> Progress:
    """The progress after one more epoch."""
    best, waited = judged(progress.best, progress.waited, row["validation_loss"], recipe.min_delta)
    kept = {name: t for name, t in progress.tensors.items() if name.startswith("best.")}
    if recipe.patience is not None and waited == 0:
        kept = moving.best_tensors()
    return Progress(
        epoch=progress.epoch + 1,
        tensors={**state, **kept},
        history=[*progress.history, row],
        best=best,
        waited=waited,
    )


def _autocast(device: str, recipe: Recipe) -> Any:
    if recipe.precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def _finite_mean(losses: Tensor, phase: Phase, first_step: int, steps: int, recipe: Recipe) -> float:
    """Mean loss of an epoch; looked at once an epoch, so that a GPU never waits for the host."""
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        step = first_step + int(broken[0])
        raise TrainingError(
            f"the loss is {losses[broken[0]].item()} at step {step + 1} of {steps} of phase '{phase.trains}', "
            f"learning rate {learning_rate(step, steps, recipe):.3g}: try a smaller lr or clip_norm"
        )
    return losses.mean().item()


@torch.no_grad()
def split_logits(model: MultiExit, split: Split, *, batch: int = 500, device: str = "cpu") -> Float[Tensor, "K N C"]:
    """Logits of every exit on a split, in eval mode; the model's mode is put back.

    float16; float32 for regression, where C is the number of outputs and an error must not be one of rounding.

    Raises:
        SettingError: `batch` is smaller than 1.
    """
    if batch < 1:
        raise SettingError(f"batch: expected at least 1, got {batch}")
    was_training = model.training
    model.to(device).eval()
    kept = torch.float32 if split.y.is_floating_point() else torch.float16
    out = torch.cat([model(x.to(device)).to(kept).cpu() for x in split.x.split(batch)], dim=1)
    model.to("cpu").train(was_training)
    return out
