"""What an exit rule is: it meets a sample's exits in turn, and says of each how sure it is and what it answers.

Axes: K exits, N samples, C classes, B samples of a batch.

The same step is taken with stored logits (`judge`) and in a network that runs (`eecore.inference.live`), so that the
two cannot differ. What a rule has to remember of a sample, such as its last answer, lies in its memory: tensors with
a row for each sample, so that samples that leave take their rows with them.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import check_logits
from eecore.shapes import Float

__all__ = ["ExitRule", "Judgement", "Memory", "Rule", "judge", "judgements"]

PART_ELEMENTS = 2**21  # logits of all exits that are judged at a time: 8 MiB in float32
ALIGNED = 1024  # parts end where vectors of a processor do, so that the last bits are those of all samples at once

Memory: TypeAlias = tuple[Tensor, ...]


class Judgement(NamedTuple):
    """What a rule says at one exit.

    Args:
        score: (B,), how sure, in [0, 1]; larger = surer.
        answer: (B, C), logits of the answer; the class with the largest one (the first of equals) is predicted.
        memory: what the next exit has to know of these samples.
    """

    score: Tensor
    answer: Tensor
    memory: Memory = ()


@runtime_checkable
class ExitRule(Protocol):
    """A rule that may answer with more than the logits of the exit at hand, or remember exits before it.

    Its settings, fitted ones too, are complete and checked when it is made; then it is a pure function.
    """

    @property
    def name(self) -> str:
        """What it is called in frames and errors."""
        ...

    def check(self, exits: int, classes: int) -> None:
        """Raise a SettingError where the rule was made for another number of exits or classes."""
        ...

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """Judge exit k, 0..K-1.

        Args:
            logits: float32, of exit k.
            k: the exit; called with 0, 1, ... in this order.
            memory: from the exit before, of the same samples; () at the first exit.
        """
        ...


Rule: TypeAlias = str | ExitRule  # the name of a function of logits, or an object


def judge(logits: Float[Tensor, "K N C"], rule: ExitRule) -> tuple[Float[Tensor, "K N"], Float[Tensor, "K N C"]]:
    """Score and answer of every exit about every sample, as if nobody left.

    Args:
        logits: of every exit, any floating type; computed in float32.
        rule: see `exit_rules` for those of this library.
    Returns:
        Scores in [0, 1] and logits of the answers, float32.
    Raises:
        SettingError: the logits are not (K, N, C) or not finite, the rule was made for other numbers of exits or
            classes, or it gives something that is no score.
    """
    logits = check_logits(logits)
    scores = torch.empty(logits.shape[:2], device=logits.device)
    answers = torch.empty(logits.shape, device=logits.device)
    for samples, k, found in judgements(logits, rule):
        scores[k, samples], answers[k, samples] = found.score, found.answer
    return scores, answers


def judgements(logits: Float[Tensor, "K N C"], rule: ExitRule) -> Iterator[tuple[slice, int, Judgement]]:
    """What a rule says of some samples at exit k, part by part: a rule may remember all exits of a sample, and that
    of all samples at once would be more than the logits themselves.

    Raises:
        SettingError: as in `judge`.
    """
    exits, total, classes = logits.shape
    rule.check(exits, classes)
    step = max(1, PART_ELEMENTS // (exits * classes * ALIGNED)) * ALIGNED
    for start in range(0, total, step):
        samples = slice(start, min(start + step, total))
        part = logits[:, samples].detach()
        if not bool(torch.isfinite(part).all()):
            raise SettingError("logits: not all finite; expected numbers")
        memory: Memory = ()
        for k in range(exits):
            found = checked(rule, rule.step(part[k].float(), k, memory))
            memory = found.memory
            yield samples, k, found


def checked(rule: ExitRule, found: Judgement) -> Judgement:
    """The judgement with scores in [0, 1].

    Raises:
        SettingError: it is off by more than rounding.
    """
    slack = 1e-5
    if not bool(((found.score >= -slack) & (found.score <= 1 + slack)).all()):  # NaN is not within either
        low, high = float(found.score.min()), float(found.score.max())
        raise SettingError(f"rule: {rule.name!r} must give scores in [0, 1], got {low}..{high}")
    return found._replace(score=found.score.clamp(0.0, 1.0))


def confidence_of(logits: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
    """Largest softmax probability of each row, as under "confidence"."""
    return (logits - logits.amax(dim=1, keepdim=True)).exp().sum(dim=1).reciprocal()
