"""Which regime should I train for my model, data and budget? The answer of a frame of runs, with its uncertainty.

A cell is a data set and a model; the runs of one cell are paired over source and seed. Where a group has several cells,
the cell is the unit (companion.pages.pooling).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from companion.pages.pooling import over_cells
from companion.recommendation.groups import groups, within
from companion.recommendation.words import in_words
from eecore.errors import SettingError, choose
from eecore.evidence import corrected

__all__ = ["COLUMNS", "FINAL", "TRAININGS", "Recommendation", "recommend"]

CELL = ["dataset", "model"]
COLUMNS = [
    "source", "dataset", "model", "family", "train_size", "regime", "seed", "budget", "accuracy", "training_macs",
]  # fmt: skip
FINAL = "final exit"  # the budget, inf in a frame, at which every sample goes to the last exit
TRAININGS: Mapping[str, tuple[str, ...]] = {
    "same epochs": ("disjoint", "joint", "mixed"),
    "same total": ("disjoint", "joint_long", "mixed"),
}
IN_WORDS = {"same epochs": "with the same epochs in each phase", "same total": "with the same total of epochs"}
EQUAL = 1e-12  # accuracies nearer to each other are equal


@dataclass(frozen=True, eq=False)
class Recommendation:
    """A regime, what it was compared with, and the runs that say so.

    Attributes:
        regime: the one with the highest mean accuracy over the cells of the group; of equals, the cheapest to train.
        alike: the others that cannot be told apart from it, the nearest first.
        group: the runs that answer, such as "vit_nano on mnist1d".
        broadened: why these are not the runs that were asked for, in words; empty where they are.
        budget: mean cost of inference, as a fraction of the backbone's multiply-adds; inf for the final exit.
        training: how training was made comparable, a key of TRAININGS.
        level: of the intervals; 1 - level is the level of the tests.
        table: a row per regime, the recommended one first: regime, accuracy (mean, fraction), difference (the
            recommended one's mean minus this one's), low, high (its t interval), n (cells, or pairs of runs of one
            cell), p (t test), p_holm (over the alternatives), apart (p_holm is below 1 - level), training (cost of
            training, as a fraction of the recommended one's), spent (mean cost of inference on test, as a fraction of
            the backbone's; NaN where the evidence lacks it).
        cells: a row per cell: dataset, model, n (pairs of runs), best (regime), beaten (another regime is told apart
            above the recommended one there, without correction).
        runs: a row per cell and source: source, dataset, model, seeds (text), regimes (text), count (of runs).
    """

    regime: str
    alike: tuple[str, ...]
    group: str
    broadened: str
    budget: float
    training: str
    level: float
    table: pd.DataFrame
    cells: pd.DataFrame
    runs: pd.DataFrame

    @property
    def words(self) -> str:
        """The recommendation in words, computed from the other attributes."""
        about = f"{self.group}, {within(self.budget)}, {IN_WORDS[self.training]}"
        before = f"{self.broadened} " if self.broadened else ""
        return before + in_words(self.table, self.cells, self.runs, about, self.training, self.level)


def recommend(
    evidence: pd.DataFrame,
    model: str | None = None,
    dataset: str | None = None,
    family: str | None = None,
    budget: float | int | str = 0.5,
    training: str = "same epochs",
    level: float | int = 0.95,
    train_size: int | None = None,
) -> Recommendation:
    """The regime that runs like mine recommend.

    Where there are no such runs, a broader group answers and the words say so: the same network on data of the same
    size, its family on the same data, and so on to all runs; see companion.recommendation.groups.

    Args:
        evidence: one row per run and budget, with the columns COLUMNS, and spent where it is known; from
            companion.recommendation.runs.
        model, dataset: names; None: any.
        family: of networks, such as "transformer"; None: the model's, or any.
        budget: of inference, as a fraction of the backbone's multiply-adds, one of those in the evidence; or FINAL.
        training: "same epochs" (the same in each phase: disjoint, joint, mixed) or "same total" (joint trains for as
            many epochs as mixed; disjoint still costs less).
        level: of the intervals; the tests are at 1 - level.
        train_size: number of training samples, where the data set is not among those of the evidence.
    Returns:
        The recommendation.
    Raises:
        SettingError: an argument is not known, or no run of the evidence answers.
    Example:
        >>> runs = [("joint", 0, 0.7), ("joint", 1, 0.72), ("mixed", 0, 0.74), ("mixed", 1, 0.75), ("disjoint", 0, 0.6)]
        >>> about = {"source": "grid", "dataset": "digits", "model": "mlp_nano", "family": "mlp", "train_size": 1000}
        >>> rows = [{**about, "regime": r, "seed": s, "budget": 0.5, "accuracy": a} for r, s, a in runs]
        >>> answer = recommend(pd.DataFrame(rows).assign(training_macs=1), model="mlp_nano")
        >>> answer.regime, len(answer.cells)
        ('mixed', 1)
    """
    absent = [column for column in COLUMNS if column not in evidence]
    if absent or evidence.empty:
        raise SettingError(f"evidence: lacks {'the columns ' + ', '.join(absent) if absent else 'rows'}")
    if not 0.0 < level < 1.0:
        raise SettingError(f"level: expected a number in (0, 1), such as 0.95, got {level}")
    candidates = TRAININGS[choose("training", training, TRAININGS)]
    share = _budget(evidence, budget)
    at_budget = evidence[evidence["budget"] == share].dropna(subset=["accuracy"])
    asked = None
    for name, mask in groups(evidence, model, dataset, family, train_size):
        asked = asked or name
        pairs = _complete(at_budget[mask.loc[at_budget.index]], candidates, "accuracy")
        if len(pairs):
            rows = at_budget[mask.loc[at_budget.index]]
            lacking = f"For {asked} there are no runs of {', '.join(candidates)} {within(share)}."
            broadened = "" if name == asked else f"{lacking} A broader group answers."
            return _answer(rows, pairs, candidates, name, broadened, share, training, float(level))
    raise SettingError(f"evidence: no seed has runs of all of {', '.join(candidates)} {within(share)}")


def _budget(evidence: pd.DataFrame, budget: float | int | str) -> float:
    """The budget as it stands in the evidence."""
    known = sorted(evidence["budget"].unique())
    wanted = np.inf if budget == FINAL else budget
    if not isinstance(wanted, bool) and isinstance(wanted, int | float):
        for share in known:
            if share == wanted or abs(share - wanted) < 1e-9:
                return float(share)
    names = ", ".join(FINAL if np.isinf(share) else f"{share:g}" for share in known)
    raise SettingError(f"budget: {budget!r} is not in the evidence, which has {names}")


def _complete(rows: pd.DataFrame, candidates: Sequence[str], value: str) -> pd.DataFrame:
    """`value` of every source and seed of a cell that has all candidates, a column for each of them."""
    keys = [*CELL, "source", "seed"]
    rows = rows[rows["regime"].isin(candidates)]
    if rows.duplicated([*keys, "regime"]).any():
        raise SettingError(f"evidence: several rows for one {', '.join([*keys, 'regime'])} and budget")
    return rows.pivot(index=keys, columns="regime", values=value).reindex(columns=list(candidates)).dropna()


def _answer(
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    candidates: Sequence[str],
    group: str,
    broadened: str,
    budget: float,
    training: str,
    level: float,
) -> Recommendation:
    """The recommendation of complete pairs of runs."""
    cost = _complete(rows, candidates, "training_macs").reindex(pairs.index)
    cost = _mean_of_cells(cost.div(cost.max(axis=1), axis=0))
    means = _mean_of_cells(pairs)
    best = str(cost[means >= means.max() - EQUAL].idxmin())
    spent = _mean_of_cells(_complete(rows, candidates, "spent").reindex(pairs.index)) if "spent" in rows else {}
    table = _compared(pairs, means, cost / cost[best], best, level)
    table["spent"] = [spent.get(name, np.nan) for name in table["regime"]]
    alike = table["regime"][1:][~table["apart"][1:].astype(bool)]
    cells = _cells(pairs, best, level)
    return Recommendation(best, tuple(alike), group, broadened, budget, training, level, table, cells, _runs(pairs))


def _mean_of_cells(wide: pd.DataFrame) -> pd.Series:
    return wide.groupby(level=CELL, sort=False).mean().mean()


def _compared(pairs: pd.DataFrame, means: pd.Series, cost: pd.Series, best: str, level: float) -> pd.DataFrame:
    """The table of a recommendation."""
    others = means.drop(best).sort_values(ascending=False, kind="stable").index
    rows = [{"regime": best, "accuracy": means[best], "training": 1.0}]
    for name in others:
        found = over_cells(_differences(pairs, best, name), "difference", CELL, level)
        estimate = {"difference": found.mean, "low": found.low, "high": found.high, "n": found.n, "p": found.p}
        rows.append({"regime": name, "accuracy": means[name], **estimate, "training": cost[name]})
    table = pd.DataFrame(rows)
    table["p_holm"] = corrected(table["p"])
    table["apart"] = table["p_holm"] < 1 - level
    order = ["regime", "accuracy", "difference", "low", "high", "n", "p", "p_holm", "apart", "training"]
    return table.assign(n=table["n"].fillna(0).astype(int))[order]


def _differences(pairs: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """a - b of every pair of runs, as a frame whose seeds of different sources are different."""
    frame = (pairs[a] - pairs[b]).rename("difference").reset_index()
    return frame.assign(seed=[f"{source} {seed}" for source, seed in zip(frame["source"], frame["seed"], strict=True)])


def _cells(pairs: pd.DataFrame, best: str, level: float) -> pd.DataFrame:
    """What each cell says for itself."""
    rows = []
    for (dataset, model), part in pairs.groupby(level=CELL, sort=False):
        means = part.mean()
        own = best if means[best] >= means.max() - EQUAL else str(means.idxmax())
        others = [name for name in pairs.columns if name != best]
        lows = [over_cells(_differences(part, name, best), "difference", CELL, level).low for name in others]
        rows.append({"dataset": dataset, "model": model, "n": len(part), "best": own, "beaten": bool(max(lows) > 0)})
    return pd.DataFrame(rows)


def _runs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The runs behind a recommendation."""
    regimes, rows = ", ".join(pairs.columns), []
    for (source, dataset, model), part in pairs.groupby(level=["source", *CELL], sort=False):
        seeds = sorted(int(seed) for seed in part.index.get_level_values("seed"))
        about = {"source": source, "dataset": dataset, "model": model, "seeds": ", ".join(map(str, seeds))}
        rows.append({**about, "regimes": regimes, "count": len(seeds) * len(pairs.columns)})
    return pd.DataFrame(rows)
