"""Regimes: a way to train an early-exit network is a name and a tuple of phases, nothing else.

Phase 1 trains the backbone with its own head, phase 2 the backbone and every head, phase 3 the other heads on
the frozen backbone. Source: Krzepkowski et al., arXiv:2407.14320 (disjoint = 1+3, joint = 2, mixed = 1+2).
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from eecore.errors import SettingError, choose
from eecore.training.phases import Phase, Phases

__all__ = [
    "Phase",
    "Phases",
    "Regime",
    "disjoint",
    "disjoint_long",
    "joint",
    "joint_long",
    "joint_restart",
    "mixed",
    "phases_of",
    "regime",
    "regimes",
    "register_regime",
]


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


def disjoint_long(backbone_epochs: int, all_epochs: int) -> Phases:
    """Disjoint with about mixed's training cost: its backbone has the epochs of both of mixed's phases."""
    return disjoint(backbone_epochs + all_epochs, all_epochs)


def joint_restart(first_epochs: int, all_epochs: int) -> Phases:
    """Joint, then joint once more with a new optimiser and learning-rate cycle: what a restart alone gains."""
    return (*joint(first_epochs), *joint(all_epochs))


@dataclass(frozen=True)
class Regime:
    """A named way to train: `make(epochs)` gives its phases when each phase lasts `epochs`.

    Where the phases depend on the number of exits K it is `make(epochs, K)`.
    """

    name: str
    title: str
    make: Callable[..., Phases]
    source: str

    @property
    def asks_exits(self) -> bool:
        """Whether the phases depend on the number of exits."""
        return len(inspect.signature(self.make).parameters) > 1


_REGIMES: dict[str, Regime] = {}


def register_regime(name: str, make: Callable[..., Phases], title: str = "", source: str = "") -> Regime:
    """Make a regime known under `name`, in every table, figure and command.

    Args:
        name: a lower-case identifier; one that is known gets another meaning.
        make: epochs per phase -> tuple of phases; or epochs and the number of exits -> tuple of phases.
        title: one line for tables; the name if empty.
        source: where the regime comes from.
    Raises:
        SettingError: the name is no identifier, or `make` gives no phases.

    Example:
        >>> r = register_regime("warm_heads", lambda epochs: (Phase("heads", 1), Phase("all", epochs)))
        >>> regime("warm_heads").make(5)[1]
        Phase(trains='all', epochs=5)
    """
    if not name.isidentifier():
        raise SettingError(f"regime: a name is letters, digits and underscores, got {name!r}")
    made = Regime(name, title or name, make, source)
    _phases(made, 1, 2)
    _REGIMES[name] = made
    return made


def _phases(made: Regime, epochs: int, exits: int | None) -> Phases:
    """The phases of a regime, checked."""
    if made.asks_exits and exits is None:
        raise SettingError(
            f"exits: the phases of regime {made.name!r} depend on the number of exits, which is not given"
        )
    phases = made.make(epochs, exits) if made.asks_exits else made.make(epochs)
    if not isinstance(phases, tuple) or not phases or not all(isinstance(p, Phase) for p in phases):
        raise SettingError(f"phases: regime {made.name!r} needs a tuple of Phase, at least one, got {phases!r}")
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


def phases_of(name: str, epochs: int, exits: int | None = None) -> Phases:
    """The phases of regime `name` with `epochs` in each phase.

    Args:
        name: a name of `regimes`.
        epochs: of each phase.
        exits: number of exits of the network; None where the regime does not depend on it.
    Raises:
        SettingError: the regime is not known, or depends on the number of exits.
    Example:
        >>> phases_of("mixed", 10)
        (Phase(trains='backbone', epochs=10), Phase(trains='all', epochs=10))
        >>> phases_of("branch_wise", 4, exits=2)
        (Phase(trains='branch', epochs=4, exit=0), Phase(trains='branch', epochs=4, exit=1))
    """
    return _phases(regime(name), epochs, exits)


_PAPER, _BOOK = "arXiv:2407.14320", "control of this book"
register_regime("disjoint", lambda e: disjoint(e, e), "disjoint (1+3)", _PAPER)
register_regime("joint", lambda e: joint(e), "joint (2)", _PAPER)
register_regime("mixed", lambda e: mixed(e, e), "mixed (1+2)", _PAPER)
register_regime("joint_long", lambda e: joint_long(e, e), "joint (2) with mixed's budget", _BOOK)
register_regime("disjoint_long", lambda e: disjoint_long(e, e), "disjoint (1+3) with mixed's budget", _BOOK)
register_regime("joint_restart", lambda e: joint_restart(e, e), "joint restarted (2+2)", _BOOK)
register_regime("reverse", lambda e: (*joint(e), *disjoint(e, e)), "the reverse order (2+1+3)", _BOOK)
register_regime("heads_only", lambda e: (Phase("heads", e),), "heads on a given backbone (3)", _BOOK)
register_regime("full", lambda e: (*mixed(e, e), Phase("heads", e)), "full (1+2+3)", "this book")
register_regime("refit", lambda e: (*joint(e), Phase("heads", e)), "refit (2+3)", "this book")
register_regime(
    "alternating",
    lambda e: (Phase("all", e, rule="alternating"),),
    "alternating (even steps: the last exit alone)",
    "BERxiT, Xin et al., EACL 2021",
)
register_regime(
    "branch_wise",
    lambda e, exits: tuple(Phase("branch", e, exit=k) for k in range(exits)),
    "branch-wise (exit after exit, each frozen)",
    "arXiv:2004.12814",
)
register_regime(
    "unfreeze_top", lambda e: (Phase("all", e, rule="unfreeze_top"),), "blocks join from the top", "this book"
)
register_regime(
    "unfreeze_bottom", lambda e: (Phase("all", e, rule="unfreeze_bottom"),), "blocks join from the bottom", "this book"
)
register_regime(
    "gated",
    lambda e: (Phase("all", e, rule="gated", threshold=0.9),),
    "confidence-gated (threshold 0.9)",
    "after arXiv:2509.17885; the threshold is ours",
)
register_regime("detached", lambda e: (Phase("all", e, rule="detached"),), "joint (2), early heads detached", _BOOK)
register_regime(
    "random_backbone", lambda e: (Phase("heads", e, rule="every_head"),), "every head on an untrained backbone", _BOOK
)
