"""Measure many trained networks and put the answers into one long frame, each answer computed once.

A measure is a function `(model, dataset, **settings) -> frame`; a comparison takes two models. An answer is stored
beside the weights it belongs to, under the hash of the measure's name, its settings and the source of eecore.analysis,
so that pages share answers and a page with another setting computes only what is new.
"""

import contextlib
import functools
import hashlib
import importlib
import inspect
import itertools
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from eecore import data
from eecore.errors import SettingError, choose
from eecore.training import Result
from eecore.training.identity import source_text
from eecore.training.optim import torch_settings
from eecore.training.result import Moment

Measure = Callable[..., pd.DataFrame]
Pair = tuple[Result, Result]
WHEN = ("end", "phases", "thinned", "training")
UNTRAINED = "untrained"
NETWORK = ["dataset", "model", "regime", "seed", *Moment._fields]


def over_runs(
    results: Sequence[Result],
    measure: Measure,
    when: str = "end",
    untrained: bool = False,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Measure the network of every run, at the end or on the way.

    Args:
        results: the runs.
        measure: called as `measure(model, dataset, **settings)`; a function of a module or of a notebook, so that it
            has a name and a source. Answers of one's own measure are computed again when its source changes; what
            other functions of one's own it calls is not looked at.
        when: "end" of the run; "phases", before training and after each phase; "training", the epochs 1, 2, 4, ... of
            each phase too; "thinned", of these the epochs 1, 4, 16, ... alone.
        untrained: with the networks before training as one more regime, "untrained", once per data set, model and seed.
        progress: show a bar.
        settings: passed on; plain values.
    Returns:
        The measure's rows with the columns dataset, model, regime, seed, phase (0 before training), epoch (of the
        phase), trained (epochs in all) in front.
    Raises:
        SettingError: no results, `when` is unknown, or what the measure raises.
        StoreError: weights are missing.
    """
    choose("when", when, WHEN)
    if not results:
        raise SettingError("results: at least one run is needed, none came")
    wanted = list(_wanted(results, when, untrained))
    frames = []
    with tqdm(wanted, disable=not progress, unit="network", desc=measure.__name__, leave=False) as bar:
        for result, asked, moment, regime in bar:
            frame = _answer(asked, moment, measure, settings)
            about = {**result.labels_of_run, "regime": regime, **moment._asdict()}
            frames.append(_labelled(frame, about))
    return pd.concat(frames, ignore_index=True)


def over_pairs(pairs: Iterable[Pair], compare: Measure, progress: bool = True, **settings: Any) -> pd.DataFrame:
    """Compare the trained networks of pairs of runs.

    Args:
        pairs: such as `regime_pairs` and `seed_pairs` give; both runs of a pair have one data set and one model.
        compare: called as `compare(model_a, model_b, dataset, **settings)`.
        progress, settings: as in `over_runs`.
    Returns:
        The comparison's rows with dataset, model, regime_a, regime_b, seed_a, seed_b in front.
    Raises:
        SettingError: no pairs, or a pair of different architectures or data.
    """
    pairs = list(pairs)
    if not pairs:
        raise SettingError("pairs: at least one is needed, none came; it takes two regimes, or two seeds")
    frames = []
    with tqdm(pairs, disable=not progress, unit="pair", desc=compare.__name__, leave=False) as bar:
        for a, b in bar:
            if (a.run.dataset, a.run.model) != (b.run.dataset, b.run.model):
                raise SettingError(f"pairs: {a.run.dataset} {a.run.model} and {b.run.dataset} {b.run.model} differ")
            name = _name(compare, {**settings, "with": b.key})
            frame = _stored(a, a.key, name)
            if frame is None:
                with _threads(a.run.threads):
                    frame = compare(a.model(), b.model(), data.load(a.run.dataset), **settings)
                _keep(a, a.key, name, frame)
            about = {"dataset": data.info(a.run.dataset).name, "model": a.run.model}
            about |= {"regime_a": a.run.regime, "regime_b": b.run.regime, "seed_a": a.run.seed, "seed_b": b.run.seed}
            frames.append(_labelled(frame, about))
    return pd.concat(frames, ignore_index=True)


def per_network(
    frame: pd.DataFrame, function: Callable[[pd.DataFrame], pd.DataFrame | Mapping[str, float]]
) -> pd.DataFrame:
    """Apply a function to the rows of each network of a frame from `over_runs`.

    Args:
        frame: what `over_runs` returned.
        function: rows of one network -> a frame, or a mapping for one row; such as gradient_summaries.by_exit.
    Returns:
        What it returned, with the columns of the network in front.
    """
    frames = []
    for about, part in frame.groupby(NETWORK, sort=False):
        found = function(part)
        table = found if isinstance(found, pd.DataFrame) else pd.DataFrame([found])
        frames.append(_labelled(table, dict(zip(NETWORK, about, strict=True))))
    return pd.concat(frames, ignore_index=True)


def regime_pairs(results: Iterable[Result]) -> list[Pair]:
    """All pairs of two regimes with the same data set, model and seed: they began with the same weights."""
    runs = list(results)
    return [(a, b) for a, b in itertools.combinations(runs, 2) if _cell(a) == _cell(b) and a.run.seed == b.run.seed]


def seed_pairs(results: Iterable[Result]) -> list[Pair]:
    """Pairs of one regime with seeds that follow each other in the order given, the last with the first.

    So every seed is in two pairs; with two seeds there is one pair. They began with independent weights.
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((*_cell(result), result.run.regime), []).append(result)
    pairs = []
    for runs in groups.values():
        following = list(itertools.pairwise([*runs, runs[0]]))
        pairs += following[:1] if len(runs) == 2 else following if len(runs) > 2 else []
    return pairs


def _cell(result: Result) -> tuple[str, str]:
    return result.run.dataset, result.run.model


def _wanted(results: Sequence[Result], when: str, untrained: bool) -> Iterator[tuple[Result, Result, Moment, str]]:
    """A run, the run whose network is measured for it, when, and what the row's regime is called.

    Regimes of one seed begin with one network: it is measured for the first of them alone.
    """
    seen = set()
    first: dict[tuple[Any, ...], Result] = {}
    for result in results:
        moments, run = _moments(result, when), result.run
        start = (*_cell(result), run.seed)
        begun = first.setdefault((*start, run.exits, run.head, run.outputs, run.pretrained), result)
        if untrained and start not in seen:
            seen.add(start)
            yield result, begun, Moment(0, 0, 0), UNTRAINED
        for moment in moments:
            yield result, result if moment.phase else begun, moment, run.regime


def _moments(result: Result, when: str) -> list[Moment]:
    ends = result.moments(training=False)
    if when in ("end", "phases"):
        return ends if when == "phases" else ends[-1:]
    every = result.moments()  # epochs are powers of two; every other one is a power of four
    return [m for m in every if when == "training" or m in ends or m.epoch.bit_length() % 2]


def _labelled(frame: pd.DataFrame, about: dict[str, Any]) -> pd.DataFrame:
    front = pd.DataFrame({name: [value] * len(frame) for name, value in about.items()})
    return pd.concat([front, frame.reset_index(drop=True)], axis=1)


def _answer(result: Result, moment: Moment, measure: Measure, settings: dict[str, Any]) -> pd.DataFrame:
    """The stored answer for the network at `moment`, or a new one."""
    key = result.record["prefix_keys"][max(moment.phase - 1, 0)]
    name = _name(measure, {**settings, "phase": min(moment.phase, 1), "epoch": moment.epoch})
    frame = _stored(result, key, name)
    if frame is None:
        model = result.model(moment.phase, moment.epoch)
        with _threads(result.run.threads):
            frame = measure(model, data.load(result.run.dataset), **settings)
        _keep(result, key, name, frame)
    return frame


def _stored(result: Result, key: str, name: str) -> pd.DataFrame | None:
    record = result.store.record(key, name)
    return None if record is None else pd.DataFrame(json.loads(record["frame"]))


def _keep(result: Result, key: str, name: str, frame: pd.DataFrame) -> None:
    result.store.put(key, name, {}, {"frame": json.dumps(frame.to_dict("list"))})


@contextlib.contextmanager
def _threads(threads: int) -> Iterator[None]:
    """As many threads as the run was trained with, in torch, numpy and scipy: several pages are made at once."""
    with torch_settings(threads), threadpool_limits(threads):
        yield


def _name(measure: Measure, settings: dict[str, Any]) -> str:
    """Name of the store's entry for an answer; a setting that is left out counts as its default."""
    defaults = {n: p.default for n, p in inspect.signature(measure).parameters.items() if p.default is not p.empty}
    whose = [measure.__module__, measure.__qualname__, _defined(measure)]
    text = json.dumps([*whose, {**defaults, **settings}, _source()], sort_keys=True)
    return f"measured-{measure.__name__}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _defined(measure: Measure) -> str:
    """Source of a measure that is not in eecore.analysis: who changes their own measure gets new answers."""
    assert __package__ is not None
    if measure.__module__.startswith(f"{__package__}."):
        return ""
    try:
        return inspect.getsource(measure)
    except (OSError, TypeError):
        name = measure.__qualname__
        raise SettingError(f"measure: the source of {name} cannot be read; define it in a file or a cell") from None


@functools.cache
def _source() -> str:
    """Hash of what the modules of eecore.analysis do."""
    assert __package__ is not None
    folder = importlib.import_module(__package__).__path__
    names = sorted(module.name for module in pkgutil.iter_modules(folder))
    texts = [source_text(importlib.import_module(f"{__package__}.{name}")) for name in names]
    return hashlib.sha256("".join(texts).encode()).hexdigest()
