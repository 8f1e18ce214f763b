"""Every method in every regime: one network and data set, and what changes the order of the regimes.

A method (`eecore.methods`) names a regime of its own. Here its other parts, heads, places, weights, gradients, teachers
and exit rule, are kept, and the regime is exchanged.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from companion import tables
from companion.plotting import regime_style
from companion.words import verdicts
from eecore import inference
from eecore.errors import SettingError, choose
from eecore.methods import METHODS, Method
from eecore.training import Result, Run, default_recipe

__all__ = ["PLAIN", "InMethod", "fits", "marked", "measured", "orders_in_words", "plan", "used"]

PLAIN = "plain"  # this book's own choices: the default head behind each block, equal weights, confidence


class InMethod(NamedTuple):
    """A run that belongs to a method."""

    method: str
    run: Run


def used(name: str) -> Method | None:
    """The method, or None for `PLAIN`.

    Raises:
        SettingError: it is not known.
    """
    return None if choose("method", name, [PLAIN, *METHODS]) == PLAIN else METHODS[name]


def _run(name: str, **about: Any) -> Run:
    one = used(name)
    if one is None:
        return Run(**about)
    base = default_recipe(about["model"], about["dataset"])
    distillation = None if one.distillation == "none" else one.distillation
    changes = {"weights": one.weights, "gradients": one.gradients, "distillation": distillation}
    return Run(**{"head": one.head, "exits": one.exits, **about}, recipe=base.model_copy(update=changes))


def fits(names: Sequence[str], dataset: str, model: str) -> pd.DataFrame:
    """What a network can have of each method.

    Where it cannot have the method's heads it takes its own ("auto"), and where it has not enough blocks for its places
    a head behind each block ("every").

    Returns:
        One row per method: method, what it is made of here (title, head, exits, rule, weights, gradients,
        distillation), own (its own regime), instead (what the network cannot have), why (it is not run; else empty).
    """
    rows: list[dict[str, str]] = []
    for name in names:
        one = used(name)
        kinds = ("head", "exits", "rule", "weights", "gradients", "distillation")
        plain = dict(zip(kinds, ("auto", "every", "confidence", "uniform", "sum", "none"), strict=True))
        wanted = plain if one is None else {kind: getattr(one, kind) for kind in kinds}
        place, why = _places(name, wanted, dataset, model)
        made = {**wanted, **place}
        instead = ", ".join(f"{kind} {wanted[kind]}" for kind in place if wanted[kind] != place[kind])
        same = [row["method"] for row in rows if all(row[kind] == made[kind] for kind in kinds)]
        about = {"method": name, "title": "this book's choices" if one is None else one.title}
        own = "–" if one is None else regime_style(one.regime).label
        why = why or (f"is then the same as {same[0]}" if same else "")
        rows.append({**about, **made, "own": own, "instead": instead, "why": why})
    return pd.DataFrame(rows)


def _places(name: str, wanted: Mapping[str, str], dataset: str, model: str) -> tuple[dict[str, str], str]:
    """Heads and places of a method that a network can have, the method's own if possible; why not, if none."""
    why = ""
    for exits in dict.fromkeys((wanted["exits"], "every")):
        for head in dict.fromkeys((wanted["head"], "auto")):
            try:
                _run(name, dataset=dataset, model=model, regime="joint", epochs=1, head=head, exits=exits)
            except SettingError as error:
                why = why or str(error)
            else:
                return {"head": head, "exits": exits}, ""
    return {}, why


def plan(
    names: Sequence[str], dataset: str, model: str, regimes: Sequence[str], seeds: Iterable[int], epochs: int
) -> list[InMethod]:
    """The runs of every method that fits in every regime.

    Raises:
        SettingError: none of the methods fits.
    """
    found = fits(names, dataset, model)
    there = found[found["why"] == ""]
    if there.empty:
        raise SettingError(f"methods: none of {', '.join(names)} fits {model} on {dataset}")
    about: dict[str, Any] = {"dataset": dataset, "model": model, "epochs": epochs}
    return [
        InMethod(one.method, _run(one.method, **about, head=one.head, exits=one.exits, regime=regime, seed=seed))
        for one in there.itertuples()
        for seed in seeds
        for regime in regimes
    ]


def measured(planned: Sequence[InMethod], results: Sequence[Result]) -> pd.DataFrame:
    """What each run gives under its method's exit rule, fitted and its thresholds spread on validation.

    Returns:
        One row per run: method, dataset, model, regime, seed, area (under the accuracy-cost curve), last exit and first
        exit (accuracies on test); fractions. An area runs from the method's own first exit, so areas of methods with
        other exits speak of other budgets.
    """
    rows = []
    for one, result in zip(planned, results, strict=True):
        method = used(one.method)
        name = "confidence" if method is None else method.rule
        rule = inference.make_rule(name, result.validation_logits, result.validation_labels)
        limits = inference.spread_thresholds(result.validation_logits, rule, 200)
        points = inference.curve(result.test_logits, result.test_labels, result.macs, rule, limits)
        accuracy = inference.accuracy_per_exit(result.test_logits, result.test_labels)
        got = {"first exit": float(accuracy[0]), "last exit": float(accuracy[-1])}
        area = inference.area_under_curve(points, result.backbone_macs)
        rows.append({"method": one.method, **result.labels_of_run, "area": area, **got})
    return pd.DataFrame(rows)


def marked(frame: pd.DataFrame, value: str, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Differences between regimes under each method, for a heat map: tables.differences and pair, points, apart."""
    found = tables.differences(frame, value, pairs, ["method"])
    names = zip(found["a"], found["b"], strict=True)
    pair = [f"{regime_style(a).label} − {regime_style(b).label}" for a, b in names]
    apart = (found["low"] > 0) | (found["high"] < 0)
    return found.assign(pair=pair, points=100 * found["mean"], apart=apart)


def orders_in_words(found: Mapping[str, pd.DataFrame]) -> str:
    """In how many methods each verdict falls, a Markdown line for each outcome and pair of regimes.

    Args:
        found: outcome -> frame of `marked`.
    """
    lines = []
    for outcome, frame in found.items():
        for pair, part in frame.assign(verdict=verdicts(frame)).groupby("pair", sort=False):
            named = []
            for said in ("higher", "lower", "not told apart"):
                methods = list(part.loc[part["verdict"] == said, "method"])
                named.append(f"{len(methods)} **{said}**" + (f" ({', '.join(methods)})" if methods else ""))
            lines.append(f"- {outcome}, {pair}, in {len(part)} methods: {'; '.join(named)}")
    return "\n".join(lines)
