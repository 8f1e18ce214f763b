"""The evidence of recommendations: runs of the quick grid and published records, as one frame."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from companion import tables
from companion.lab import Records
from companion.recommendation.advice import COLUMNS
from companion.recommendation.groups import family_of
from companion.tables import RUN_COLUMNS
from eecore import data
from eecore.training import Result, Run, Store, grid
from eecore.training.chain import read_result
from eecore.training.identity import prefix_keys

__all__ = ["BUDGETS", "QUICK", "evidence_of_records", "evidence_of_results", "quick_grid", "stored"]

BUDGETS = (0.25, 0.5, 0.75, 1.0)
QUICK: dict[str, Any] = {  # what the pages of the main comparison train
    "datasets": ["mnist1d", "digits", "mnist5k"],
    "models": ["resnet_nano", "vit_nano", "mlp_nano"],
    "regimes": ["disjoint", "joint", "mixed", "joint_long"],
    "seeds": [0, 1, 2, 3, 4],
    "more_seeds": [5, 6, 7, 8, 9],
    "epochs": 8,
}


def quick_grid() -> list[Run]:
    """The runs of the book's main comparison in the quick profile."""
    q = QUICK
    return grid(q["datasets"], q["models"], q["regimes"], q["seeds"], q["more_seeds"], epochs=q["epochs"])


def stored(runs: Iterable[Run], store: Store | None = None) -> tuple[list[Result], list[Run]]:
    """The results of those runs that are in the store, and the runs that are not. Nothing is trained.

    Args:
        store: None: the default store.
    """
    store, results, missing = store or Store(), [], []
    for run in runs:
        result = read_result(run, store, prefix_keys(run))
        if result is None:
            missing.append(run)
        else:
            results.append(result)
    return results, missing


def evidence_of_results(
    results: Sequence[Result], rule: str = "confidence", budgets: Sequence[float | int] = BUDGETS
) -> pd.DataFrame:
    """One row per run and budget, and one for the final exit (budget inf).

    Args:
        results: of classification.
        rule: exit rule; its threshold is chosen on validation, accuracy is on test.
        budgets: fractions of the backbone's multiply-adds.
    Returns:
        The columns of advice.COLUMNS and spent (mean cost on test, fraction of the backbone's), source "grid"; accuracy
        and spent are NaN where a budget is below the first exit's cost.
    """
    if not results:
        return pd.DataFrame(columns=COLUMNS)
    frame = _at_budgets(tables.budgets(results, rule, [*budgets, np.inf]))
    frame = frame.merge(tables.training_costs(results), on=RUN_COLUMNS)
    sizes = {data.info(name).name: len(data.load(name).train) for name in {result.run.dataset for result in results}}
    return _finished(frame.assign(source="grid", train_size=frame["dataset"].map(sizes)))


def evidence_of_records(found: Records, rule: str = "confidence") -> pd.DataFrame:
    """As `evidence_of_results`, of published runs, source "record": those that fit the plan and have an accuracy."""
    current = found.only(state=["current"])
    frame = current.budgets[current.budgets["rule"] == rule]
    if frame.empty:
        return pd.DataFrame(columns=COLUMNS)
    keys = ["name", "regime", "seed"]
    frame = _at_budgets(frame).merge(current.costs[[*keys, "training_macs"]], on=keys)
    about = current.provenance[[*keys, "train_samples"]].rename(columns={"train_samples": "train_size"})
    return _finished(frame.merge(about, on=keys).assign(source="record"))


def _at_budgets(frame: pd.DataFrame) -> pd.DataFrame:
    """Thresholds from validation within budgets; at the budget inf the final exit."""
    finite = np.isfinite(frame["budget"])
    return frame[(finite & (frame["choice"] == "validation")) | (~finite & (frame["choice"] == "final exit"))]


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    families = {model: family_of(model) for model in frame["model"].unique()}
    return frame.assign(family=frame["model"].map(families))[[*COLUMNS, "spent"]].reset_index(drop=True)
