"""The command line's answer to "which regime should I train?": python -m eecore recommend."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.table import Table

from eecore import lab
from eecore.cli_data import console
from eecore.errors import SettingError
from eecore.recommendation.advice import FINAL, Recommendation, recommend
from eecore.recommendation.runs import evidence_of_records, evidence_of_results, quick_grid, stored
from eecore.recommendation.words import gap_in_words, label
from eecore.training import Run, Store

EXAMPLE = "Example: python -m eecore recommend --model vit_nano --dataset mnist1d --budget 0.5 --training same-total"


def recommend_command(
    model: Annotated[str | None, typer.Option(help="Name of a model; none: any.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of a data set; none: any.")] = None,
    family: Annotated[
        str | None, typer.Option(help="convolutional, transformer, mlp or text, for other models.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Of inference: 0.25, 0.5, 0.75 or 1 of the backbone, or final-exit.")
    ] = "0.5",
    training: Annotated[str, typer.Option(help="same-epochs in each phase, or same-total of epochs.")] = "same-epochs",
    level: Annotated[float, typer.Option(help="Of intervals; tests are at 1 - level.")] = 0.95,
    train_size: Annotated[int | None, typer.Option(help="Training samples, for other data sets.")] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Folder of stored runs; default EECORE_STORE.")] = None,
) -> None:
    """Recommend a regime from the stored runs of the quick grid and the published records. Nothing is trained."""
    runs = quick_grid()
    results, missing = stored(runs, Store(store))
    parts = [evidence_of_results(results), evidence_of_records(lab.records())]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise SettingError(
            "recommend: no run of the quick grid is stored and there are no records; make book trains them"
        )
    answer = recommend(
        pd.concat(parts, ignore_index=True),
        model,
        dataset,
        family,
        _budget(budget),
        training.replace("-", " "),
        level,
        train_size,
    )
    console().print(answer.words.replace("**", ""), highlight=False, markup=False)
    console().print(_table(answer))
    for row in answer.runs.itertuples():
        line = f"{row.source}: {row.dataset} {row.model}, seeds {row.seeds}; {row.regimes}"
        console().print(line, highlight=False, markup=False)
    console().print(_missing(runs, missing), highlight=False, markup=False)


def _budget(text: str) -> float | str:
    if text.replace("-", " ") == FINAL:
        return FINAL
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"budget: expected a number, such as 0.5, or final-exit, got {text!r}") from None


def _table(answer: Recommendation) -> Table:
    """The regimes of a recommendation, the recommended one first."""
    table = Table("regime", "test accuracy (%)", "below the first (points)", "n", "p (Holm)", "training cost")
    for _, row in answer.table.iterrows():
        first = row["regime"] == answer.regime
        gap, p = ("", "") if first else (gap_in_words(row), f"{row['p_holm']:.2g}")
        n = "" if first else str(row["n"])
        table.add_row(label(row["regime"]), f"{100 * row['accuracy']:.1f}", gap, n, p, f"{row['training']:.0%}")
    return table


def _missing(runs: list[Run], missing: list[Run]) -> str:
    """Which runs of the grid are not stored."""
    if not missing:
        return f"All {len(runs)} runs of the quick grid are stored."
    cells = Counter(f"{run.dataset} {run.model}" for run in missing)
    named = ", ".join(f"{cell} ({count})" for cell, count in cells.items())
    return f"{len(missing)} of {len(runs)} runs of the quick grid are not stored: {named}. make book trains them."
