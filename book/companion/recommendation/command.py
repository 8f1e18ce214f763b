"""The command line's answer to "which regime should I train?": python -m eecore recommend."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from companion.recommendation.advice import FINAL, Recommendation
from companion.recommendation.ask import answer as answer_of
from companion.recommendation.ask import gather, missing_words
from companion.recommendation.words import gap_in_words, label
from eecore.cli_data import console, say_store
from eecore.errors import SettingError
from eecore.training import Store


def recommend_command(
    model: Annotated[str | None, typer.Option(help="Name of a model; none: any.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name of a data set, or images:DIR and the like; none: any.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="convolutional, transformer, mlp or text, for other models.")
    ] = None,
    budget: Annotated[str, typer.Option(help="Of inference, as a fraction of the backbone's, or final-exit.")] = "0.5",
    training: Annotated[str, typer.Option(help="same-epochs in each phase, or same-total of epochs.")] = "same-epochs",
    level: Annotated[float, typer.Option(help="Of intervals; tests are at 1 - level.")] = 0.95,
    train_size: Annotated[int | None, typer.Option(help="Training samples, for other data sets.")] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Folder of stored runs; default EECORE_STORE.")] = None,
) -> None:
    """Recommend a regime from the stored runs of the quick grid and the data set, and the records. No training."""
    share, here = _budget(budget), Store(store)
    gathered = gather(dataset, share, here)
    answer = answer_of(
        gathered,
        dataset,
        model,
        share,
        family=family,
        training=training.replace("-", " "),
        level=level,
        train_size=train_size,
    )
    say_store(here.folder)
    console().print(answer.words.replace("**", ""), highlight=False, markup=False)
    console().print(_table(answer))
    for row in answer.runs.itertuples():
        line = f"{row.source}: {row.dataset} {row.model}, seeds {row.seeds}; {row.regimes}"
        console().print(line, highlight=False, markup=False)
    console().print(missing_words(gathered), highlight=False, markup=False)


vars(recommend_command)["example"] = (
    "Example: python -m eecore recommend --model vit_nano --dataset mnist1d --budget 0.5 --training same-total"
)


def _budget(text: str) -> float | str:
    if text.replace("-", " ") == FINAL:
        return FINAL
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"budget: expected a number, such as 0.5, or final-exit, got {text!r}") from None


def _table(answer: Recommendation) -> Table:
    """The regimes of a recommendation, the recommended one first."""
    table = Table("regime", "test accuracy (%)", "below the first (points)", "n", "p (Holm)", "training cost", "spent")
    for _, row in answer.table.iterrows():
        first = row["regime"] == answer.regime
        gap, p = ("", "") if first else (gap_in_words(row), f"{row['p_holm']:.2g}")
        n = "" if first else str(row["n"])
        spent = "" if np.isnan(row["spent"]) else f"{row['spent']:.0%}"
        table.add_row(label(row["regime"]), f"{100 * row['accuracy']:.1f}", gap, n, p, f"{row['training']:.0%}", spent)
    return table
