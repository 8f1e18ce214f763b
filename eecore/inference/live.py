"""Leaving for real: the network runs block by block, and samples that have left are taken out of the batch.

Axes: K exits, B samples of a batch, C classes (or outputs of a regression).
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.inference.checks import Number, Numbers
from eecore.inference.protocol import ExitRule, Judgement, Memory, Rule, checked
from eecore.inference.stepping import Named, limits_of, stepping
from eecore.models import MultiExit, rows
from eecore.models.backbone import State
from eecore.models.heads_cascade import arguments
from eecore.shapes import Float, Int

__all__ = ["Left", "live"]

Segment: TypeAlias = tuple[list[nn.Module], nn.Module]  # what lies between two exits, and the head of the second
Seen: TypeAlias = list[Tensor]  # logits of each exit so far, of the samples that were computed there
CLEAR = 1e-4  # much more than two ways to compute one probability differ by


class Left(NamedTuple):
    """How samples left.

    Args:
        taken: (B,), the exit at which each sample left, 0..K-1.
        answers: (B, C), float32, logits of the answer there (of a regression: the outputs).
        scores: (B,), how sure the rule was there.
        reached: K numbers, how many samples came to each exit; costs follow from them.
        computed: K numbers, how many were in the batch there: more than came where some who had left were carried on.
    """

    taken: Int[Tensor, " B"]
    answers: Float[Tensor, "B C"]
    scores: Float[Tensor, " B"]
    reached: list[int]
    computed: list[int]


@torch.no_grad()
def live(
    model: MultiExit,
    x: Tensor,
    rule: Rule = "confidence",
    threshold: Number | Numbers = 0.5,
    task: str | None = None,
    waste: Number = 0,
) -> Left:
    """Run one batch through a network that lets samples go as soon as the rule does.

    What is computed for a sample is what its own way costs: blocks and heads behind the exit where it leaves never see
    it. Exits and answers are those of `judge` and `exit_taken` on the logits of the whole network.

    Args:
        model: in eval mode.
        x: (B, ...), a batch of data, of at least one sample, on the model's device.
        rule: a name, or an object (see `exit_rules`). A rule of one's own (`register_rule`) is shown exits 1..k at k.
        threshold: in [0, 1], one number or one per exit, as in `exit_taken`.
        task: "classification" or "regression"; None: that of the rule.
        waste: share of the batch, in [0, 1], that may be samples who have left; the others are copied into a smaller
            batch once there are more. Answers do not depend on it.
    Returns:
        Exit, answer and score of every sample in the order of the batch, and how many reached each exit.
    Raises:
        SettingError: the model is in training mode, the batch is empty or of another form, thresholds or waste are not
            as above, the rule is unknown, for the other task, or was made for another network, or x or logits are not
            finite.
    """
    if model.training:
        raise SettingError("model: is in training mode, where a sample's answer depends on its batch; call eval()")
    if len(x) == 0:
        raise SettingError("x: the batch is empty; expected one sample or more")
    _check_form(model, x)
    if not 0 <= waste <= 1:
        raise SettingError(f"waste: expected a share of the batch from 0 to 1, got {waste}")
    known, limits = stepping(rule, task), limits_of(threshold, model.n_exits)
    seen: list[Tensor] = []
    left = (_one if len(x) == 1 else _several)(_segments(model), x, known, limits, float(waste), seen)
    _check_finite(seen, x)
    return left


def _check_form(model: MultiExit, x: Tensor) -> None:
    """Stop at samples of another form than the network is made for; images may be larger or smaller, texts shorter."""
    if model.made_for is None:
        return
    kind, sides, _ = model.made_for
    tokens = kind == "tokens"
    fits = x.ndim == 1 + len(sides) and (kind != "image" or x.shape[1] == sides[0])
    if x.dtype == torch.float64:  # as numpy makes it
        fits = fits and next((p.dtype for p in model.parameters()), x.dtype) == x.dtype
    if fits and x.is_floating_point() != tokens and not (x.dtype == torch.bool or x.is_complex()):
        return
    raise SettingError(
        f"x: expected (N, {', '.join(map(str, sides))}) of {'whole numbers' if tokens else 'torch.float32'}, got "
        f"{tuple(x.shape)} of {x.dtype}" + ("; for one sample, x[None]" if x.ndim == len(sides) else "")
    )


def _segments(model: MultiExit) -> list[Segment]:
    """For each exit the modules between the exit before and this one, and its head."""
    parts, found, first = model.backbone_modules(), [], 0
    for exit_, head in zip(model.exits, model.heads, strict=True):
        found.append((parts[first : exit_ + 2], head))  # the stem is part 0
        first = exit_ + 2
    return found


def _step(segment: Segment, state: State, before: Tensor | None) -> tuple[State, Tensor]:
    """State and logits at an exit, from the state and the logits at the one before."""
    parts, head = segment
    for part in parts:
        state = part(state)
    return state, head(*arguments(head, state, before))


def _one(segments: list[Segment], x: Tensor, rule: ExitRule, limits: list[float], waste: float, seen: Seen) -> Left:
    """`live` of one sample, which needs no book of who is where: what that costs is much beside a small network."""
    state: State = x
    memory: Memory = ()
    reached, last = [0] * len(segments), len(segments) - 1
    quick = isinstance(rule, Named) and rule.name == "confidence"
    for k, segment in enumerate(segments):
        state, logits = _step(segment, state, seen[-1] if seen else None)
        seen.append(logits)
        reached[k] = 1
        if quick and k < last and float(logits.float().softmax(1).amax()) < limits[k] - CLEAR:
            continue  # far from leaving: no need for the score to the last bit
        found = _judged(rule, logits, k, memory, len(segments))
        if k == last or float(found.score) > _rounded(limits[k], found.score):
            break
        memory = found.memory
    taken = torch.full((1,), k, device=x.device)
    return Left(taken, found.answer.float(), found.score.float(), reached, reached)


def _several(segments: list[Segment], x: Tensor, rule: ExitRule, limits: list[float], waste: float, seen: Seen) -> Left:
    """`live` of several samples."""
    last, inside = len(segments) - 1, _Inside(len(x), len(segments))
    state: State = x
    memory: Memory = ()
    before: Tensor | None = None  # logits of the exit before, which a head in a cascade reads
    for k, segment in enumerate(segments):
        state, before = _step(segment, state, before)
        seen.append(before)
        found = _judged(rule, before, k, memory, len(segments))
        inside.leave(found, found.score > limits[k] if k < last else None, k)
        if inside.gone == inside.size:
            break
        memory = found.memory
        if (stays := inside.gather(waste)) is not None:
            state, before = rows(state, stays), before[stays]
            memory = tuple(part[stays] for part in memory)
    return inside.left


class _Inside:
    """Who of a batch is where: rows that are computed, which of them have left, and what those answered.

    Attributes:
        size: rows that are computed.
        gone: how many of them have left already.
        left: what is known so far.
    """

    left: Left

    def __init__(self, samples: int, exits: int) -> None:
        self.size, self.gone = samples, 0
        self._samples, self._reached, self._computed = samples, [0] * exits, [0] * exits
        self._index: Tensor | None = None  # where in the batch each row belongs; None: all are there, in order
        self._outside: Tensor | None = None  # (size,), who has left; None: nobody

    def leave(self, found: Judgement, leaves: Tensor | None, k: int) -> None:
        """Write down the answers of those who leave at exit k; of those alone who had not left before.

        Args:
            found: of the rule, one row for each row that is computed.
            leaves: (size,), truth values; None: everybody.
        """
        self._reached[k], self._computed[k] = self.size - self.gone, self.size
        if self._outside is not None:
            leaves = ~self._outside if leaves is None else leaves & ~self._outside
        number = self.size - self.gone if leaves is None else int(leaves.sum())
        if number == self._samples:  # all at once, as a batch of one does
            taken = torch.full((number,), k, device=found.score.device)
            self._answer(taken, found.answer.float(), found.score.float())
        elif number:
            if self.gone == 0 and self.size == self._samples:
                empty = torch.empty_like(found.score, dtype=torch.int64)
                self._answer(empty, torch.empty_like(found.answer, dtype=torch.float32), torch.empty_like(found.score))
            self._write(found, torch.ones_like(found.score, dtype=torch.bool) if leaves is None else leaves, k)
        self.gone += number

    def gather(self, waste: float | int) -> Tensor | None:
        """Rows that go on in a smaller batch; None where too few have left for that."""
        if self._outside is None or self.gone <= waste * self.size:
            return None
        stays = (~self._outside).nonzero()[:, 0]
        self._index = stays if self._index is None else self._index[stays]
        self.size, self.gone, self._outside = len(stays), 0, None
        return stays

    def _answer(self, taken: Tensor, answers: Tensor, scores: Tensor) -> None:
        self.left = Left(taken, answers, scores.float(), self._reached, self._computed)

    def _write(self, found: Judgement, leaves: Tensor, k: int) -> None:
        which = leaves.nonzero()[:, 0]
        place = which if self._index is None else self._index[which]
        self.left.taken[place] = k
        self.left.answers[place] = found.answer[which].float()
        self.left.scores[place] = found.score[which].float()
        self._outside = leaves if self._outside is None else self._outside | leaves


def _judged(rule: ExitRule, logits: Float[Tensor, "B C"], k: int, memory: Memory, exits: int) -> Judgement:
    """What the rule says at exit k; what is not of this library has its scores checked."""
    if k == 0:
        rule.check(exits, logits.shape[1])
    found = rule.step(logits.float(), k, memory)
    return found if isinstance(rule, Named) else checked(rule, found)


def _rounded(limit: float, score: Tensor) -> float:
    """The threshold in the type of the score, as `exit_taken` compares them."""
    return limit if score.dtype == torch.float64 else float(np.float32(limit))


def _check_finite(seen: Seen, x: Tensor) -> None:
    """Stop where logits are not finite, as their sum then is not; one look for all exits, for a look costs time."""
    if math.isfinite(float(torch.cat(seen).sum())):
        return
    if x.is_floating_point() and not bool(x.isfinite().all()):
        first = int((~x.isfinite()).flatten(1).any(1).nonzero()[0])
        raise SettingError(f"x: sample {first} of its batch (from 0) holds values that are not finite")
    for k, logits in enumerate(seen):
        if not bool(logits.isfinite().all()):
            raise SettingError(f"logits: not finite at exit {k + 1}; expected numbers")
