"""L2W: a small network gives each sample a weight at each exit, and learns to by looking one step ahead.

J exits that a phase trains, B batch, C classes.
"""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from eecore.data import Target
from eecore.shapes import Float, Int
from eecore.training.moving import Moving

__all__ = ["SampleWeights", "allotted", "around_one"]

HIDDEN = 500  # units of the weight network
REACH = 0.8  # how far a weight may be from one before the exits' mean is taken off
LATE = 30 / 20  # p / 20: each exit is to have 1.5 times the samples of the one before
RATE, DECAY = 1e-3, 1e-4  # of the weight network's Adam


def around_one(raw: Float[Tensor, "B J"]) -> Float[Tensor, "B J"]:
    """Weights with mean one over the exits of each sample, from numbers in [-1, 1].

    Example:
        >>> around_one(torch.tensor([[1.0, -1.0], [0.5, 0.5]]))
        tensor([[1.8000, 0.2000],
                [1.0000, 1.0000]])
    """
    return 1 + REACH * (raw - raw.mean(dim=1, keepdim=True))


def allotted(logits: Float[Tensor, "J B C"], late: float = LATE) -> Int[Tensor, " B"]:
    """The exit to which each sample is allotted: its share q_k ~ late^k of the batch, the most confident ones first.

    Exit 1 takes the floor(q_1 B) samples that it is surest of, exit 2 of the rest its own, and so on; the last exit
    takes what is left.

    Source:
        Han et al. 2022, arXiv:2209.08310.
    Example:
        >>> sure = torch.tensor([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]])  # at both exits
        >>> allotted(torch.stack([sure, sure]), late=1.0)
        tensor([0, 1, 1])
    """
    exits, batch, _ = logits.shape
    shares = torch.tensor([late ** (k + 1) for k in range(exits)], dtype=torch.float64)
    counts = [math.floor(share * batch) for share in (shares / shares.sum()).tolist()]
    confidence = logits.detach().softmax(dim=2).amax(dim=2)
    taken = torch.full((batch,), exits - 1, device=logits.device)
    free = torch.ones(batch, dtype=torch.bool, device=logits.device)
    for k in range(exits - 1):
        chosen = confidence[k].masked_fill(~free, -1.0).topk(counts[k]).indices
        taken[chosen], free[chosen] = k, False
    return taken


class _Again(nn.Module):
    """The batch of a phase's last `forward`, as a function of the network's parameters."""

    def __init__(self, moving: Moving) -> None:
        super().__init__()
        self.model, self.moving = moving.model, moving

    def forward(self, part: slice) -> tuple[Float[Tensor, "J B C"], Target]:
        return self.moving.again(part)


class SampleWeights:
    """The weight network of one phase, and its learning.

    In each step half of the batch takes a step of plain gradient descent that is not kept, with the weights as they
    are; the other half, each sample at the exit that it is allotted to, says how good that step was; and the weight
    network moves to make it better. The halves change roles from step to step. Then the whole batch is weighed.

    Args:
        moving: the phase's view of the network.
        rate: of the step that is not kept.
    Source:
        Han et al. 2022, arXiv:2209.08310. One step of learning a step, plain gradient descent for the step that is not
        kept, p = 30, and that the network starts from the same numbers in every run are our choices.
    """

    def __init__(self, moving: Moving, rate: float) -> None:
        self._again, self.losses, self.rate = _Again(moving), moving.losses, rate
        exits, device = len(moving.exits), moving.y.device
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = (nn.Linear(exits, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, exits), nn.Tanh())
            self.network = nn.Sequential(*layers).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=RATE, weight_decay=DECAY)

    def weights(self, each: Float[Tensor, "J B"]) -> Float[Tensor, "J B"]:
        """Weight of each exit and sample whose losses are `each`; no gradient flows into the losses."""
        return around_one(self.network(each.detach().T)).T

    def step(self, each: Float[Tensor, "J B"], step: int) -> Float[Tensor, "J B"]:
        """Learn from the batch of the phase's last `forward`; return the weights of its samples, detached."""
        half = each.shape[1] // 2
        if half > 1:  # one sample has no statistics for batch norm
            halves = slice(0, half), slice(half, None)
            self.optimizer.zero_grad()
            found = torch.autograd.grad(self.ahead(*halves[:: -1 if step % 2 else 1]), [*self.network.parameters()])
            for parameter, gradient in zip(self.network.parameters(), found, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
        return self.weights(each).detach()

    def ahead(self, first: slice, second: slice) -> Float[Tensor, ""]:
        """Mean loss of the samples `second`, each at its exit, after a step that the weights of `first` decide."""
        moves: dict[str, Tensor] = {name: p for name, p in self._again.named_parameters() if p.requires_grad}
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
            logits, target = self._called(moves, first)
            each = self.losses(logits.float(), target)
            loss = (self.weights(each) * each).mean()
            found = torch.autograd.grad(loss, [*moves.values()], create_graph=True, allow_unused=True)
            slopes = [torch.zeros_like(p) if g is None else g for p, g in zip(moves.values(), found, strict=True)]
            moved = {name: p - self.rate * g for (name, p), g in zip(moves.items(), slopes, strict=True)}
            logits, target = self._called(moved, second)
        after = self.losses(logits.float(), target)
        return after.gather(0, allotted(logits)[None]).mean()

    def _called(self, parameters: dict[str, Tensor], part: slice) -> tuple[Float[Tensor, "J B C"], Target]:
        """Logits with these parameters; statistics of batch norm go into copies."""
        copies = {name: buffer.clone() for name, buffer in self._again.named_buffers()}
        return functional_call(self._again, {**parameters, **copies}, (part,))

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all that changes from step to step."""
        out = {f"network.{name}": t.detach().cpu().clone() for name, t in self.network.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            out |= {f"adam.{i}.{name}": t.cpu().clone() for name, t in state.items()}
        return out

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to where `tensors` was taken."""
        names = self.network.state_dict()
        self.network.load_state_dict({name: tensors[f"network.{name}"] for name in names})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = tensor.clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
