"""One run as a small record: what it was, what came out, what it cost, where it was made. No weights, no logits.

K exits, N samples, C classes.
"""

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.nn import functional as F

from companion.lab.linear import linear_accuracy
from companion.lab.plan import Planned
from companion.provenance import commit
from eecore import data, inference
from eecore.training import Result

RULES = {"classification": ("confidence", "entropy"), "regression": ("difference",)}  # by task
EPOCHS = 40  # rows of a phase's history at most
_linear_known: dict[str, dict[str, float]] = {}  # by the data's fingerprint
SPREAD = "100 even and 1000 spread over validation scores"  # inference.budget_thresholds; a record without it: 100 even


def make_record(planned: Planned, result: Result, machine: dict[str, Any]) -> dict[str, Any]:
    """The record of a finished run.

    Args:
        planned: what was asked for.
        result: what came out.
        machine: what was seen of the device meanwhile, from `machine.Watch`.
    Returns:
        Nested tables of plain values. Accuracies are fractions, costs multiply-adds, times seconds. A regression has
        Pearson's correlation and the mean squared error in place of accuracy, and no budgets.
    """
    made = result.record
    classifies = data.info(result.run.dataset).task == "classification"
    rules = RULES["classification" if classifies else "regression"]
    return {
        "format": 1,
        "name": planned.entry.name,
        "settings": planned.settings(),
        "data": _data(result),
        "costs": {
            "exits": list(made["exits"]),
            "macs": result.macs,
            "backbone_macs": result.backbone_macs,
            "parameters": int(result.run.described["parameters"]),
        },
        "exits": {split: _per_exit(result, split) for split in ("validation", "test")},
        "linear": _linear(data.load(result.run.dataset)),
        "curves": {rule: _columns(_curve(result, rule)) for rule in rules},
        "budgets": {rule: _columns(_budgets(result, rule)) for rule in rules if classifies},
        "budget_thresholds": SPREAD if classifies else None,
        "training": [_phase(*both) for both in zip(made["phases"], result.phase_macs, strict=True)],
        "machine": {"device": made["device"], "processor": made["processor"], **machine},
        "versions": made["versions"],
        "commit": commit(),
        "training_version": made["identity"]["training"],
        "keys": made["prefix_keys"],
        "finished": made["finished"],
    }


def _linear(dataset: data.Dataset) -> dict[str, float] | None:
    """What a linear model reaches on texts; None for other data. Kept by content: a name may get other data."""
    if dataset.kind != "tokens" or dataset.info.task != "classification":
        return None
    if dataset.fingerprint not in _linear_known:
        _linear_known[dataset.fingerprint] = linear_accuracy(dataset)
    return _linear_known[dataset.fingerprint]


def _data(result: Result) -> dict[str, Any]:
    dataset = data.load(result.run.dataset)
    return {
        "title": dataset.info.title,
        "origin": dataset.origin,
        "note": dataset.info.note,
        "augment": result.run.augment,
        "fingerprint": dataset.fingerprint,
        "samples": {s: len(getattr(dataset, s)) for s in ("train", "validation", "test")},
    }


def _per_exit(result: Result, split: str) -> dict[str, list[float]]:
    """Accuracy of each exit, and what its confidence is worth: cross-entropy (nats) and mean top probability.

    Of a regression Pearson's correlation and the mean squared error.
    """
    frame = result.frame()
    if "accuracy" not in result.measures:
        return {name: frame.loc[frame["split"] == split, name].tolist() for name in result.measures}
    logits: Tensor = getattr(result, f"{split}_logits").float()
    labels: Tensor = getattr(result, f"{split}_labels")
    return {
        "accuracy": frame.loc[frame["split"] == split, "accuracy"].tolist(),
        "loss": [F.cross_entropy(exit_logits, labels).item() for exit_logits in logits],
        "confidence": logits.softmax(dim=2).amax(dim=2).mean(dim=1).tolist(),
    }


def _curve(result: Result, rule: str) -> pd.DataFrame:
    if "accuracy" not in result.measures:
        limits = inference.regression_thresholds(result.validation_logits, rule)
        frame = inference.regression_curve(result.test_logits, result.test_labels, result.macs, rule, limits)
        return frame[["threshold", "tolerance", "mse", "pearson", "macs"]]
    frame = inference.curve(result.test_logits, result.test_labels, result.macs, rule)
    return frame[["threshold", "accuracy", "macs"]]


def _budgets(result: Result, rule: str) -> pd.DataFrame:
    validation, test = (result.validation_logits, result.validation_labels), (result.test_logits, result.test_labels)
    return inference.budget_table(*validation, *test, result.macs, result.backbone_macs, rule)


def _columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): column.tolist() for name, column in frame.items()}


def _phase(phase: dict[str, Any], macs: int) -> dict[str, Any]:
    """A phase's cost, and its history at evenly spread epochs, the first and the last among them."""
    rows = phase["history"]
    kept = np.unique(np.linspace(0, len(rows) - 1, min(EPOCHS, len(rows))).round().astype(int)).tolist()
    cost = ("trains", "epochs", "epochs_done", "steps", "seconds", "wall_seconds")
    return {
        **{name: phase[name] for name in cost},
        "macs": macs,
        "history": {name: [rows[i][name] for i in kept] for name in rows[0]},
    }
