"""What moves in a phase: its parameters, the logits it trains, its validation, and how all of it is stored.

Axes: K exits, J exits that a phase trains, N samples, B batch, C classes (or outputs of a regression).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from eecore.data import Dataset, Pixels, Target, augment, check_colours, mix
from eecore.data.streamed import Inputs
from eecore.models import MultiExit
from eecore.models.backbone import State
from eecore.models.heads_cascade import in_turn
from eecore.shapes import Float, Int
from eecore.training import phase_rules
from eecore.training.compiled import compiled
from eecore.training.lengths import by_length, lengths_of, without_padding
from eecore.training.losses import judge, losses_of
from eecore.training.phases import UNFREEZING, Phase, check_phases
from eecore.training.recipe import Recipe

ESTIMATED = 5000  # training samples, drawn once, from which averaged weights get the statistics of their batch norms
CACHE_BYTES = 2 * 2**30  # frozen features larger than this are computed again in every epoch


class Moving:
    """One phase's view of a network.

    Args:
        model: already on `device`.
        phase: which parameters move.
        recipe: loss, mixing of samples, ema and memory layout are used here.
        augmentation: name of an augmentation. Where inputs stay the same in all epochs, a frozen backbone is run once.
        dataset: train and validation splits are moved to `device`.
        device: where everything happens.
    """

    def __init__(
        self, model: MultiExit, phase: Phase, recipe: Recipe, augmentation: str, dataset: Dataset, device: str
    ) -> None:
        self.model, self.phase, self.recipe, self.augmentation = model, phase, recipe, augmentation
        check_phases((phase,), model.n_exits, dataset.task, recipe.mixes)
        self.exits = phase.trained_exits(model.n_exits)
        check_colours(augmentation, dataset)
        self.losses, self.task = losses_of(dataset.task, recipe), dataset.task
        self.x: Any = dataset.train.x.to(device)  # a tensor, or Pixels
        self.y = dataset.train.y.to(device)
        self._mean, self._std = dataset.mean.to(device), dataset.std.to(device)
        self._validation_x: Any = dataset.validation.x.to(device)
        if recipe.channels_last and dataset.kind == "image":
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.x = self.x.contiguous(memory_format=torch.channels_last)
            self._validation_x = self._validation_x.contiguous(memory_format=torch.channels_last)
        self._validation_y = dataset.validation.y.to(device)
        self._lengths = lengths_of(self.x) if recipe.batches == "by_length" else None
        self._forward: Callable[[Tensor], Tensor] = self._from_inputs
        if recipe.compile:
            self._forward = compiled(self._from_inputs, device)
        self._early_rest = False
        self.parameters = [p for m in self._moving(phase.epochs - 1) for p in m.parameters()]  # of the whole phase
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._average = [p.detach().clone() for p in self.parameters] if recipe.ema else []
        moved = [part for module in self._moving(phase.epochs - 1) for part in module.modules()] if recipe.ema else []
        self._norms = [part for part in moved if isinstance(part, _BatchNorm) and part.running_mean is not None]
        self._cache: list[Tensor] | None = None
        self._teacher: Tensor | None = None
        self._validation_cache: list[Tensor] | None = None
        if phase.trains == "heads":
            self._cache = None if augmentation != "none" or recipe.mixes else self._reduced_all(self.x)
            self._validation_cache = self._reduced_all(self._validation_x)

    def _moving(self, epoch: int) -> list[nn.Module]:
        """What moves in an epoch; in the last one that is all that ever moves."""
        model, phase = self.model, self.phase
        heads = [model.heads[k] for k in self.exits]
        if phase.trains == "heads":
            return heads
        if phase.exit is not None:
            return [*phase_rules.branch_modules(model, phase.exit), *heads]
        backbone = model.backbone_modules()
        if phase.rule in UNFREEZING:
            which = phase_rules.moving_parts(len(backbone), phase.rule, epoch, phase.epochs)
            return [*(backbone[i] for i in which), *heads]
        return [*backbone, *heads]

    def train_mode(self, epoch: int) -> None:
        """Train mode for what moves in an epoch; all else is frozen and in eval mode, batch norm included."""
        self.model.eval()
        self.model.requires_grad_(False)
        for module in self._moving(epoch):
            module.train()
            module.requires_grad_(True)

    def batches(self, batches: Iterator[Int[Tensor, " B"]]) -> Iterator[Int[Tensor, " B"]]:
        """The batches of an epoch; those of inputs that stay on disk are read ahead."""
        if self._lengths is not None:
            batches = by_length(batches, self._lengths)
        return self.x.ahead(batches) if isinstance(self.x, Pixels) and self._cache is None else batches

    def begin_step(self, step: int) -> None:
        """Put to rest what the phase's rule spares in a step, counted over the whole phase from 0."""
        self._early_rest = phase_rules.early_heads_rest(self.phase, step)
        if self.phase.rule == "alternating":
            for k in self.exits[:-1]:
                self.model.heads[k].train(not self._early_rest)

    # -- logits of a batch ------------------------------------------------------------------------------

    def forward(self, batch: Int[Tensor, " B"], generator: torch.Generator) -> tuple[Float[Tensor, "J B C"], Target]:
        """Logits of the exits in training on the training samples `batch`, changed at random, and their target."""
        self._batch, self._target = batch, Target(self.y[batch])
        if self._cache is not None:
            return self._heads([reduced[batch] for reduced in self._cache]), self._target
        x = self.x[batch] if self._lengths is None else without_padding(self.x[batch])
        x = augment(x, self.augmentation, generator, self._mean, self._std)
        if self.recipe.mixes:
            x, self._target = mix(x, self._target.y, generator, self.recipe.mixup, self.recipe.cutmix)
        self._inputs = x
        return self._forward(x), self._target

    def again(self, part: slice) -> tuple[Float[Tensor, "J B C"], Target]:
        """A part of the batch of the last `forward` once more, changed as it was, with the network as it is now."""
        target = Target._make(t if t is None else t[part] for t in self._target)
        if self._cache is not None:
            return self._heads([reduced[self._batch[part]] for reduced in self._cache]), target
        return self._from_inputs(self._inputs[part]), target

    @torch.no_grad()
    def frozen_logits(self) -> Float[Tensor, "B C"]:
        """Logits of the last exit on the batch of the last `forward`: a fixed teacher in a 'heads' phase."""
        last = self.model.n_exits - 1
        if self._cache is None:
            return self.model.forward_to(self._inputs, last)
        if self._teacher is None:
            self._teacher = torch.cat([self.model.forward_to(part, last) for part in self.x.split(500)])
        return self._teacher[self._batch]

    def _from_inputs(self, x: Tensor) -> Float[Tensor, "J B C"]:
        if self._early_rest or self.phase.rule == "detached":
            return torch.stack(phase_rules.detached_logits(self.model, x, learn=not self._early_rest))
        if self.phase.exit is not None:
            return phase_rules.branch_logits(self.model, x, self.phase.exit).unsqueeze(0)
        if self.phase.trains == "all":
            return self.model(x)
        if self.phase.trains == "backbone":
            return self.model.forward_to(x, self.exits[0]).unsqueeze(0)
        return self._heads(self._reduced(x))

    def ruled(
        self, each: Float[Tensor, "J B"], logits: Float[Tensor, "J B C"], target: Target, step: int
    ) -> Float[Tensor, "J B"]:
        """What the phase's rule leaves of the losses in a step, counted over the whole phase from 0."""
        return phase_rules.ruled_losses(self.phase, each, logits, target, step) if self.phase.rule else each

    def _heads(self, reduced: list[Tensor]) -> Float[Tensor, "J B C"]:
        return torch.stack(in_turn([self.model.heads[k] for k in self.exits], reduced, reduced=True))

    @torch.no_grad()
    def _reduced(self, x: Tensor) -> list[Tensor]:
        """What the heads in training see of the frozen backbone, which goes no further than the last of them."""
        state: State = x
        out = []
        for k in self.exits:
            state, head = self.model.advance(state, k), cast(Any, self.model.heads[k])
            out.append(head.reduce(state))
        return out

    def _reduced_all(self, x: Inputs) -> list[Tensor] | None:
        """Frozen features of all samples, or None where they do not fit."""
        self.model.eval()
        one = self._reduced(x[:1])
        if sum(r.nbytes for r in one) * len(x) > CACHE_BYTES:
            return None
        parts = [self._reduced(part) for part in x.split(500)]
        return [torch.cat([part[j] for part in parts]) for j in range(len(self.exits))]

    # -- validation -------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """The criterion over the exits in training, and the measures of each of them; see `judge`."""
        self.model.eval()
        with self._averaged():
            parts = []
            for start in range(0, len(self._validation_y), 500):
                part = slice(start, start + 500)
                if self._validation_cache is not None:
                    parts.append(self._heads([r[part] for r in self._validation_cache]))
                else:
                    parts.append(self._forward(self._validation_x[part]))
            logits = torch.cat(parts, dim=1).float()
        return judge(logits, self._validation_y, self.task, self.recipe)

    # -- moving average ---------------------------------------------------------------------------------

    @torch.no_grad()
    def average(self) -> None:
        """One step of the weights' moving average, where the recipe asks for one."""
        if self.recipe.ema:
            torch._foreach_lerp_(self._average, list[Tensor](self.parameters), 1 - self.recipe.ema)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights, with statistics of their own, in place of the raw ones, for the length of a block."""
        changed = [*self.parameters, *(t for norm in self._norms for t in norm.buffers())]
        raw = [t.detach().clone() for t in changed] if self._average else []
        try:
            self._take_average()
            yield
        finally:
            _copy(raw, changed)

    @torch.no_grad()
    def _take_average(self) -> None:
        """Put the averaged weights into the network, and estimate its batch norms' statistics for them.

        Running statistics are of the activations of the raw weights. Their average would not do either: activations of
        averaged weights are not averages of activations. It is the same computation at every call and after a kill.
        Source: Izmailov et al. 2018, SWA, arXiv:1803.05407, section 3.2.
        """
        _copy(self._average, self.parameters)
        if not self._norms:
            return
        modes = [(part, part.training) for part in self.model.modules()]
        momenta = [norm.momentum for norm in self._norms]
        self.model.eval()
        for norm in self._norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # every part counts the same
        which = torch.randperm(len(self.y), generator=torch.Generator().manual_seed(0))[:ESTIMATED].to(self.y.device)
        for part in which.tensor_split(-(-len(which) // 500)):
            if self._cache is not None:
                self._heads([reduced[part] for reduced in self._cache])
            else:
                self._from_inputs(self.x[part])
        for norm, momentum in zip(self._norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode

    # -- state ------------------------------------------------------------------------------------------

    def tensors(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Copies of all that changes: the model's state, the optimiser's moments and the average."""
        out = {f"model.{name}": t.detach().cpu().clone() for name, t in self.model.state_dict().items()}
        for i, state in optimizer.state_dict()["state"].items():
            out |= {f"optimizer.{i}.{name}": t.cpu().clone() for name, t in state.items() if t is not None}
        return out | {f"average.{i}": t.cpu().clone() for i, t in enumerate(self._average)}

    def best_tensors(self) -> dict[str, Tensor]:
        """The state that the phase would end with if no later epoch is better."""
        with self._averaged():
            return {f"best.{name}": t.detach().cpu().clone() for name, t in self.model.state_dict().items()}

    def restore(self, tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Go back to where `tensors` was taken."""
        if not tensors:
            return
        self.model.load_state_dict(_part(tensors, "model."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, "optimizer.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor.clone()
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        _copy([tensors[f"average.{i}"] for i in range(len(self._average))], self._average)

    def finish(self, tensors: dict[str, Tensor]) -> None:
        """Leave the model with the state that counts: the best one, the averaged one or the last one."""
        best = _part(tensors, "best.")
        if best:
            self.model.load_state_dict(best)
        else:
            self._take_average()
        for parameter in self.model.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
        self.model.train()


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Any]) -> None:
    for new, old in zip(source, target, strict=False):
        old.copy_(new)
