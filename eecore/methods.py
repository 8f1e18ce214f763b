"""Whole methods by name, and the parts that they are made of: data, no code.

A method is a choice from each of seven lists (`eecore.ingredients`): a regime, the heads and their places, the weights
of the exits' losses, what is done with their gradients, distillation, and the rule by which a sample leaves.
"""

from dataclasses import dataclass

import pandas as pd

from eecore.errors import choose
from eecore.ingredients import KINDS, parts
from eecore.models import heads

__all__ = ["METHODS", "Method", "method", "table"]


@dataclass(frozen=True)
class Method:
    """A published method, as a choice of parts.

    Args:
        name: in lower case.
        title: what it is called.
        regime, head, exits: as in a `Run`.
        rule: of leaving.
        weights, gradients, distillation: of the loss.
        source: authors, year and number.
        differs: what of the publication these parts do not cover, or what is chosen here.
    Raises:
        SettingError: a part has a name that is not known.
    """

    name: str
    title: str
    regime: str
    head: str
    exits: str
    rule: str
    weights: str
    gradients: str
    distillation: str
    source: str
    differs: str

    def __post_init__(self) -> None:
        for kind in KINDS:
            known = heads.names() if kind == "head" else [part.name for part in parts(kind)]
            choose(kind, getattr(self, kind), known)


METHODS = {
    one.name: one
    for one in (
        Method(
            *("sdn", "Shallow-Deep Networks", "joint", "pooled", "sdn", "confidence", "sdn", "sum", "none"),
            "Kaya et al. 2019, arXiv:1810.07052",
            "for a network that is trained already, its heads alone are trained: disjoint",
        ),
        Method(
            *("pbee", "Patience-based early exit", "joint", "linear", "every", "patience", "linear", "sum", "none"),
            "Zhou et al. 2020, arXiv:2006.04152",
            "published for fine-tuned language models",
        ),
        Method(
            *("gpf", "Global past-future", "joint", "linear", "every", "entropy", "linear", "sum", "none"),
            "Liao et al. 2021, NAACL, doi:10.18653/v1/2021.naacl-main.162",
            "its heads also read earlier states and imitated later ones, which is not here; the rule is our choice",
        ),
        Method(
            *("ztw", "Zero time waste", "disjoint", "cascade", "sdn", "ensemble", "uniform", "sum", "none"),
            "Wołczyk et al. 2021, arXiv:2106.05409",
            "the places are our choice",
        ),
        Method(
            *("l2w", "Learning to weight", "joint", "msdnet", "every", "confidence", "l2w", "sum", "none"),
            "Han et al. 2022, arXiv:2209.08310",
            "here for any network that gives feature maps",
        ),
        Method(
            *(
                "msdnet",
                "Multi-scale dense net",
                "joint",
                "msdnet",
                "every",
                "confidence",
                "uniform",
                "sum",
                "none",
            ),
            "Huang et al. 2018, arXiv:1703.09844",
            "the network is a part of it: msdnet5 and its like",
        ),
        Method(
            *("dsn", "Deeply-supervised nets", "joint", "auto", "every", "confidence", "uniform", "sum", "none"),
            "Lee et al. 2015, arXiv:1409.5185",
            "published as an aid to training; leaving early, heads and weights are our choice",
        ),
        Method(
            *("ge", "Gradient equilibrium", "joint", "msdnet", "every", "confidence", "uniform", "equilibrium", "none"),
            "Li et al. 2019, arXiv:1908.06294",
            "published together with ways to pass knowledge between exits, which are not in it here",
        ),
    )
}


def method(name: str) -> Method:
    """The method called `name`.

    Raises:
        SettingError: it is not known.
    Example:
        >>> method("ztw").head
        'cascade'
    """
    return METHODS[choose("method", name, METHODS)]


def table() -> pd.DataFrame:
    """All methods: one row each, a column for each kind of part."""
    rows = []
    for one in METHODS.values():
        made_of = {kind: getattr(one, kind) for kind in KINDS}
        rows.append({"method": one.name, "title": one.title, **made_of, "source": one.source, "differs": one.differs})
    return pd.DataFrame(rows)
