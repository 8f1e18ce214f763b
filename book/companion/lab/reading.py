"""Records as long frames, such as those of results: every figure and table of the book takes either."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion.lab.layout import number, read_record
from companion.lab.plan import PLAN, Entry, Plan, Planned, read_plan, records_folder
from companion.lab.states import stale_because

RUN = ["dataset", "model", "regime", "seed"]
EVEN = "100 even ones"  # what records chose from before they said it
ABOUT = ["name", *RUN, "device", "state"]
COLUMNS = {
    "exits": [
        *ABOUT,
        "exit",
        "split",
        "accuracy",
        "loss",
        "confidence",
        "pearson",
        "mse",
        "macs",
        "macs_fraction",
        "training_macs",
        "training_seconds",
    ],
    "curves": [
        *ABOUT,
        "rule",
        "threshold",
        "accuracy",
        "tolerance",
        "mse",
        "pearson",
        "macs",
        "macs_fraction",
    ],
    "budgets": [*ABOUT, "rule", "budget", "choice", "threshold", "accuracy", "macs", "spent", "among"],
    "costs": [*ABOUT, "training_macs", "training_seconds"],
    "history": [*ABOUT, "phase", "trains", "epoch", "train_loss", "validation_loss", "lr", "seconds"],
    "provenance": [
        *ABOUT,
        "title",
        "family",
        "size",
        "why",
        "threads",
        "torch",
        "commit",
        "finished",
        "utilisation",
        "fingerprint",
        "train_samples",
        "data_note",
        "recipe",
        "epochs",
        "linear",
    ],
}


@dataclass(frozen=True)
class Records:
    """Published runs as long frames.

    All have the columns name (of the entry in the plan), dataset, model, regime, seed, device and state: "current",
    "stale" (its settings differ from the plan's) or "unplanned" (the plan does not have it).

    Attributes:
        exits: like Result.frame: a row per run, split and exit; accuracy, loss (nats), confidence (mean top
            probability), or pearson and mse of a regression, macs, macs_fraction, training_macs, training_seconds.
        curves: like tables.curves or tables.regression_curves, on test.
        budgets: like tables.budgets, and among: the thresholds that were chosen from (in words); a regression has none.
        costs: like tables.training_costs.
        history: like Result.history, at some epochs.
        provenance: a row per run: title, family, size, why (it is stale), threads, torch, commit, finished,
            utilisation (of a GPU, percent), fingerprint, train_samples, data_note, recipe and epochs (in words),
            linear (accuracy on test of a linear model on the same texts; NaN for other data).
    """

    exits: pd.DataFrame
    curves: pd.DataFrame
    budgets: pd.DataFrame
    costs: pd.DataFrame
    history: pd.DataFrame
    provenance: pd.DataFrame

    def __len__(self) -> int:
        return len(self.provenance)

    def only(self, **values: Iterable[object]) -> "Records":
        """The records whose columns of `provenance` have one of these values, in the order that they have.

        Example:
            >>> len(records(Path("/nowhere")).only(size=["paper"], regime=["joint", "mixed"]))
            0
        """
        keep = pd.Series(True, index=self.provenance.index)
        for column, allowed in values.items():
            keep &= self.provenance[column].isin(list(allowed))
        wanted = set(self.provenance.loc[keep, ["name", "regime", "seed"]].itertuples(index=False, name=None))

        def part(frame: pd.DataFrame) -> pd.DataFrame:
            rows = frame[["name", "regime", "seed"]].itertuples(index=False, name=None)
            return frame[np.array([row in wanted for row in rows], dtype=bool)].reset_index(drop=True)

        return Records(**{name: part(getattr(self, name)) for name in COLUMNS})


def records(folder: Path | None = None, plan: Plan | None = None) -> Records:
    """All records of a folder.

    Args:
        folder: with a folder per entry; None: records_folder(). It may be empty or missing.
        plan: what they are compared with; None: plan.toml of `folder`, where there is one.
    Raises:
        SettingError, DataError: the plan, or a record, cannot be read.
    """
    folder = folder or records_folder()
    if plan is None and (folder / PLAN).is_file():
        plan = read_plan(folder / PLAN)
    planned = {(p.entry.name, p.regime, p.seed): p for p in plan.planned()} if plan else {}
    order = {key: i for i, key in enumerate(planned)}
    found = [read_record(path) for path in sorted(folder.glob("*/*.json"))]
    found.sort(key=lambda record: (order.get(_key(record), len(order)), _key(record)))
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    for record in found:
        for name, frame in _frames(record, planned.get(_key(record))).items():
            parts[name].append(frame)
    whole = {name: pd.concat(p, ignore_index=True) if p else pd.DataFrame() for name, p in parts.items()}
    return Records(**{name: frame.reindex(columns=COLUMNS[name]) for name, frame in whole.items()})


def _key(record: dict[str, Any]) -> tuple[str, str, int]:
    return record["name"], record["settings"]["regime"], record["settings"]["seed"]


def _frames(record: dict[str, Any], planned: Planned | None) -> dict[str, pd.DataFrame]:
    """The rows of one record in each frame."""
    why = "" if planned is None else stale_because(planned, record)
    state = "unplanned" if planned is None else "stale" if why else "current"
    run = {name: record["settings"][name] for name in RUN}
    about = {"name": record["name"], **run, "device": record["machine"]["device"], "state": state}
    phases, backbone = record["training"], record["costs"]["backbone_macs"]
    spent = {f"training_{what}": sum(phase[what] for phase in phases) for what in ("macs", "seconds")}
    entry = planned.entry if planned else None
    made = {
        "exits": _exits(record).assign(**spent),
        "curves": _by_rule(record["curves"]),
        "budgets": _by_rule(record["budgets"]),
        "costs": pd.DataFrame([spent]),
        "history": pd.concat([_history(i, phase) for i, phase in enumerate(phases)], ignore_index=True),
        "provenance": pd.DataFrame([_provenance(record, entry, why)]),
    }
    made["curves"]["macs_fraction"] = made["curves"]["macs"] / backbone
    if len(made["budgets"]):
        among = record.get("budget_thresholds") or EVEN
        made["budgets"] = made["budgets"].assign(spent=made["budgets"]["macs"] / backbone, among=among)
    return {name: frame.assign(**about) for name, frame in made.items()}


def _exits(record: dict[str, Any]) -> pd.DataFrame:
    macs, backbone, parts = record["costs"]["macs"], record["costs"]["backbone_macs"], []
    for split in ("validation", "test"):
        part = pd.DataFrame(record["exits"][split]).assign(split=split, macs=macs)
        parts.append(part.assign(exit=range(1, len(macs) + 1), macs_fraction=part["macs"] / backbone))
    return pd.concat(parts, ignore_index=True)


def _by_rule(tables: dict[str, dict[str, list[Any]]]) -> pd.DataFrame:
    """Columns of numbers (and the words of `choice`) for each exit rule."""
    parts = []
    for rule, columns in tables.items():
        values = {n: c if n == "choice" else [number(v) for v in c] for n, c in columns.items()}
        parts.append(pd.DataFrame(values).assign(rule=rule))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _history(index: int, phase: dict[str, Any]) -> pd.DataFrame:
    columns = {name: values for name, values in phase["history"].items() if name in COLUMNS["history"]}
    return pd.DataFrame(columns).assign(phase=index + 1, trains=phase["trains"])


def _provenance(record: dict[str, Any], entry: Entry | None, why: str) -> dict[str, Any]:
    return {
        "title": entry.title if entry else record["name"],
        "family": entry.family if entry else "images",
        "size": entry.size if entry else "unplanned",
        "why": why,
        "threads": record["settings"]["threads"],
        "torch": record["versions"]["torch"],
        "commit": record["commit"],
        "finished": record["finished"],
        "utilisation": number(record["machine"]["utilisation"]),
        "fingerprint": record["data"]["fingerprint"],
        "train_samples": record["data"]["samples"]["train"],
        "data_note": record["data"]["note"],
        "recipe": recipe_in_words(record["settings"]["recipe"], record["data"]["augment"]),
        "epochs": " + ".join(str(phase["epochs_done"]) for phase in record["training"]),
        "linear": number((record.get("linear") or {}).get("test")),
    }


def recipe_in_words(recipe: dict[str, Any], augment: str) -> str:
    """What a reader must know of a recipe, on one line.

    Example:
        >>> recipe_in_words({"optimizer": "sgd", "lr": 0.1, "batch_size": 128, "schedule": "cosine"}, "crop_flip")
        'sgd, lr 0.1, cosine, batches of 128, augmentation crop_flip'
    """
    parts = [recipe["optimizer"], f"lr {recipe['lr']:g}", recipe["schedule"], f"batches of {recipe['batch_size']}"]
    if recipe.get("label_smoothing"):
        parts.append(f"label smoothing {recipe['label_smoothing']:g}")
    if recipe.get("precision", "float32") != "float32":
        parts.append(recipe["precision"])
    return ", ".join([*parts, f"augmentation {augment}"])
