"""Rules that count how often exits agree: patience and votes.

Axes: K exits, B samples, C classes.

Both are stated with a number of times t: leave at the first exit where the same class has been said t times (one after
the other, or in all). Here the count r at an exit, 1..k, becomes the score r / K. The threshold (t - 1/2) / K lies
between the scores of t - 1 and of t, so that `exit_taken`, which asks for strictly more, lets a sample leave at count t
whatever the rounding. So t = 1 sends everyone out at the first exit, and t = K nobody before the last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from eecore.errors import SettingError, choose
from eecore.inference.protocol import Judgement, Memory
from eecore.shapes import Float

__all__ = ["Agreement", "patience", "votes"]


@dataclass(frozen=True)
class Agreement:
    """A rule that counts agreement: made by `patience` or `votes`.

    Args:
        name: "patience" or "votes".
        exits: K of the network.
        times: t, from 1 to K; None where thresholds are chosen otherwise, as on a curve.
    Raises:
        SettingError: the name is another, or that many exits cannot agree so often.
    """

    name: str
    exits: int
    times: int | None = None

    def __post_init__(self) -> None:
        choose("name", self.name, _STEPS)
        if not _whole(self.exits) or self.exits < 1:
            raise SettingError(f"exits: expected the number of exits of the network, got {self.exits!r}")
        if self.times is not None:
            self.threshold_of(self.times)

    @property
    def threshold(self) -> float:
        """The threshold that stands for `times`."""
        if self.times is None:
            raise SettingError(f"times: {self.name!r} was made without; say how often, from 1 to {self.exits}")
        return self.threshold_of(self.times)

    def threshold_of(self, times: int) -> float:
        """The threshold that lets a sample leave once its count is `times`."""
        if not _whole(times) or not 1 <= times <= self.exits:
            raise SettingError(
                f"times: {self.name!r} of {times!r} cannot be met by {self.exits} exits; allowed: 1 to {self.exits}"
            )
        return (times - 0.5) / self.exits

    def check(self, exits: int, classes: int) -> None:
        """Raise a SettingError where the network has another number of exits."""
        if exits != self.exits:
            raise SettingError(f"rule: {self.name!r} was made for {self.exits} exits, here are {exits}")

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """Count / K at this exit."""
        count, answer, memory = _STEPS[self.name](logits, memory)
        return Judgement(count / self.exits, answer, memory)


def patience(exits: int, times: int | None = None) -> Agreement:
    """Leave once the same class has been predicted `times` times one after the other.

    Args:
        exits, times: as in `Agreement`.
    Raises:
        SettingError: that many exits cannot agree so often.
    Source:
        Zhou et al. 2020 (PABEE), arXiv:2006.04152. Its patience counts agreements with the exit before, ours
        predictions: one more.
    Example:
        >>> patience(exits=3, times=2).threshold
        0.5
        >>> patience(exits=2, times=5)
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: times: 'patience' of 5 cannot be met by 2 exits; allowed: 1 to 2
    """
    return Agreement("patience", exits, times)


def votes(exits: int, times: int | None = None) -> Agreement:
    """Leave once `times` exits have voted for the same class, one after the other or not; that class is the answer.

    Of classes with equally many votes the one that this exit finds most likely is taken. An answer's logits are votes
    plus half the exit's probabilities: they order classes, and are no probabilities.

    Args:
        exits, times: as in `Agreement`.
    Raises:
        SettingError: as in `patience`.
    Source:
        After the voting of Sun et al. 2021, arXiv:2105.13792, with the plain number of votes as the score.
    """
    return Agreement("votes", exits, times)


def _patience(logits: Float[Tensor, "B C"], memory: Memory) -> Judgement:
    """Length of the present run of equal predictions; memory: the last prediction and its run."""
    said = logits.max(dim=1).indices
    run = torch.ones_like(said)
    if memory:
        before, length = memory
        run = torch.where(said == before, length + 1, run)
    return Judgement(run.float(), logits, (said, run))


def _votes(logits: Float[Tensor, "B C"], memory: Memory) -> Judgement:
    """Votes of the leading class; memory: votes of every class."""
    said = logits.max(dim=1).indices
    before = memory[0] if memory else torch.zeros_like(logits)
    counts = before.scatter_add(1, said[:, None], torch.ones_like(logits[:, :1]))
    return Judgement(counts.amax(dim=1), counts + logits.softmax(dim=1) / 2, (counts,))


_STEPS: dict[str, Callable[[Tensor, Memory], Judgement]] = {"patience": _patience, "votes": _votes}


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
