"""A phase: one stretch of training, its rule, and what it needs of a network and its data."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from eecore.errors import SettingError, choose

Trains = Literal["backbone", "all", "heads", "branch"]
RULES = ("", "alternating", "gated", "detached", "unfreeze_top", "unfreeze_bottom", "every_head")
UNFREEZING = ("unfreeze_top", "unfreeze_bottom")


@dataclass(frozen=True, repr=False)
class Phase:
    """One stretch of training: which parameters move, and for how long.

    Args:
        trains: "backbone" (stem, blocks and the last head; all other heads are off), "all" (backbone and
            every head, one weighted loss), "heads" (every head but the last; the backbone is frozen and in
            eval mode) or "branch" (one exit's head and the blocks between it and the exit before; all else is
            frozen; what only later blocks read of them, such as finer scales of MSDNet, is never trained then).
        epochs: passes over the training split, at least 1.
        rule: how a phase departs from that; empty: not at all. For "all": "alternating" (in even steps, the first
            one included, the last exit's loss alone: the early heads rest), "gated" (an exit learns from samples
            that no earlier exit solves confidently), "detached" (the early heads learn, the backbone learns nothing
            from them), "unfreeze_top" and "unfreeze_bottom" (all heads move, the backbone's parts join over the
            epochs, see `eecore.training.phase_rules.moving_parts`). For "heads": "every_head" (the last one too).
        exit: which one a branch ends in, from 0; for "branch" alone.
        threshold: confidence above which a right answer closes the gate to all later exits, in (0, 1); for "gated"
            alone.
    Raises:
        SettingError: one of these is unknown, missing, or does not fit the others.
    Example:
        >>> Phase("all", 5, rule="alternating")
        Phase(trains='all', epochs=5, rule='alternating')
    """

    trains: Trains
    epochs: int
    rule: str = ""
    exit: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        choose("trains", self.trains, get_args(Trains))
        if isinstance(self.epochs, bool) or not isinstance(self.epochs, int) or self.epochs < 1:
            raise SettingError(f"epochs: expected an integer of at least 1, got {self.epochs!r}")
        choose("rule", self.rule, RULES)
        needed = "heads" if self.rule == "every_head" else "all"
        if self.rule and self.trains != needed:
            raise SettingError(
                f"rule: {self.rule!r} is for phases that train {needed!r}, this one trains {self.trains!r}"
            )
        is_place = isinstance(self.exit, int) and not isinstance(self.exit, bool) and self.exit >= 0
        if is_place != (self.trains == "branch") or (self.exit is not None and not is_place):
            raise SettingError(f"exit: expected 0 or more with 'branch', None without, got {self.exit!r}")
        is_share = isinstance(self.threshold, float) and 0 < self.threshold < 1
        if is_share != (self.rule == "gated") or (self.threshold is not None and not is_share):
            raise SettingError(
                f"threshold: expected one in (0, 1) with the rule 'gated', None without, got {self.threshold!r}"
            )

    def trained_exits(self, count: int) -> list[int]:
        """The exits whose losses this phase has, of a network with `count` exits.

        Example:
            >>> Phase("heads", 1).trained_exits(3), Phase("backbone", 1).trained_exits(3)
            ([0, 1], [2])
        """
        if self.exit is not None:
            return [self.exit]
        if self.trains == "heads":
            return list(range(count if self.rule == "every_head" else count - 1))
        return list(range(count)) if self.trains == "all" else [count - 1]

    @property
    def is_steady(self) -> bool:
        """Whether the same parameters move in every step."""
        return self.rule not in ("alternating", *UNFREEZING)

    @property
    def is_plain(self) -> bool:
        """Whether this is one of the paper's phases 1, 2 and 3."""
        return not self.rule and self.trains != "branch"

    def described(self) -> dict[str, Any]:
        """The fields as plain values, without those that have their default."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}

    def __repr__(self) -> str:
        return f"Phase({', '.join(f'{name}={value!r}' for name, value in self.described().items())})"


Phases = tuple[Phase, ...]


def check_phases(phases: Phases, exits: int, task: str, mixes: bool, head: str = "auto") -> None:
    """Stop where phases do not fit a network or its data.

    Args:
        phases: of a run.
        exits: number of exits of the network.
        task: "classification" or "regression".
        mixes: whether the recipe mixes samples.
        head: kind of the heads.
    Raises:
        SettingError: a phase has no exit to train, a gate would need one class a sample, or a head reads an exit that
            its phase does not evaluate.
    """
    for phase in phases:
        what = f"rule {phase.rule!r}" if phase.rule else f"{phase.trains!r} phase"
        early = phase.rule in ("alternating", "gated", "detached") or (phase.trains == "heads" and not phase.rule)
        if early and exits < 2:
            raise SettingError(f"phases: a {what} needs an exit before the last one, and this network has none")
        if phase.exit is not None and phase.exit >= exits:
            raise SettingError(f"exit: a branch to exit {phase.exit} came, this network has exits 0 to {exits - 1}")
        apart = phase.exit is not None or phase.rule in ("alternating", "detached")
        if apart and head.partition(":")[0] == "cascade":
            raise SettingError(f"head: {head!r} reads the exit before, which a {what} leaves out")
        if phase.rule == "gated" and (task != "classification" or mixes):
            has = "mixes samples" if task == "classification" else f"has the task {task}"
            raise SettingError(f"rule: 'gated' needs one class for each sample, and this run {has}")
