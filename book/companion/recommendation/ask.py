"""Which regime for this data set and model? Asked alone: the runs are found in the store and among the records."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd

from companion import lab
from companion.recommendation.advice import FINAL, TRAININGS, Recommendation
from companion.recommendation.advice import recommend as advise
from companion.recommendation.groups import within
from companion.recommendation.runs import BUDGETS, evidence_of_records, evidence_of_results, quick_grid, stored
from eecore import data
from eecore.errors import SettingError, in_checkout, shown
from eecore.training import Phase, Recipe, Result, Run, Store, phases_of

__all__ = ["Gathered", "gather", "recommend", "stored_runs"]

REGIMES = tuple(dict.fromkeys(name for names in TRAININGS.values() for name in names))


@dataclass(frozen=True)
class Gathered:
    """The runs that may answer.

    Attributes:
        frame: one row per run and budget, as `advice.recommend` takes it.
        planned, missing: the runs of the quick grid, and those of them that are not stored.
        left_out: how many stored runs of the data set have other settings than those that answer.
    """

    frame: pd.DataFrame
    planned: list[Run]
    missing: list[Run]
    left_out: int


def recommend(
    dataset: str | pd.DataFrame | None = None,
    model: str | None = None,
    budget: float | int | str = 0.5,
    *,
    family: str | None = None,
    training: str = "same epochs",
    level: float | int = 0.95,
    train_size: int | None = None,
    evidence: pd.DataFrame | None = None,
    store: Store | None = None,
) -> Recommendation:
    """The regime to train, by the runs that are stored and the published records. Nothing is trained.

    Args:
        dataset: a name, of own data too ("images:DIR"); None: any.
        model: a name; None: any.
        budget: of inference, as a fraction of the backbone's multiply-adds, or "final exit". It is computed from the
            logits of stored runs; records have 0.25, 0.5, 0.75 and 1, of which the nearest answers where no stored run
            does, and the words say so.
        family, training, level, train_size: as for `companion.recommendation.advice.recommend`.
        evidence: a frame of runs that alone is to answer; None: what is found.
        store: None: the default store.
    Returns:
        The recommendation; `print(found.words)`.
    Raises:
        SettingError: an argument is not known, or no run answers.
    """
    if isinstance(dataset, pd.DataFrame):
        raise SettingError("dataset: expected a name, got a frame; a frame of runs is given as evidence=")
    about: dict[str, Any] = {"family": family, "training": training, "level": level, "train_size": train_size}
    if evidence is not None:
        return advise(evidence, model, dataset, budget=budget, **about)
    return answer(gather(dataset, budget, store), dataset, model, budget, **about)


def gather(dataset: str | None, budget: float | int | str, store: Store | None = None) -> Gathered:
    """The runs of the quick grid that are stored, the stored runs of one data set, and the records.

    Raises:
        SettingError: there are none, or an argument is wrong.
    """
    store, wanted = store or Store(), _budget(budget)
    budgets = sorted({*BUDGETS, *([] if math.isinf(wanted) else [wanted])})
    planned = quick_grid()
    results, missing = stored(planned, store)
    parts, left_out = [evidence_of_results(results, budgets=budgets)], 0
    if dataset is not None:
        known = {(result.run.dataset, result.run.model) for result in results}
        found, left_out = stored_runs(dataset, store, known)
        parts += [evidence_of_results(runs, budgets=budgets).assign(source=source) for source, runs in found.items()]
    parts = [part for part in [*parts, evidence_of_records(lab.records())] if len(part)]
    if not parts:
        how = "make book trains them" if in_checkout() else "none come with the package"
        raise SettingError(
            f"recommend: no run of the quick grid is stored and there are no records; {how}; runs of your own answer, "
            "too, such as: python -m eecore sweep --datasets mnist1d --models vit_nano --seeds 0,1,2"
        )
    return Gathered(pd.concat(parts, ignore_index=True), planned, missing, left_out)


def answer(
    gathered: Gathered,
    dataset: str | None,
    model: str | None,
    budget: float | int | str,
    *,
    train_size: int | None = None,
    **about: Any,
) -> Recommendation:
    """The recommendation of what was gathered; see `recommend`."""
    frame, wanted, note = gathered.frame, _budget(budget), ""
    if dataset is not None and dataset not in data.names() and dataset not in set(frame["dataset"]):
        info, size = data.info(dataset), len(data.load(dataset).train)
        train_size, dataset = size if train_size is None else train_size, info.name
        if dataset not in set(frame["dataset"]):
            note, dataset = f"No seed of {info.name} is stored in all regimes. Runs on data of its size answer. ", None

    def at(share: float) -> Recommendation:
        return advise(frame, model, dataset, budget=share, train_size=train_size, **about)

    found = at(wanted) if wanted in set(frame["budget"]) else None
    if found is None or (found.broadened and wanted not in (*BUDGETS, math.inf)):
        nearest = at(min(BUDGETS, key=lambda share: abs(share - wanted)))
        if found is None or not nearest.broadened:
            taken = f"These runs have no accuracy {within(wanted)}; the nearest budget that is on record answers. "
            found, note = nearest, note + taken
    return replace(found, broadened=(note + found.broadened).strip())


def _budget(budget: float | int | str) -> float:
    if budget == FINAL:
        return math.inf
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget > 0:
        raise SettingError(f"budget: expected a fraction above 0, such as 0.5, or {FINAL!r}, got {shown(budget)}")
    return float(budget)


def stored_runs(
    dataset: str, store: Store, besides: Iterable[tuple[str, str]] = ()
) -> tuple[dict[str, list[Result]], int]:
    """The stored runs of a data set that can be compared: for each model those of one setting, in all regimes.

    A setting is everything but regime and seed: epochs, recipe, exits, heads, version. Of several the one with the most
    seeds in all regimes is taken; of equals, that with the most epochs.

    Args:
        dataset: a name, as in `Run`; its runs are known by its content.
        store: where to look.
        besides: data set and model of what is known already.
    Returns:
        Source, such as "store, 10 epochs" -> runs, and how many others of the data set are left out.
    Raises:
        SettingError: it is a regression, whose runs have no accuracy.
    """
    known = data.known("dataset", dataset)
    info = data.info(known)
    if info.task != "classification":
        raise SettingError(f"dataset: {info.name} is a {info.task}; regimes are compared by their accuracy")
    here = {"dataset": info.name, "data_fingerprint": data.load(known).fingerprint}
    settings: dict[tuple[str, int, str], dict[tuple[str, int], str]] = defaultdict(dict)
    about: dict[str, dict[str, Any]] = {}
    for key in store.stored_keys():
        record = store.record(key, "logits")
        told = record["identity"] if record else {}
        if (
            not record
            or any(told.get(name) != value for name, value in here.items())
            or (known, told["model"]) in besides
        ):
            continue
        about[key] = told
        same = repr(sorted((name, value) for name, value in told.items() if name != "seed"))
        for regime, epochs in _regimes_of(record["phases"]):
            settings[told["model"], epochs, same][regime, told["seed"]] = key
    best: dict[str, tuple[int, int, str]] = {}
    for (model, epochs, same), keys in settings.items():
        best[model] = max(best.get(model, (0, 0, "")), (_complete(keys), epochs, same))
    found: dict[str, list[Result]] = defaultdict(list)
    used = set()
    for model, (count, epochs, same) in best.items():
        for (regime, _), key in settings[model, epochs, same].items() if count else ():
            if result := _result(known, regime, epochs, key, about[key], store):
                found[f"store, {epochs} epochs"].append(result)
                used.add(key)
    return dict(found), len(set(about) - used)


def _complete(keys: Iterable[tuple[str, int]]) -> int:
    """Seeds that have all regimes of a training, counted for each training."""
    seeds = {name: {seed for regime, seed in keys if regime == name} for name in REGIMES}
    return sum(len(set.intersection(*(seeds[name] for name in names))) for names in TRAININGS.values())


def _regimes_of(phases: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Names and epochs of a phase for which a chain of phases is that of a regime; joint_long's is joint's, too."""
    names = {one.name for one in fields(Phase)}
    chain = [{name: value for name, value in phase.items() if name in names} for phase in phases]
    first = chain[0]["epochs"]
    possible = [(name, epochs) for name in REGIMES for epochs in {first, first // 2} - {0}]
    return [one for one in possible if [phase.described() for phase in phases_of(*one)] == chain]


def _result(dataset: str, regime: str, epochs: int, key: str, told: dict[str, Any], store: Store) -> Result | None:
    """A stored result, without a `Run` that would train it; None where this version cannot read its settings."""
    exits = told["exits"] if isinstance(told["exits"], str) else tuple(told["exits"])
    settings = {name: told[name] for name in ("model", "seed", "head", "threads")}
    try:
        recipe = Recipe(**told["recipe"])
        run = Run(dataset=dataset, regime=regime, epochs=epochs, exits=exits, recipe=recipe, **settings)
    except SettingError:
        return None
    entry = store.get(key, "logits")
    return entry and Result(run=run, key=key, store=store, record=entry[1], **entry[0])  # type: ignore[arg-type]


def missing_words(gathered: Gathered) -> str:
    """Which runs of the quick grid are not stored, and which stored ones do not answer."""
    planned, missing = gathered.planned, gathered.missing
    other = f" {gathered.left_out} stored runs of the data set have other settings and do not answer."
    other = other if gathered.left_out else ""
    if not missing:
        return f"All {len(planned)} runs of the quick grid are stored.{other}"
    cells = Counter(f"{run.dataset} {run.model}" for run in missing)
    named = ", ".join(f"{cell} ({count})" for cell, count in cells.items())
    how = " make book trains them." if in_checkout() else ""
    return f"{len(missing)} of {len(planned)} runs of the quick grid are not stored: {named}.{how}{other}"
