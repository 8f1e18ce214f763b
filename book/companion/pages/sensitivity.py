"""Do conclusions survive other settings? One setting is changed at a time, and the same regimes are compared again."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from companion import tables
from companion.pages.relations import outcomes
from eecore.errors import SettingError, choose
from eecore.training import Recipe, Result, Run, default_recipe, grid

__all__ = ["ASKED", "REGIMES", "Varied", "compared", "cost_ratio", "own_best", "plan", "varied_outcomes"]

REGIMES = ("disjoint", "joint", "mixed", "joint_long")
ASKED = {  # a conclusion -> regimes a, b and outcome: the difference a - b
    "mixed − joint, equal epochs, last exit": ("mixed", "joint", "last exit"),
    "mixed − joint, mixed's budget, last exit": ("mixed", "joint_long", "last exit"),
    "joint − disjoint, first exit": ("joint", "disjoint", "first exit"),
}
Number = float | int


class Varied(NamedTuple):
    """A run with what was changed for it.

    Args:
        axis: the kind of setting, such as "learning rate".
        setting: its value in words, such as "×3".
        base: whether nothing was changed: the value that the axis has on other pages.
        run: the settings.
    """

    axis: str
    setting: str
    base: bool
    run: Run


def plan(
    dataset: str,
    models: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
    rates: Sequence[Number],
    lengths: Sequence[int],
    batches: Sequence[int],
    patiences: Sequence[int],
    min_delta: Number,
) -> list[Varied]:
    """Every regime of REGIMES under every setting, one setting changed at a time.

    Args:
        dataset, models, seeds: what is trained.
        epochs: of each phase of the base, whose recipe is `default_recipe`.
        rates: factors of the base's learning rate.
        lengths: other epochs of each phase.
        batches: other batch sizes.
        patiences: of early stopping, in epochs; a phase then lasts at most twice `epochs`, its schedule too.
        min_delta: the smallest decrease of the criterion that counts as an improvement, tried with the longest
            patience; 0: not tried.
    Returns:
        The base stands in each axis but early stopping's, which has no value of the base: its phases may be longer.
    Raises:
        SettingError: a setting is not allowed.
    """
    out = []
    for model in models:
        base = default_recipe(model, dataset)
        settings = _settings(base, epochs, rates, lengths, batches, patiences, min_delta)
        for axis, name, length, recipe in settings:
            runs = grid([dataset], [model], REGIMES, seeds, epochs=length, recipe=recipe)
            out += [Varied(axis, name, length == epochs and recipe == base, run) for run in runs]
    return out


def _settings(
    base: Recipe,
    epochs: int,
    rates: Sequence[Number],
    lengths: Sequence[int],
    batches: Sequence[int],
    patiences: Sequence[int],
    min_delta: Number,
) -> list[tuple[str, str, int, Recipe]]:
    """Axis, name, epochs and recipe of every setting, in the order of the axes and of their values."""

    def changed(**changes: object) -> Recipe:
        return Recipe(**{**base.model_dump(), **changes})

    stops: list[tuple[str, dict[str, Number]]] = [
        (f"patience {patience}", {"patience": patience}) for patience in sorted(set(patiences))
    ]
    if min_delta:
        stops.append(
            (f"patience {max(patiences)}, step {min_delta:g}", {"patience": max(patiences), "min_delta": min_delta})
        )
    return [
        *(("learning rate", f"×{f:g}", epochs, changed(lr=base.lr * f)) for f in sorted({1.0, *rates})),
        *(("epochs a phase", f"{length}", length, base) for length in sorted({epochs, *lengths})),
        *(("batch size", f"{b}", epochs, changed(batch_size=b)) for b in sorted({base.batch_size, *batches})),
        *(("early stopping", name, 2 * epochs, changed(**changes)) for name, changes in stops),
    ]


def varied_outcomes(planned: Sequence[Varied], results: Sequence[Result]) -> pd.DataFrame:
    """What each run of a plan gives, and what its training cost.

    Args:
        planned: from `plan`.
        results: of its runs, in its order.
    Returns:
        One row per run: axis, setting, base, dataset, model, regime, seed, the outcomes of relations.outcomes,
        training_macs, training_seconds, validation (accuracy of the last exit on validation).
    Raises:
        SettingError: there are not as many results as runs.
    """
    if len(planned) != len(results):
        raise SettingError(f"results: expected one for each of {len(planned)} runs, got {len(results)}")
    alike: dict[tuple[str, str, bool], list[Result]] = {}
    for varied, result in zip(planned, results, strict=True):
        alike.setdefault((varied.axis, varied.setting, varied.base), []).append(result)
    parts = []
    for (axis, setting, base), group in alike.items():
        one = outcomes(group).merge(tables.training_costs(group), on=tables.RUN_COLUMNS)
        exits = tables.per_exit(group, "validation")
        last = exits[exits["exit"] == exits.groupby(tables.RUN_COLUMNS)["exit"].transform("max")]
        known = last[[*tables.RUN_COLUMNS, "accuracy"]].rename(columns={"accuracy": "validation"})
        one = one.merge(known, on=tables.RUN_COLUMNS)
        parts.append(one.assign(axis=axis, setting=setting, base=base))
    return pd.concat(parts, ignore_index=True)


def compared(frame: pd.DataFrame, asked: Mapping[str, tuple[str, str, str]] = ASKED) -> pd.DataFrame:
    """Each conclusion under each setting: the difference, paired over seeds.

    Args:
        frame: from `varied_outcomes`.
        asked: a conclusion -> regimes a, b and outcome: the difference a - b.
    Returns:
        Columns dataset, model, axis, setting, base, conclusion, mean, low, high (fractions), n, p, apart (whether the
        interval excludes zero), points (the mean in percentage points).
    """
    by = ["dataset", "model", "axis", "setting", "base"]
    parts = [
        tables.differences(frame, outcome, [(a, b)], by).assign(conclusion=conclusion)
        for conclusion, (a, b, outcome) in asked.items()
    ]
    found = pd.concat(parts, ignore_index=True)
    apart = (found["low"] > 0) | (found["high"] < 0)
    return found.assign(apart=apart, points=100 * found["mean"])


def own_best(frame: pd.DataFrame, axes: Sequence[str] = ("learning rate", "batch size")) -> pd.DataFrame:
    """Each regime under the setting that suits it best, chosen by validation.

    Args:
        frame: from `varied_outcomes`.
        axes: in which the setting is looked for; the default are those that leave the training cost as it is.
    Returns:
        The rows of each model's and regime's setting with the largest accuracy of the last exit on validation, mean
        over seeds; a column edge says whether it is the smallest or the largest value of its axis, so that a better one
        may lie beyond.
    Raises:
        SettingError: an axis is not in the frame.
    """
    for axis in axes:
        choose("axes", axis, list(dict.fromkeys(frame["axis"])))
    parts = []
    for _, part in frame[frame["axis"].isin(axes)].groupby(["model", "regime"], sort=False):
        axis, setting = part.groupby(["axis", "setting"], sort=False)["validation"].mean().idxmax()
        values = list(dict.fromkeys(part.loc[part["axis"] == axis, "setting"]))
        best = part[(part["axis"] == axis) & (part["setting"] == setting)]
        parts.append(best.assign(edge=len(values) > 1 and setting in (values[0], values[-1])))
    return pd.concat(parts, ignore_index=True)


def cost_ratio(frame: pd.DataFrame, regime: str = "joint_long", to: str = "mixed") -> pd.DataFrame:
    """What a regime's training costs in multiply-adds relative to another's: one row per run of `regime`.

    With a fixed number of epochs this is a constant. Under early stopping each phase ends when it ends, and a regime
    that may train as long as another need not do so.

    Args:
        frame: from `varied_outcomes`.
    Returns:
        Columns dataset, model, axis, setting, base, seed, ratio.
    """
    keys = ["dataset", "model", "axis", "setting", "base", "seed"]
    wide = frame.pivot(index=keys, columns="regime", values="training_macs")
    ratio = (wide[regime] / wide[to]).rename("ratio").reset_index()
    order = frame[frame["regime"] == regime][keys]
    return order.merge(ratio, on=keys)
