"""Leaving for real: the network runs block by block, and samples that have left are taken out of the batch.

Axes: K exits, B samples of a batch, C classes (or outputs of a regression).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import Number, Numbers, check_thresholds
from eecore.inference.protocol import ExitRule, Judgement, Memory, Rule, checked
from eecore.inference.regression import regression_score
from eecore.inference.rules import REGRESSION_RULES, SIMPLE_RULES, check_rule, score
from eecore.models.multi_exit import MultiExit, rows
from eecore.shapes import Float, Int

__all__ = ["Left", "live"]


class Left(NamedTuple):
    """How a batch left.

    Args:
        taken: (B,), the exit at which each sample left, 0..K-1.
        answers: (B, C), float32, logits of the answer there (of a regression: the outputs).
        scores: (B,), how sure the rule was there.
        reached: K numbers, how many samples each exit was evaluated for; costs follow from them.
    """

    taken: Int[Tensor, " B"]
    answers: Float[Tensor, "B C"]
    scores: Float[Tensor, " B"]
    reached: list[int]


@dataclass(frozen=True)
class _Named:
    """A rule that is a name, as one that goes from exit to exit."""

    name: str

    def check(self, exits: int, classes: int) -> None:
        """A name fits every network."""

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """Score of this exit; memory: the logits of all exits so far, (B, k, C), where the rule may look at them."""
        if self.name in SIMPLE_RULES:
            return Judgement(score(logits[None], self.name)[0], logits)
        seen = torch.cat([memory[0], logits[:, None]], dim=1) if memory else logits[:, None]
        exits = seen.transpose(0, 1)
        judged = regression_score(exits, self.name) if self.name in REGRESSION_RULES else score(exits, self.name)
        return Judgement(judged[-1].to(logits.device), logits, (seen,))


@torch.no_grad()
def live(
    model: MultiExit, x: Tensor, rule: Rule = "confidence", threshold: Number | Numbers = 0.5, task: str | None = None
) -> Left:
    """Run a batch through a network that lets samples go as soon as the rule does.

    What is computed for a sample is what its own way costs: blocks and heads behind the exit where it leaves never see
    it. Exits and answers are those of `judge` and `exit_taken` on the logits of the whole network.

    Args:
        model: in eval mode.
        x: (B, ...), a batch of data, of at least one sample, on the model's device.
        rule: a name, or an object (see `exit_rules`). A rule of one's own (`register_rule`) is shown exits 1..k at k.
        threshold: in [0, 1], one number or one per exit, as in `exit_taken`.
        task: "classification" or "regression"; None: that of the rule.
    Returns:
        Exit, answer and score of every sample in the order of the batch, and how many reached each exit.
    Raises:
        SettingError: the model is in training mode, the batch is empty, the thresholds are not as above, the rule is
            unknown, for the other task, or was made for another network.
    """
    if model.training:
        raise SettingError("model: is in training mode, where a sample's answer depends on its batch; call eval()")
    if len(x) == 0:
        raise SettingError("x: the batch is empty; expected one sample or more")
    stepping = _stepping(rule, task)
    limits = check_thresholds(threshold)
    if len(limits) not in (1, model.n_exits):
        raise SettingError(f"threshold: expected one number or one per exit ({model.n_exits}), got {len(limits)}")
    limits = limits.repeat(model.n_exits) if len(limits) == 1 else limits
    return _run(model, x, stepping, limits.tolist())


def _stepping(rule: Rule, task: str | None) -> ExitRule:
    own = "regression" if rule in REGRESSION_RULES else "classification"
    known = check_rule(rule, task or own)
    return known if isinstance(known, ExitRule) else _Named(known)


def _run(model: MultiExit, x: Tensor, rule: ExitRule, limits: list[float]) -> Left:
    last, reached = model.n_exits - 1, [0] * model.n_exits
    inside = torch.arange(len(x), device=x.device)
    state: State = x
    memory: Memory = ()
    taken = torch.empty(len(x), dtype=torch.int64, device=x.device)
    scores = torch.empty(len(x), device=x.device)
    answers = torch.empty(0)
    before: Tensor | None = None  # logits of the exit before, which a head in a cascade reads
    for k in range(model.n_exits):
        state = model.advance(state, k)
        before = model.logits_at(state, k, before)
        logits = before.float()
        if k == 0:
            rule.check(model.n_exits, logits.shape[1])
            answers = torch.empty_like(logits)
        found = checked(rule, rule.step(logits, k, memory))
        reached[k] = len(inside)
        leaves = found.score > torch.as_tensor(limits[k], dtype=found.score.dtype) if k < last else inside >= 0
        here = inside[leaves]
        taken[here], scores[here], answers[here] = k, found.score[leaves].float(), found.answer[leaves]
        stays = ~leaves
        inside, memory = inside[stays], found.memory
        if len(inside) == 0:
            break
        if len(here):
            state, memory = rows(state, stays), tuple(part[stays] for part in memory)
            before = before[stays]
    return Left(taken, answers, scores, reached)
