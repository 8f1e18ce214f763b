"""Loss weights of the exits: how much each of them counts.

K exits, J exits that a phase trains. All weights sum to one over the exits that a phase trains, so that the loss has
the scale of a mean and learning rate and clipping mean the same for all. Sources differ in this; only the ratios are
theirs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from eecore.errors import SettingError, choose
from eecore.shapes import Float
from eecore.training.objectives.names import WEIGHTS

__all__ = ["RunningMean", "check_weights", "exit_weights"]

START = 0.01  # of SDN's schedule
DECAY = 0.99  # of AdaLoss's running mean: our choice


def check_weights(weights: str | Sequence[float]) -> None:
    """Stop where these are no weights.

    Raises:
        SettingError: the name is not known, or a number is not above zero.
    Example:
        >>> check_weights("linear"), check_weights((1.0, 2.0))
        (None, None)
    """
    if isinstance(weights, str):
        choose("weights", weights, WEIGHTS)
    elif not weights or not all(0 < weight < float("inf") for weight in weights):
        raise SettingError(f"weights: expected numbers above 0, one for each exit, got {list(weights)}")


def exit_weights(
    weights: str | Sequence[float], costs: Float[Tensor, " K"], progress: float | int = 1.0
) -> Float[Tensor, " K"]:
    """Weight of each exit, summing to one.

    Args:
        weights: a name of `WEIGHTS`, or K numbers above zero. "adaloss" starts out uniform, see `RunningMean`.
        costs: MACs to each exit, the heads passed on the way included.
        progress: share of the phase's steps that are done, in [0, 1]; "sdn" depends on it.
    Raises:
        SettingError: the name is not known, or there are not K numbers above zero.
    Source:
        "sdn": Kaya et al. 2019, arXiv:1810.07052: a_k = min(C_k, 0.01 + C_k t / T) with C_k the share of the whole
        network's cost, and 1 at the last exit. There t counts epochs, here steps.
    Example:
        >>> exit_weights("last_doubled", torch.tensor([1.0, 2.0, 4.0]))
        tensor([0.2500, 0.2500, 0.5000])
        >>> exit_weights("inverse_cost", torch.tensor([1.0, 2.0, 4.0]))
        tensor([0.5714, 0.2857, 0.1429])
    """
    check_weights(weights)
    if not isinstance(weights, str):
        if len(weights) != len(costs):
            raise SettingError(f"weights: {len(weights)} numbers came for {len(costs)} exits")
        return normalised(torch.tensor(weights, dtype=costs.dtype, device=costs.device))
    place = torch.arange(1, len(costs) + 1, dtype=costs.dtype, device=costs.device)
    if weights == "linear":
        return normalised(place)
    if weights == "decreasing":
        return normalised(place.flip(0))
    if weights == "inverse_cost":
        return normalised(1 / costs)
    last = place == len(costs)
    if weights == "last_doubled":
        return normalised(1.0 + last)
    if weights == "sdn":
        share = costs / costs[-1]
        return normalised(torch.where(last, 1.0, torch.minimum(share, START + share * progress)))
    return normalised(torch.ones_like(costs))


def normalised(weights: Float[Tensor, " J"]) -> Float[Tensor, " J"]:
    """The same ratios, summing to one."""
    return weights / weights.sum()


class RunningMean:
    """AdaLoss: each exit weighs the inverse of the running mean of its own loss.

    So all weighted losses are about equal, and exits with large losses, the early ones, do not dominate.

    Args:
        exits: J.
        device: of the losses.
    Source:
        Hu et al. 2019, arXiv:1708.06832. The exponential mean and its decay of 0.99 a step are our choice.
    """

    def __init__(self, exits: int, device: torch.device | str = "cpu") -> None:
        # The mean, and the sum of the shares that have gone into it: its ratio has no bias towards the start.
        self.mean, self.share = torch.zeros(exits, device=device), torch.zeros((), device=device)

    def weights(self, losses: Float[Tensor, " J"]) -> Float[Tensor, " J"]:
        """Weights after one more step, whose losses are these; no gradient flows through them."""
        self.mean = torch.lerp(losses.detach().float(), self.mean, DECAY)
        self.share = DECAY * self.share + (1 - DECAY)
        return normalised(1 / (self.mean / self.share).clamp(min=1e-8))
