"""What a method can be made of: every part by name, with one line and its source.

The lists are kept where their parts are built; here is what each name means.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from eecore import inference
from eecore.errors import choose
from eecore.inference.criteria import AboutRule
from eecore.training import regime, regimes
from eecore.training.objectives import DISTILLATIONS, GRADIENTS, WEIGHTS, Ingredient

__all__ = ["KINDS", "Part", "parts"]

KINDS = {  # kind of part, as a field of `eecore.methods.Method` -> its title
    "regime": "regimes",
    "rule": "exit rules",
    "head": "heads",
    "exits": "places of the exits",
    "weights": "loss weights",
    "gradients": "gradient rules",
    "distillation": "distillations",
}


@dataclass(frozen=True)
class Part:
    """One line about a part: its name, what it does, and where it comes from."""

    name: str
    title: str
    source: str


def _parts(*rows: tuple[str, str, str]) -> tuple[Part, ...]:
    return tuple(Part(*row) for row in rows)


_COMMON = "no single source"
_ABOUT = {
    "head": _parts(
        ("auto", "the network's own head where it has one, else pooled on maps and linear elsewhere", _COMMON),
        ("linear", "mean over positions, one linear map", "Teerapittayanon et al. 2016, arXiv:1709.01686"),
        ("pooled", "learned mixture of max and average pooling to 4 x 4, linear", "Kaya et al. 2019, arXiv:1810.07052"),
        ("msdnet", "two convolutions of stride 2, mean, linear", "Huang et al. 2018, arXiv:1703.09844"),
        ("class_token", "the class token, one linear map", "Dosovitskiy et al. 2021, arXiv:2010.11929"),
        ("conv:1 to conv:5", "1 to 5 convolutions, then pooled", "ablation of head sizes, arXiv:2407.14320"),
        (
            "mlp:1 to mlp:5",
            "mean over positions, perceptron of 1 to 5 layers",
            "ablation of head sizes, arXiv:2407.14320",
        ),
        ("class_mlp:1 to class_mlp:5", "the same on the class token", "ablation of head sizes, arXiv:2407.14320"),
        (
            "cascade, cascade:HEAD",
            "any of these, reading the logits of the exit before too",
            "Wołczyk et al. 2021, arXiv:2106.05409",
        ),
    ),
    "exits": _parts(
        ("every", "behind each block", _COMMON),
        ("every:n", "behind each n-th block, counted back from the last", _COMMON),
        ("macs:n", "n exits at nearly equal steps of cost", _COMMON),
        ("fractions:a,b", "behind the blocks nearest to these fractions of the cost", "arXiv:1810.07052"),
        ("sdn", "the fractions 0.15, 0.3, 0.45, 0.6, 0.75, 0.9", "Kaya et al. 2019, arXiv:1810.07052"),
        ("[0, 2]", "behind these blocks and the last", _COMMON),
    ),
}

_NOTHING = {"distillation": _parts(("none", "labels only", _COMMON))}


def parts(kind: str) -> tuple[Part, ...]:
    """All parts of a kind that have a name.

    Args:
        kind: a key of `KINDS`.
    Raises:
        SettingError: it is none.
    """
    if choose("kind", kind, KINDS) == "regime":
        return tuple(Part(name, regime(name).title, regime(name).source) for name in regimes())
    if kind in _ABOUT:
        return _ABOUT[kind]
    here = tuple(Part(name, about.title, about.source) for name, about in _built(kind).items())
    return (*_NOTHING.get(kind, ()), *here)


def _built(kind: str) -> Mapping[str, AboutRule | Ingredient]:
    """Rules and objectives that are there, by name."""
    if kind == "rule":
        return inference.exit_rules()
    return {"weights": WEIGHTS, "gradients": GRADIENTS, "distillation": DISTILLATIONS}[kind]
