"""A rule and thresholds as a network that runs needs them: an object that goes from exit to exit, a number for each.

Axes: K exits, B samples of a batch, C classes (or outputs of a regression).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import Number, Numbers, check_thresholds
from eecore.inference.protocol import ExitRule, Judgement, Memory, Rule
from eecore.inference.regression import regression_score
from eecore.inference.rules import REGRESSION_RULES, SIMPLE_RULES, certainty_of, check_rule, score
from eecore.shapes import Float

__all__ = ["Named", "limits_of", "stepping"]


@dataclass(frozen=True)
class Named:
    """A rule that is a name, as one that goes from exit to exit."""

    name: str

    def check(self, exits: int, classes: int) -> None:
        """A name fits every network."""

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """Score of this exit; memory: the logits of all exits so far, (B, k, C), where the rule may look at them."""
        if self.name in SIMPLE_RULES:
            return Judgement(certainty_of(logits, self.name), logits)
        seen = torch.cat([memory[0], logits[:, None]], dim=1) if memory else logits[:, None]
        exits = seen.transpose(0, 1)
        judged = regression_score(exits, self.name) if self.name in REGRESSION_RULES else score(exits, self.name)
        return Judgement(judged[-1].to(logits.device), logits, (seen,))


def stepping(rule: Rule, task: str | None = None) -> ExitRule:
    """The rule as an object that goes from exit to exit, whether it came as a name or as one.

    Raises:
        SettingError: it is unknown, or for the other task.
    """
    own = "regression" if rule in REGRESSION_RULES else "classification"
    known = check_rule(rule, task or own)
    return Named(known) if isinstance(known, str) else known


def limits_of(threshold: Number | Numbers, exits: int) -> list[float]:
    """One threshold for each exit.

    Raises:
        SettingError: they are not in [0, 1], or neither one nor one per exit.
    """
    if isinstance(threshold, float) and 0.0 <= threshold <= 1.0:  # no array for what is seen at a glance
        return [threshold] * exits
    limits = check_thresholds(threshold)
    if len(limits) not in (1, exits):
        raise SettingError(f"threshold: expected one number or one per exit ({exits}), got {len(limits)}")
    return (limits.repeat(exits) if len(limits) == 1 else limits).tolist()
