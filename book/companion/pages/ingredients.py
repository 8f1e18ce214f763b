"""What an ingredient of training (weights, a gradient rule, a teacher) does to each regime and to what divides them."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from companion import tables
from companion.pages.contrasts import changes
from companion.pages.sensitivity import Varied
from eecore.training import Recipe, Result, default_recipe, grid

__all__ = [
    "ASKED",
    "OUTCOMES",
    "REGIMES",
    "Choice",
    "distillations",
    "exit_gains",
    "gains",
    "optimizers",
    "orders",
    "plan",
    "shifts",
    "weights_and_rules",
]

REGIMES = ("disjoint", "mixed", "joint_long")
OUTCOMES = ("first exit", "last exit", "area under the curve")
ASKED = {  # a conclusion -> regimes a, b and outcome: the difference a - b
    "mixed − joint, first exit": ("mixed", "joint_long", "first exit"),
    "mixed − joint, last exit": ("mixed", "joint_long", "last exit"),
    "joint − disjoint, first exit": ("joint_long", "disjoint", "first exit"),
    "joint − disjoint, last exit": ("joint_long", "disjoint", "last exit"),
}


class Choice(NamedTuple):
    """A setting of an ingredient.

    Args:
        axis: the ingredient, such as "loss weights".
        setting: its value in words.
        changes: the fields of the recipe that it changes; none: the base of its axis.
    """

    axis: str
    setting: str
    changes: dict[str, object]


def weights_and_rules(weights: Sequence[str], rules: Sequence[str]) -> list[Choice]:
    """The base and the named choices of loss weights and of gradient rules; names of the base are not repeated."""
    return [
        Choice("loss weights", "uniform", {}),
        *(Choice("loss weights", name, {"weights": name}) for name in weights if name != "uniform"),
        Choice("gradient rule", "sum", {}),
        *(Choice("gradient rule", name, {"gradients": name}) for name in rules if name != "sum"),
    ]


def distillations(kinds: Sequence[str], temperature: float, share: float) -> list[Choice]:
    """No teacher, and each kind of teacher at one temperature and one share of the loss."""
    fixed: dict[str, object] = {"distillation_temperature": temperature, "distillation_weight": share}
    return [
        Choice("teacher", "none", {}),
        *(Choice("teacher", kind, {"distillation": kind, **fixed}) for kind in kinds),
    ]


def optimizers(rule: str, rates: Sequence[float | int]) -> list[Choice]:
    """The sum and a gradient rule, under the base's optimiser and under SGD with these learning rates."""
    found = []
    for name, base in (("adamw", {}), *((f"sgd {rate:g}", {"optimizer": "sgd", "lr": rate}) for rate in rates)):
        found += [Choice(name, "sum", {**base}), Choice(name, rule, {**base, "gradients": rule})]
    return found


def plan(
    dataset: str,
    models: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
    choices: Sequence[Choice],
    regimes: Sequence[str] = REGIMES,
) -> list[Varied]:
    """Every regime under every choice; the first choice of an axis is its base.

    Raises:
        SettingError: a setting is not allowed.
    """
    out, seen = [], set()
    for model in models:
        for axis, setting, changed in choices:
            recipe = Recipe(**{**default_recipe(model, dataset).model_dump(), **changed})
            runs = grid([dataset], [model], regimes, seeds, epochs=epochs, recipe=recipe)
            out += [Varied(axis, setting, (model, axis) not in seen, run) for run in runs]
            seen.add((model, axis))
    return out


def gains(frame: pd.DataFrame, outcomes: Sequence[str] = OUTCOMES) -> pd.DataFrame:
    """What each choice gives each regime, against the base of its axis, paired over seeds.

    Args:
        frame: from sensitivity.varied_outcomes.
        outcomes: columns of it.
    Returns:
        Columns dataset, model, axis, setting, regime, outcome, a, b, label, mean, low, high (fractions), n, p, points
        (the mean in percentage points), apart (whether the interval excludes zero).
    """
    parts = []
    for axis, setting, base, part in _against_base(frame):
        by = ["dataset", "model", "regime"]
        for outcome in outcomes:
            found = tables.differences(part, outcome, [(setting, base)], by, "setting")
            parts.append(found.assign(axis=axis, setting=setting, outcome=outcome))
    return _marked(pd.concat(parts, ignore_index=True))


def shifts(frame: pd.DataFrame) -> pd.DataFrame:
    """How much each choice moves each difference of ASKED, paired over seeds.

    A difference may be told apart from zero under one choice and not under the other although it has hardly moved.
    Whether it has moved is a question of its own, which this answers.

    Returns:
        As `gains`, with conclusion in place of regime and outcome.
    """
    parts = []
    for axis, setting, base, part in _against_base(frame):
        for conclusion, (a, b, outcome) in ASKED.items():
            found = changes(part, outcome, [(a, b)], ["dataset", "model"], "setting", (setting, base))
            parts.append(found.assign(axis=axis, setting=setting, conclusion=conclusion))
    return _marked(pd.concat(parts, ignore_index=True))


def _against_base(frame: pd.DataFrame) -> list[tuple[str, str, str, pd.DataFrame]]:
    """Axis, setting, base and the rows of both, for each setting but the bases."""
    found = []
    for axis, part in frame.groupby("axis", sort=False):
        base = part.loc[part["base"], "setting"].iloc[0]
        for setting in dict.fromkeys(part.loc[~part["base"], "setting"]):
            found.append((str(axis), setting, base, part[part["setting"].isin([setting, base])]))
    return found


def _marked(found: pd.DataFrame) -> pd.DataFrame:
    return found.assign(points=100 * found["mean"], apart=(found["low"] > 0) | (found["high"] < 0))


def orders(frame: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """The regimes in the order of their means over seeds, the highest first.

    Returns:
        Columns dataset, model, axis, setting, base, outcome, order (a tuple of names).
    """
    keys = ["dataset", "model", "axis", "setting", "base"]
    rows = []
    for cell, part in frame.groupby(keys, sort=False):
        means = part.groupby("regime", sort=False)[outcome].mean().sort_values(ascending=False, kind="stable")
        rows.append({**dict(zip(keys, cell, strict=True)), "outcome": outcome, "order": tuple(means.index)})
    return pd.DataFrame(rows)


def exit_gains(planned: Sequence[Varied], results: Sequence[Result]) -> pd.DataFrame:
    """What each choice gives at each exit, against the base of its axis, seed by seed.

    Args:
        planned, results: as in sensitivity.varied_outcomes.
    Returns:
        Columns dataset, model, axis, setting, regime, seed, exit, points (percentage points on test).
    """
    frames = [
        tables.per_exit([result]).assign(axis=varied.axis, setting=varied.setting, base=varied.base)
        for varied, result in zip(planned, results, strict=True)
    ]
    frame = pd.concat(frames, ignore_index=True)
    keys = ["dataset", "model", "axis", "regime", "seed", "exit"]
    base = frame[frame["base"]].set_index(keys)["accuracy"].rename("of_base")
    other = frame[~frame["base"]].join(base, on=keys)
    return other.assign(points=100 * (other["accuracy"] - other["of_base"]))[
        ["dataset", "model", "axis", "setting", "regime", "seed", "exit", "points"]
    ].reset_index(drop=True)
