"""Every exit rule of classification by name: what it is, whence, and how it is made for a network.

Axes: K exits, N samples, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from eecore.errors import choose
from eecore.inference.checks import check_logits
from eecore.inference.combining import Caching, GeometricEnsemble, ProductOfExperts
from eecore.inference.counting import patience, votes
from eecore.inference.gate import LearnedGate
from eecore.inference.protocol import ExitRule, Rule
from eecore.inference.rules import check_rule, rules
from eecore.shapes import Float, Int

__all__ = ["AboutRule", "exit_rules", "make_rule"]


@dataclass(frozen=True)
class AboutRule:
    """What a rule is.

    Args:
        title: who leaves, in one line.
        source: of the idea; what differs is said where the rule is defined.
        answers: whether it changes what an exit answers, and not only who leaves there.
        fitted: whether it is fitted on validation samples.
    """

    title: str
    source: str
    answers: bool = False
    fitted: bool = False


_OWN = AboutRule("a rule of one's own, see register_rule", "–")
_ABOUT = {
    "confidence": AboutRule("largest probability above t", "Kaya et al. 2019, arXiv:1810.07052"),
    "entropy": AboutRule("1 - H(p) / log C above t", "Teerapittayanon et al. 2016, arXiv:1709.01686"),
    "margin": AboutRule("largest minus second largest probability above t", "folklore"),
    "patience": AboutRule("the same prediction at t exits in a row", "Zhou et al. 2020, arXiv:2006.04152"),
    "votes": AboutRule("t exits agree; their class is the answer", "Sun et al. 2021, arXiv:2105.13792", True),
    "gate": AboutRule(
        "a fitted sigmoid of confidence, entropy and margin above t", "Regol et al. 2023, arXiv:2310.09163", fitted=True
    ),
    "ensemble": AboutRule(
        "confidence of a fitted geometric mean of the exits so far", "Wołczyk et al. 2021, arXiv:2106.05409", True, True
    ),
    "product": AboutRule("confidence of the product of the exits so far", "Jazbec et al. 2023, arXiv:2306.02652", True),
    "caching": AboutRule(
        "confidence; the answer of the surest exit so far", "Jazbec et al. 2023, arXiv:2306.02652", True
    ),
}
_MADE: dict[str, Callable[[Tensor, Tensor], ExitRule]] = {
    "patience": lambda logits, labels: patience(len(logits)),
    "votes": lambda logits, labels: votes(len(logits)),
    "gate": LearnedGate.fit,
    "ensemble": GeometricEnsemble.fit,
    "product": lambda logits, labels: ProductOfExperts(),
    "caching": lambda logits, labels: Caching(),
}


def exit_rules() -> dict[str, AboutRule]:
    """Every exit rule of classification: name -> what it is.

    Example:
        >>> list(exit_rules())[:4]
        ['confidence', 'entropy', 'margin', 'patience']
    """
    return _ABOUT | {name: _OWN for name in rules() if name not in _ABOUT}


def make_rule(name: str, validation_logits: Float[Tensor, "K N C"], validation_labels: Int[Tensor, " N"]) -> Rule:
    """The rule of that name for a network, ready for `curve`, `outcome`, `budget_table` and `live`.

    Args:
        name: one of `exit_rules`.
        validation_logits, validation_labels: what rules are fitted on; others take the number of exits from them.
    Returns:
        A name where the rule is a function of one exit's logits, else an object.
    Raises:
        SettingError: the name is not known or that of a rule of regression, or shapes do not fit.
    """
    if name in rules("regression"):
        check_rule(name, "classification")
    choose("rule", name, exit_rules())
    logits = check_logits(validation_logits)
    return _MADE[name](logits, validation_labels) if name in _MADE else name
