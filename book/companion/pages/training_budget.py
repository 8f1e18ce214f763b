"""Regimes at equal training cost: runs of several lengths, and of one length divided in several ways.

A chain of a few epochs is a training of its own, not the beginning of a longer one: the learning rate has a schedule,
and each phase runs through the whole of it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from companion.pages.relations import outcomes
from companion.plotting import regime_style
from companion.tables import RUN_COLUMNS, training_costs
from eecore.errors import SettingError, choose
from eecore.inference.checks import Number
from eecore.training import Phase, Result, Run, disjoint, grid, joint, mixed

__all__ = [
    "against_share",
    "at_equal_cost",
    "best_inner_split",
    "ladder",
    "long_outcomes",
    "share_before",
    "splits",
]

CELL = ["dataset", "model", "outcome"]
COSTS = ("training_macs", "training_seconds")


def ladder(
    datasets: Sequence[str],
    models: Sequence[str],
    regimes: Sequence[str],
    seeds: Iterable[int],
    lengths: Sequence[int],
    reference: str = "joint",
) -> list[Run]:
    """Every regime at every length; the reference also at twice each, so that its costs reach those of two phases.

    Args:
        datasets, models, regimes, seeds: as in `grid`.
        lengths: epochs of each phase.
        reference: one of the regimes, with which the others are to be compared at equal cost.
    Returns:
        Runs, each once.
    Raises:
        SettingError: the reference is not one of the regimes, or the only one.
    Example:
        >>> runs = ladder(["digits"], ["mlp_nano"], ["joint", "mixed"], [0], [2, 4])
        >>> [(run.regime, run.epochs) for run in runs]
        [('joint', 2), ('mixed', 2), ('joint', 4), ('mixed', 4), ('joint', 8)]
    """
    if reference not in regimes or len(regimes) < 2:
        raise SettingError(f"regimes: expected {reference} and others to compare with it, got {list(regimes)}")
    seeds = list(seeds)
    runs = [run for length in lengths for run in grid(datasets, models, regimes, seeds, epochs=length)]
    twice = [2 * length for length in lengths if 2 * length not in lengths]
    return runs + [run for length in twice for run in grid(datasets, models, [reference], seeds, epochs=length)]


def splits(
    datasets: Sequence[str], models: Sequence[str], seeds: Iterable[int], epochs: int, shares: Sequence[Number]
) -> list[Run]:
    """One number of epochs, divided between phase 1 (the backbone) and phase 2 (backbone and heads) in several ways.

    Args:
        epochs: of phases 1 and 2 together.
        shares: of these epochs that phase 1 gets, in [0, 1], each a whole number of epochs. 0 is joint. At 1 the early
            heads are not trained by then, so phase 3 follows, of as many epochs: that is disjoint. Phase 3 is cheap,
            and what it costs is in the run's training cost.
    Raises:
        SettingError: a share is outside [0, 1] or gives no whole number of epochs.
    Example:
        >>> [run.phases[0] for run in splits(["digits"], ["mlp_nano"], [0], 8, [0.25])]
        [Phase(trains='backbone', epochs=2)]
    """
    runs, seeds = [], list(seeds)
    for share in shares:
        regime, phases = _split(epochs, share)
        runs += [
            Run(dataset=dataset, model=model, regime=regime, epochs=epochs, seed=seed, phases=phases)
            for dataset in datasets
            for model in models
            for seed in seeds
        ]
    return runs


def _split(epochs: int, share: Number) -> tuple[str, tuple[Phase, ...]]:
    first = round(share * epochs) if 0 <= share <= 1 else -1
    if first < 0 or abs(first - share * epochs) > 1e-6:
        raise SettingError(f"shares: expected numbers in [0, 1] that are whole epochs of {epochs}, got {share}")
    if first == 0:
        return "joint", joint(epochs)
    return ("disjoint", disjoint(epochs, epochs)) if first == epochs else ("mixed", mixed(first, epochs - first))


def share_before(run: Run) -> float:
    """Share of the epochs of phases 1 and 2 that train the backbone alone; NaN where a run has neither.

    Example:
        >>> share_before(Run(dataset="digits", model="mlp_nano", regime="mixed", epochs=3))
        0.5
    """
    assert run.phases is not None
    alone, together = (sum(p.epochs for p in run.phases if p.trains == trains) for trains in ("backbone", "all"))
    return alone / (alone + together) if alone + together else float("nan")


def long_outcomes(results: Iterable[Result]) -> pd.DataFrame:
    """What each run gives and what its training cost: one row per run and outcome.

    Returns:
        Columns dataset, model, regime, seed, epochs (of each phase; of a split all together), share (see
        `share_before`), training_macs, training_seconds, outcome ("first exit", "last exit": accuracy on test; "area
        under the curve"), value (fraction).
    """
    alike: dict[tuple[int, float], list[Result]] = {}
    for result in results:
        alike.setdefault((result.run.epochs, share_before(result.run)), []).append(result)
    parts = [
        training_costs(group).assign(epochs=epochs, share=share).merge(outcomes(group), on=RUN_COLUMNS)
        for (epochs, share), group in alike.items()
    ]
    wide = pd.concat(parts, ignore_index=True)
    keys = [*RUN_COLUMNS, "epochs", "share", *COSTS]
    return wide.melt(keys, var_name="outcome", value_name="value")


def at_equal_cost(frame: pd.DataFrame, to: str = "joint", cost: str = "training_macs") -> pd.DataFrame:
    """Each run against the reference of the same seed at the same training cost.

    The reference's value at that cost is read between its two neighbours in cost, on the straight line over the
    logarithm of the cost. Beyond its cheapest and dearest run nothing is read.

    Args:
        frame: from `long_outcomes`.
        to: the reference, a regime with several lengths.
        cost: "training_macs" or "training_seconds".
    Returns:
        Rows of the other regimes with the columns pair (such as "mixed − joint") and difference (fraction); NaN where
        the reference has no run that is as cheap, or as dear.
    Raises:
        SettingError: the regime or the cost is not there, or two runs of the reference have one cost and seed.
    """
    choose("cost", cost, COSTS)
    choose("regime", to, list(dict.fromkeys(frame["regime"])))
    parts = []
    for _, cell in frame.groupby([*CELL, "seed"], sort=False):
        known = cell[cell["regime"] == to].sort_values(cost)
        if known[cost].duplicated().any():
            raise SettingError(f"frame: several runs of {to} with one {cost} and seed; pass each run once")
        others = cell[cell["regime"] != to]
        if len(known) and len(others):
            at = np.interp(
                np.log(others[cost]), np.log(known[cost]), known["value"], left=float("nan"), right=float("nan")
            )
            parts.append(others.assign(difference=others["value"] - at))
    if not parts:
        return frame[:0].assign(pair="", difference=0.0)
    found = pd.concat(parts, ignore_index=True)
    return found.assign(pair=[f"{regime_style(r).label} − {regime_style(to).label}" for r in found["regime"]])


def against_share(frame: pd.DataFrame, share: Number = 0.0) -> pd.DataFrame:
    """`frame` with a column `gain`: the value minus that of the same seed at another share, in percentage points.

    Args:
        frame: from `long_outcomes` of `splits`.
        share: which one is subtracted.
    Raises:
        SettingError: the share is not there.
    """
    if share not in set(frame["share"]):
        known = ", ".join(map(str, sorted(frame["share"].unique())))
        raise SettingError(f"share: {share} is not in the frame, which has {known}")
    keys = [*CELL, "seed"]
    base = frame[frame["share"] == share].set_index(keys)["value"]
    at = base.loc[pd.MultiIndex.from_frame(frame[keys])]
    return frame.assign(gain=100 * (frame["value"].to_numpy() - at.to_numpy()))


def best_inner_split(frame: pd.DataFrame) -> pd.DataFrame:
    """The best split between the ends against both ends, chosen by other seeds than those on which it is judged.

    A split that is the best of several on the same runs on which it is then judged looks better than it is. So for each
    seed the split is the one with the largest mean over the *other* seeds. With one seed there are no others, and it is
    chosen and judged on that one.

    Args:
        frame: from `long_outcomes` of `splits`, with shares 0 and 1 and at least one between.
    Returns:
        One row per cell, seed and end: share (the chosen one), against ("against joint" or "against disjoint"),
        difference (fraction).
    Raises:
        SettingError: an end is not there, or nothing is between them.
    """
    shares = sorted(frame["share"].unique())
    if shares[:1] != [0.0] or shares[-1:] != [1.0] or len(shares) < 3:
        raise SettingError(f"shares: expected 0, 1 and at least one between them, got {', '.join(map(str, shares))}")
    rows = []
    for cell, part in frame.groupby(CELL, sort=False):
        wide = part.pivot(index="seed", columns="share", values="value")
        for seed, own in wide.iterrows():
            others = wide.drop(index=seed) if len(wide) > 1 else wide
            share = others[shares[1:-1]].mean().idxmax()
            for end, name in ((0.0, "joint"), (1.0, "disjoint")):
                about = {
                    **dict(zip(CELL, cell, strict=True)),
                    "seed": seed,
                    "share": share,
                    "against": f"against {name}",
                }
                rows.append({**about, "difference": own[share] - own[end]})
    return pd.DataFrame(rows)
