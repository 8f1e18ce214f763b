"""One phase on several processes of this machine: each computes its share of every batch.

Every process goes through the same loop with the same order of samples, augmentation and random numbers. Only the way
from a batch's inputs to its logits is divided: a process computes its own rows, and the rows of all are put together
before the loss. So all of them have the whole batch's loss, and each the part of its gradient that comes from its rows;
the parts are added up. The result is that of one process up to the order in which numbers are added.

Dropout draws for the rows of each process, so with it the numbers are others than those of one process. A "heads" phase
whose features are computed once has nothing to divide: every process does all of it.

Axes: J exits that a phase trains, B batch, C classes.
"""

import contextlib
import functools
import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from eecore.data import Dataset
from eecore.errors import SettingError, TrainingError
from eecore.models import MultiExit
from eecore.shapes import Float
from eecore.training import loop
from eecore.training.children import deaf
from eecore.training.loop import Progress
from eecore.training.moving import Moving
from eecore.training.objectives.checks import check_parallel
from eecore.training.phases import Phase
from eecore.training.recipe import Recipe
from eecore.training.together import LostError, Share, batch_norm, over_all, sum_gradient, sum_rows

__all__ = ["train_phase"]


def train_phase(
    model: MultiExit, dataset: Dataset, phase: Phase, recipe: Recipe, *, processes: int, **named: Any
) -> Progress:
    """As `eecore.training.loop.train_phase`, on `processes` processes; `named` are its other arguments.

    Each process holds all data. This one is the first of them, and the only one that calls `on_epoch`.

    Raises:
        SettingError: the phase cannot be divided, or this process may not start others.
        TrainingError: the loss is not finite, another process died, or they came to different weights.
    """
    check_parallel(processes, recipe, named.get("device", "cpu"))
    if processes == 1:
        return loop.train_phase(model, dataset, phase, recipe, **named)
    if multiprocessing.current_process().daemon or dist.is_initialized():
        raise SettingError(f"processes: {processes} cannot be started within a process that others started")
    same = {name: value for name, value in named.items() if name not in ("on_epoch", "keeps")}
    # as bytes: tensors would be shared, and every process moves weights of its own
    work = pickle.dumps((model, dataset, phase, recipe, same))
    with _team(work, processes) as (meeting, others):
        try:
            with _group(0, processes, meeting), _divided(model, Share(0, processes)):
                progress = loop.train_phase(model, dataset, phase, recipe, **named)
                _check_same(model)
        except RuntimeError as error:
            if not isinstance(error, LostError) and not any(process.exitcode for process in others):
                raise
            raise TrainingError(f"processes: one of {processes} died; what was stored stays") from error
    return progress


@contextlib.contextmanager
def _team(work: bytes, processes: int) -> Iterator[tuple[str, list[BaseProcess]]]:
    """Where all meet, and the other processes; they end with the block."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{folder}/meeting"
        others: list[BaseProcess] = [
            context.Process(target=_join, args=(rank, processes, meeting, work), daemon=True)
            for rank in range(1, processes)
        ]
        try:
            with deaf():
                for process in others:
                    process.start()
            yield meeting, others
            for process in others:
                process.join(60)
        finally:
            for process in others:
                if process.is_alive():
                    process.kill()
                    process.join()


def _join(rank: int, processes: int, meeting: str, work: bytes) -> None:
    """What another process does: the same phase; its progress is nobody's."""
    model, dataset, phase, recipe, named = pickle.loads(work)
    try:
        with _group(rank, processes, meeting), _divided(model, Share(rank, processes)):
            loop.train_phase(model, dataset, phase, recipe, keeps=lambda epochs: False, **named)
            _check_same(model)
    except (RuntimeError, TrainingError):  # the first process says what is wrong
        os._exit(1)


@contextlib.contextmanager
def _group(rank: int, processes: int, meeting: str) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _divided(model: MultiExit, share: Share) -> Iterator[None]:
    """For the length of a block, this process computes its rows of each batch alone."""
    model.requires_grad_(True)  # or there could be no hook
    hooks = [p.register_post_accumulate_grad_hook(functools.partial(sum_gradient, share)) for p in model.parameters()]
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.forward = functools.partial(batch_norm, norm, share)  # type: ignore[method-assign]
    plain = loop.Moving
    loop.Moving = functools.partial(_Divided, share)  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        loop.Moving = plain  # type: ignore[misc]
        for norm in norms:
            del norm.forward
        for hook in hooks:
            hook.remove()


class _Divided(Moving):
    """A phase's view of a network that computes a share of the rows and gets those of the others."""

    def __init__(self, share: Share, *everything: Any) -> None:
        self._share = share
        super().__init__(*everything)

    def _from_inputs(self, x: Tensor) -> Float[Tensor, "J B C"]:
        with self._share.rows(len(x)) as own:
            logits = super()._from_inputs(x[own])
        return sum_rows(logits.float(), own, len(x))


def _check_same(model: MultiExit) -> None:
    """Stop where the processes came to different weights, which only an error of ours could cause."""
    own = torch.stack([t.double().sum() for t in model.state_dict().values()])
    least, most = own.clone(), own.clone()
    over_all(least, dist.ReduceOp.MIN)
    over_all(most, dist.ReduceOp.MAX)
    if not torch.equal(least, most):
        raise TrainingError("processes: they came to different weights, which must not happen; train with 1")
