"""Regimes: a way to train an early-exit network is a name and a tuple of phases, nothing else.

Phase 1 trains the backbone with its own head, phase 2 the backbone and every head, phase 3 the other heads on
the frozen backbone. Source: Krzepkowski et al., arXiv:2407.14320 (disjoint = 1+3, joint = 2, mixed = 1+2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from eecore.errors import SettingError, choose

Trains = Literal["backbone", "all", "heads"]


@dataclass(frozen=True)
class Phase:
    """One stretch of training: which parameters move, and for how long.

    Args:
        trains: "backbone" (stem, blocks and the last head; all other heads are off), "all" (backbone and
            every head, one weighted loss) or "heads" (every head but the last; the backbone is frozen and in
            eval mode).
        epochs: passes over the training split, at least 1.
    Raises:
        SettingError: `trains` is unknown or `epochs` is not a positive integer.
    """

    trains: Trains
    epochs: int

    def __post_init__(self) -> None:
        choose("trains", self.trains, get_args(Trains))
        if isinstance(self.epochs, bool) or not isinstance(self.epochs, int) or self.epochs < 1:
            raise SettingError(f"epochs: expected an integer of at least 1, got {self.epochs!r}")


Phases = tuple[Phase, ...]


def disjoint(backbone_epochs: int, heads_epochs: int) -> Phases:
    """Backbone first; then the heads on the frozen backbone."""
    return (Phase("backbone", backbone_epochs), Phase("heads", heads_epochs))


def joint(all_epochs: int) -> Phases:
    """Backbone and heads together, from the start."""
    return (Phase("all", all_epochs),)


def mixed(backbone_epochs: int, all_epochs: int) -> Phases:
    """Backbone first; then backbone and heads together."""
    return (Phase("backbone", backbone_epochs), Phase("all", all_epochs))


def joint_long(backbone_epochs: int, all_epochs: int) -> Phases:
    """Joint for all the epochs that mixed spends in its two phases: the control for training cost."""
    return joint(backbone_epochs + all_epochs)


@dataclass(frozen=True)
class Regime:
    """A named way to train: `make(epochs)` gives its phases when each phase lasts `epochs`."""

    name: str
    title: str
    make: Callable[[int], Phases]
    source: str


_REGIMES: dict[str, Regime] = {}


def register_regime(name: str, make: Callable[[int], Phases], title: str = "", source: str = "") -> Regime:
    """Make a regime known under `name`, in every table, figure and command.

    Args:
        name: a lower-case identifier that is not taken.
        make: epochs per phase -> tuple of phases.
        title: one line for tables; the name if empty.
        source: where the regime comes from.
    Raises:
        SettingError: the name is no identifier, is taken by another regime, or `make` gives no phases.

    Example:
        >>> r = register_regime("warm_heads", lambda epochs: (Phase("heads", 1), Phase("all", epochs)))
        >>> regime("warm_heads").make(5)[1]
        Phase(trains='all', epochs=5)
    """
    if not name.isidentifier():
        raise SettingError(f"regime: a name is letters, digits and underscores, got {name!r}")
    _check_phases(name, make(1))
    _REGIMES[name] = Regime(name, title or name, make, source)
    return _REGIMES[name]


def _check_phases(name: str, phases: object) -> Phases:
    if not isinstance(phases, tuple) or not phases or not all(isinstance(p, Phase) for p in phases):
        raise SettingError(f"phases: regime {name!r} needs a tuple of Phase, at least one, got {phases!r}")
    return phases


def regimes() -> list[str]:
    """Names of all known regimes, the built-in ones first."""
    return list(_REGIMES)


def regime(name: str) -> Regime:
    """The regime called `name`.

    Raises:
        SettingError: it is not known; the message lists the known ones and the nearest.
    """
    return _REGIMES[choose("regime", name, _REGIMES)]


def phases_of(name: str, epochs: int) -> Phases:
    """The phases of regime `name` with `epochs` in each phase.

    Example:
        >>> phases_of("mixed", 10)
        (Phase(trains='backbone', epochs=10), Phase(trains='all', epochs=10))
    """
    return _check_phases(name, regime(name).make(epochs))


_PAPER = "arXiv:2407.14320"
register_regime("disjoint", lambda e: disjoint(e, e), "disjoint (1+3)", _PAPER)
register_regime("joint", lambda e: joint(e), "joint (2)", _PAPER)
register_regime("mixed", lambda e: mixed(e, e), "mixed (1+2)", _PAPER)
register_regime("joint_long", lambda e: joint_long(e, e), "joint (2) with mixed's budget", "control of this book")
register_regime("heads_only", lambda e: (Phase("heads", e),), "heads on a given backbone (3)", "control of this book")
