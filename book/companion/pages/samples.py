"""Tables about single test samples: how hard each one is for many networks, where it leaves, what stopping would save.

Axes: R runs, K exits, N test samples.

All seeds and regimes of one data set see the same test samples in the same order, so that a sample can be followed
through all of them. Where a network is judged by the difficulty of its samples, that difficulty comes from networks of
*other seeds*: from its own answers it would be circular.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from torch import Tensor

from companion.tables import RUN_COLUMNS
from eecore import data, inference
from eecore.errors import SettingError
from eecore.inference.difficulty import at_exit
from eecore.training import Result

DECILES = 10
CLASSES_SHOWN = 10


def overthinking(results: Iterable[Result]) -> pd.DataFrame:
    """Shares of samples that are right somewhere, wasted on or spoilt: one row per run, on test.

    Returns:
        Columns dataset, model, regime, seed, and those of `eecore.inference.overthinking`.
    """
    rows = [{**r.labels_of_run, **inference.overthinking(r.test_logits, r.test_labels)} for r in results]
    return pd.DataFrame(rows)


def taken_within(result: Result, rule: str, budget: float) -> tuple[float, Tensor | None]:
    """The threshold for a budget, chosen on validation, and the exit (0..K-1) that each test sample takes.

    Args:
        result: a run.
        rule: exit rule.
        budget: mean cost per sample as a fraction of the backbone's. Of `eecore.inference.budget_thresholds`, the
            largest whose mean validation cost is within it.
    Returns:
        NaN and None where not even the first exit is that cheap.
    """
    limits = inference.budget_thresholds(result.validation_logits, rule)
    points = inference.curve(result.validation_logits, result.validation_labels, result.macs, rule, limits)
    threshold = inference.choose_threshold(points, budget * result.backbone_macs)
    if np.isnan(threshold):
        return threshold, None
    return threshold, inference.exit_taken(inference.score(result.test_logits, rule), threshold)


def rescued(results: Iterable[Result], rule: str, budget: float) -> pd.DataFrame:
    """What leaving early does to right answers at a budget: one row per run, on test.

    Args:
        results, rule, budget: as in `taken_within`; runs that the budget does not fit are left out.
    Returns:
        Columns dataset, model, regime, seed, threshold, rescued, lost (fractions of all samples), net (their
        difference: the accuracy of leaving early minus that of the last exit).
    """
    rows = []
    for result in results:
        threshold, taken = taken_within(result, rule, budget)
        if taken is not None:
            found = inference.leaving_early(result.test_logits, result.test_labels, taken)
            net = found["rescued"] - found["lost"]
            rows.append({**result.labels_of_run, "threshold": threshold, **found, "net": net})
    return pd.DataFrame(rows, columns=[*RUN_COLUMNS, "threshold", "rescued", "lost", "net"])


def cells(results: Iterable[Result]) -> list[list[Result]]:
    """The runs in groups of one data set and model, in the order in which they come."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.run.dataset, result.run.model), []).append(result)
    return list(groups.values())


def difficulties(runs: Sequence[Result]) -> np.ndarray:
    """Relative difficulty of every test sample for every run, (R, N); the runs have one data set."""
    return np.stack([inference.relative_difficulty(r.test_logits, r.test_labels).numpy() for r in runs]).astype(float)


def _right_probability(runs: Sequence[Result]) -> np.ndarray:
    """Mean over exits of the probability that a run gives to the right class, (R, N)."""
    found = []
    for run in runs:
        p = run.test_logits.float().softmax(dim=2)
        found.append(p[:, np.arange(p.shape[1]), run.test_labels].mean(dim=0).numpy())
    return np.stack(found).astype(float)


def hardest_last(difficulty: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Indices of the samples from the easiest to the hardest.

    Args:
        difficulty: mean relative difficulty, (N).
        probability: decides between equals: the larger mean probability of the right class is easier, (N).
    Example:
        >>> hardest_last(np.array([0.5, 0.0, 0.0]), np.array([0.4, 0.6, 0.9])).tolist()
        [2, 1, 0]
    """
    return np.lexsort((-probability, difficulty.round(12)))  # a mean of equals may differ in its last bit


def deciles(order: np.ndarray, parts: int = DECILES) -> np.ndarray:
    """The part, 1 (easiest) to `parts`, of each sample; parts are as equal in size as can be.

    Args:
        order: from `hardest_last`.
        parts: number of parts.
    Raises:
        SettingError: there are fewer samples than parts.
    Example:
        >>> deciles(np.array([2, 1, 0, 3]), parts=2).tolist()
        [2, 1, 1, 2]
    """
    if len(order) < parts:
        raise SettingError(f"samples: {parts} parts take at least as many, got {len(order)}")
    found = np.empty(len(order), dtype=int)
    found[order] = np.arange(len(order)) * parts // len(order) + 1
    return found


def leaving(results: Sequence[Result], rule: str, budget: float, parts: int = DECILES) -> pd.DataFrame:
    """Where samples of each difficulty leave, at a budget, on test.

    Args:
        results: of two seeds or more. The difficulty of samples is the mean over all runs of the same data set and
            model with *another* seed, all regimes alike.
        rule, budget: as in `taken_within`; runs that the budget does not fit are left out.
        parts: groups of samples, by difficulty.
    Returns:
        One row per run and part: dataset, model, regime, seed, decile (1 = easiest), difficulty (mean, relative, for
        the other seeds), exit (mean, 1..K), cost (mean, fraction of the backbone's), accuracy.
    Raises:
        SettingError: a data set and model have one seed only, or the budget fits no run at all.
    """
    frames = []
    for runs in cells(results):
        seeds = [run.run.seed for run in runs]
        mean = [_others(values, runs, seeds) for values in (difficulties(runs), _right_probability(runs))]
        for i, run in enumerate(runs):
            _, taken = taken_within(run, rule, budget)
            if taken is None:
                continue
            right = at_exit(inference.right_at_exits(run.test_logits, run.test_labels), taken)
            costs = np.asarray(run.macs)[taken.numpy()] / run.backbone_macs
            part = deciles(hardest_last(mean[0][i], mean[1][i]), parts)
            columns = {"decile": part, "difficulty": mean[0][i], "exit": taken.numpy() + 1, "cost": costs}
            frame = pd.DataFrame({**columns, "accuracy": right.numpy().astype(float)})
            frames.append(frame.groupby("decile", as_index=False).mean().assign(**run.labels_of_run))
    if not frames:
        raise SettingError(f"budget: {budget:g} of the backbone's MACs is less than the first exit of every run costs")
    found = pd.concat(frames, ignore_index=True)
    return found[[*RUN_COLUMNS, "decile", "difficulty", "exit", "cost", "accuracy"]]


def _others(values: np.ndarray, runs: Sequence[Result], seeds: Sequence[int]) -> np.ndarray:
    """For each of `seeds`, the mean of `values` (R, N) over those of the R runs that have another seed."""
    other = np.array(seeds)[:, None] != np.array([run.run.seed for run in runs])[None, :]
    if not other.any(axis=1).all():
        where = f"{data.info(runs[0].run.dataset).name}, {runs[0].run.model}"
        raise SettingError(f"seeds: difficulty is taken from other seeds, so two or more are needed, got one ({where})")
    return other @ values / other.sum(axis=1, keepdims=True)


def spread(found: pd.DataFrame, value: str = "cost") -> pd.DataFrame:
    """How much more the hardest part has than the easiest: one row per run.

    Args:
        found: from `leaving`.
        value: one of its columns.
    Returns:
        Columns dataset, model, regime, seed, spread.
    """
    wide = found.pivot(index=RUN_COLUMNS, columns="decile", values=value)
    return (wide[wide.columns.max()] - wide[wide.columns.min()]).rename("spread").reset_index()


def agreement(results: Sequence[Result]) -> pd.DataFrame:
    """Do regimes find the same samples hard? Rank correlations of a run's difficulty with that for other seeds.

    Args:
        results: of two seeds or more.
    Returns:
        One row per run and regime it is compared with: dataset, model, regime, seed, other (regime), whose ("its own
        regime", "other regimes"), rho: Spearman's correlation of the run's difficulty with the mean difficulty for runs
        of `other` with other seeds. With its own regime, rho says how well luck lets it be known at all. NaN where all
        samples are equally hard.
    Raises:
        SettingError: a data set and model have one seed only.
    """
    rows = []
    for runs in cells(results):
        own, regimes = difficulties(runs), np.array([run.run.regime for run in runs])
        for other in dict.fromkeys(regimes.tolist()):
            there = np.flatnonzero(regimes == other)
            others = _others(own[there], [runs[i] for i in there], [run.run.seed for run in runs])
            for run, values, mean in zip(runs, own, others.round(12), strict=True):
                whose = "its own regime" if run.run.regime == other else "other regimes"
                about = {**run.labels_of_run, "other": other, "whose": whose}
                rows.append({**about, "rho": rank_correlation(values, mean)})
    return pd.DataFrame(rows)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation; NaN where one of them is constant.

    Example:
        >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 8.0, 27.0]))
        1.0
    """
    return float("nan") if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)


def examples(results: Sequence[Result], classes: int = CLASSES_SHOWN) -> pd.DataFrame:
    """The easiest and the hardest test sample of each class, for all runs together, and what each regime makes of them.

    Args:
        results: runs of one data set; every model, regime and seed counts alike.
        classes: the first so many classes are shown.
    Returns:
        One row per kind, class and regime: kind ("easiest", "hardest"), label, sample (index in test), regime,
        difficulty (mean, relative, over the regime's runs), right (share of the regime's runs whose last exit is
        right).
    Raises:
        SettingError: the runs have several data sets.
    """
    names = {data.info(run.run.dataset).name for run in results}
    if len(names) != 1:
        raise SettingError(f"results: expected runs of one data set, got {', '.join(sorted(names)) or 'none'}")
    hard, labels = difficulties(results), results[0].test_labels.numpy()
    order = hardest_last(hard.mean(axis=0), _right_probability(results).mean(axis=0))
    last = np.stack([inference.right_at_exits(r.test_logits, r.test_labels)[-1].numpy() for r in results])
    regimes = np.array([run.run.regime for run in results])
    rows = []
    for label in np.unique(labels)[:classes]:
        own = order[labels[order] == label]
        for kind, sample in (("easiest", own[0]), ("hardest", own[-1])):
            about = {"kind": kind, "label": int(label), "sample": int(sample)}
            for regime in dict.fromkeys(regimes.tolist()):
                here = regimes == regime
                found = {"difficulty": hard[here, sample].mean(), "right": last[here, sample].mean()}
                rows.append({**about, "regime": regime, **found})
    return pd.DataFrame(rows)
