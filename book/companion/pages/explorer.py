"""What the threshold explorer of a page shows: all its numbers, counted before, so that a page needs nothing else.

Axes: R seeds, K exits, N samples, T thresholds, B budgets.

Everything is an integer or rounded once here. A page shows sums over the seeds of one data set, model, rule and
regime: `left` counts the samples that have left by each exit but the last, `right` those answered rightly.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from companion.pages.explorer_pictures import chosen_samples, pictures
from companion.pages.samples import cells
from companion.plotting import regime_order, regime_style
from eecore import data, inference
from eecore.errors import SettingError
from eecore.evidence import half_width
from eecore.inference import Rule
from eecore.inference.rules import score_and_prediction
from eecore.training import Result

__all__ = ["BUDGETS", "MOST_BYTES", "THRESHOLDS", "explored"]

# denser towards 1, where the scores of sure exits crowd together
THRESHOLDS = (*(i / 50 for i in range(45)), *(i / 100 for i in range(90, 99)), 0.99, 0.995, 0.998, 0.999, 1.0)
BUDGETS = tuple(i / 20 for i in range(1, 21))  # of the backbone's MACs
MOST_BYTES = 128_000  # of numbers and pictures; with its program an explorer stays below 150 000


def explored(
    results: Iterable[Result], rules: Sequence[str] = ("confidence",), most: int = MOST_BYTES
) -> dict[str, Any]:
    """All that an explorer shows, as plain data.

    Args:
        results: of classification; regimes of one data set and model have the same seeds.
        rules: names of exit rules, see `eecore.inference.rules`.
        most: bytes that the data may take as JSON. Combinations of data and model that would exceed it are left out
            and named.
    Returns:
        thresholds and budgets (fractions of the backbone's MACs), pictures (by data set), cells (one for each data
        set, model and rule) and left_out (names).
    Raises:
        SettingError: there is nothing to explore, or not even the first combination fits.
    """
    found: dict[str, Any] = {"thresholds": list(THRESHOLDS), "budgets": list(BUDGETS), "pictures": {}, "cells": []}
    groups, left_out = cells(results), []
    by_data: dict[str, list[Result]] = {}
    for runs in groups:
        by_data.setdefault(runs[0].run.dataset, []).extend(runs)
    chosen = {name: chosen_samples(runs) for name, runs in by_data.items()}
    size = _bytes(found)
    for runs in groups:
        name = data.info(runs[0].run.dataset).name
        drawn = {} if name in found["pictures"] else {name: pictures(runs[0], chosen[runs[0].run.dataset])}
        parts = [_cell(runs, rule, chosen[runs[0].run.dataset]) for rule in rules]
        more = _bytes(drawn) + _bytes(parts)
        if size + more > most:
            left_out.append(f"{name}, {runs[0].run.model}")
            continue
        size += more
        found["pictures"].update(drawn)
        found["cells"] += parts
    if not found["cells"]:
        raise SettingError(
            f"results: nothing to explore within {most} bytes, left out: {'; '.join(left_out) or 'none'}"
        )
    return {**found, "left_out": left_out}


def _bytes(content: object) -> int:
    return len(json.dumps(content, separators=(",", ":")))


def _cell(runs: Sequence[Result], rule: str, samples: Sequence[int]) -> dict[str, Any]:
    """One data set, model and rule: what all regimes share, and the numbers of each."""
    by_regime: dict[str, list[Result]] = {}
    for run in runs:
        by_regime.setdefault(run.run.regime, []).append(run)
    first = runs[0]
    return {
        "dataset": first.labels_of_run["dataset"],
        "model": first.run.model,
        "rule": rule,
        "macs": first.macs,
        "backbone_macs": first.backbone_macs,
        "samples": len(first.test_labels),
        "regimes": [_regime(name, by_regime[name], rule, samples) for name in regime_order(by_regime)],
    }


def _regime(name: str, runs: Sequence[Result], rule: Rule, samples: Sequence[int]) -> dict[str, Any]:
    """The numbers of one regime: sums over its seeds at every threshold and budget, and its first seed's pictures."""
    style = regime_style(name)
    chosen = np.array([_within(run, rule) for run in runs])  # (R, B), NaN where nothing fits
    skip = int(np.isnan(chosen).any(axis=0).sum())
    kept = [limits[skip:] for limits in chosen]
    return {
        "label": style.label,
        "colour": style.colour,
        "marker": style.marker,
        "seeds": [run.run.seed for run in runs],
        "threshold": _counted(runs, rule, [np.array(THRESHOLDS)] * len(runs)),
        "budget": {
            "skip": skip,
            "chosen": _deltas(np.round(1e5 * np.mean(kept, axis=0)).astype(int)),
            **_counted(runs, rule, kept),
        },
        "pictures": _answers(runs[0], rule, samples, kept[0], skip),
    }


def _within(run: Result, rule: Rule) -> np.ndarray:
    """For each budget the threshold chosen on validation, as in `inference.budget_table`."""
    limits = inference.budget_thresholds(run.validation_logits, rule)
    points = inference.curve(run.validation_logits, run.validation_labels, run.macs, rule, limits)
    return np.array([inference.choose_threshold(points, budget * run.backbone_macs) for budget in BUDGETS])


def _counted(runs: Sequence[Result], rule: Rule, limits: Sequence[np.ndarray]) -> dict[str, Any]:
    """Right answers, those who have left by each exit, and the half width of accuracy's interval, as differences."""
    left, right = [], []
    for run, thresholds in zip(runs, limits, strict=True):
        if len(thresholds) == 0:
            left.append(np.zeros((0, len(run.macs)), dtype=int))
            right.append(np.zeros(0, dtype=int))
            continue
        points, n = inference.curve(run.test_logits, run.test_labels, run.macs, rule, thresholds), len(run.test_labels)
        shares = points[[f"share_{k + 1}" for k in range(len(run.macs))]].to_numpy()
        left.append(np.rint(shares * n).astype(int).cumsum(axis=1))
        right.append(np.rint(points["accuracy"].to_numpy() * n).astype(int))
    found = {"right": _deltas(np.sum(right, axis=0)), "left": [_deltas(c) for c in np.sum(left, axis=0).T[:-1]]}
    if len(runs) > 1:
        half = half_width(np.std(np.array(right) / len(runs[0].test_labels), axis=0, ddof=1), len(runs))
        found["half"] = _deltas(np.rint(1e3 * half).astype(int))
    return found


def _deltas(values: np.ndarray) -> str:
    """Integers as the first one and the steps between neighbours, which are short where a curve is smooth.

    Example:
        >>> _deltas(np.array([50, 50, 48, 49]))
        '50 0 -2 1'
    """
    return " ".join(str(int(step)) for step in np.diff(values, prepend=0))


def _answers(run: Result, rule: Rule, samples: Sequence[int], budget: np.ndarray, skip: int) -> dict[str, Any]:
    """What one network does with the samples that are shown.

    Returns:
        seed, answer (K lists: the predicted class of each sample), threshold and budget (K - 1 lists: how many of the
        thresholds, or budgets, are so low that the sample's score at the exit is above them).
    """
    scores, predictions = score_and_prediction(run.test_logits, rule)
    shown = scores[:, list(samples)]
    return {
        "seed": run.run.seed,
        "answer": predictions[:, list(samples)].tolist(),
        "threshold": [_below(row, THRESHOLDS) for row in shown[:-1]],
        "budget": [[skip + n for n in _below(row, budget)] for row in shown[:-1]],
    }


def _below(scores: Tensor, limits: Sequence[float] | np.ndarray) -> list[int]:
    """How many of the ascending limits each score is strictly above, compared in the type of the scores."""
    as_scores = scores.new_tensor(np.asarray(limits, dtype=np.float64).tolist())
    return [int((value > as_scores).sum()) for value in scores]
