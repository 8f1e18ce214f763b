"""What a data set knows about each sample, beside what networks make of it: do its factors explain difficulty?

Axes: N test samples.

Difficulty is the relative difficulty of eecore.inference, averaged over the regimes of one data set, model and seed
where regimes are not told apart.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from companion.pages.samples import cells, deciles, difficulties, rank_correlation
from companion.tables import RUN_COLUMNS
from eecore import data
from eecore.training import Result

PARTS = 5


def factors_of(dataset: str) -> dict[str, np.ndarray]:
    """Factors of the test samples; one that takes both signs, such as a slope, by its size, with bars around its name.

    Example:
        >>> list(factors_of("mnist1d"))
        ['padding', 'scale', 'translation', 'corr_noise', 'iid_noise', '|shear|']
    """
    found = {}
    for name, values in data.load(dataset).test.factors.items():
        signed = values.min() < 0 < values.max()
        found[f"|{name}|" if signed else name] = np.abs(values) if signed else np.asarray(values)
    return found


def factor_correlations(results: Sequence[Result]) -> pd.DataFrame:
    """Spearman's correlation of the difficulty of test samples with each factor: one row per run and factor.

    Args:
        results: runs; those of data sets without factors are left out.
    Returns:
        Columns dataset, model, regime, seed, factor, rho. NaN where all samples are equally hard.
    """
    rows = []
    for runs in cells(results):
        factors = factors_of(runs[0].run.dataset)
        for run, hard in zip(runs, difficulties(runs) if factors else (), strict=bool(factors)):
            rows += [
                {**run.labels_of_run, "factor": name, "rho": rank_correlation(hard, values)}
                for name, values in factors.items()
            ]
    return pd.DataFrame(rows, columns=[*RUN_COLUMNS, "factor", "rho"])


def factor_profile(results: Sequence[Result], parts: int = PARTS) -> pd.DataFrame:
    """Mean difficulty of the fifths of the test samples by each factor: one row per run, factor and fifth.

    Args:
        results: runs; those of data sets without factors are left out.
        parts: groups of samples, from the smallest values of a factor to the largest; equal values by the order of the
            samples, which is random.
    Returns:
        Columns dataset, model, regime, seed, factor, part (1..parts), difficulty.
    """
    frames = []
    for runs in cells(results):
        hard = difficulties(runs)
        for name, values in factors_of(runs[0].run.dataset).items():
            part = deciles(np.argsort(values, kind="stable"), parts)
            means = np.stack([hard[:, part == p].mean(axis=1) for p in range(1, parts + 1)])
            for i, run in enumerate(runs):
                found = {"factor": name, "part": np.arange(1, parts + 1), "difficulty": means[:, i]}
                frames.append(pd.DataFrame(found).assign(**run.labels_of_run))
    columns = [*RUN_COLUMNS, "factor", "part", "difficulty"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def class_profile(results: Sequence[Result]) -> pd.DataFrame:
    """Mean difficulty of the test samples of each class: one row per run and class.

    Returns:
        Columns dataset, model, regime, seed, label, difficulty.
    """
    frames = []
    for runs in cells(results):
        labels = runs[0].test_labels.numpy()
        for run, hard in zip(runs, difficulties(runs), strict=True):
            means = pd.Series(hard).groupby(labels).mean()
            frames.append(pd.DataFrame({"label": means.index, "difficulty": means}).assign(**run.labels_of_run))
    return pd.concat(frames, ignore_index=True)[[*RUN_COLUMNS, "label", "difficulty"]]


def over_regimes(frame: pd.DataFrame, value: str, by: Sequence[str]) -> pd.DataFrame:
    """Means over regimes: one row per data set, model, seed and `by`."""
    return frame.groupby(["dataset", "model", "seed", *by], sort=False, observed=True)[value].mean().reset_index()


def explained(results: Sequence[Result]) -> pd.DataFrame:
    """How much of the difficulty of samples is told by their factors and class, and how much by other seeds.

    Factors, class, or both: ridge regression on them, their squares and products, on fifths of the test samples that
    were left out; 0 is as good as the mean. Other seeds: squared correlation with the mean difficulty for other seeds;
    what luck leaves to be told.

    Args:
        results: runs of two seeds or more; those of data sets without factors are left out.
    Returns:
        One row per data set, model, seed and source ("factors", "class", "factors and class", "other seeds"): r2. NaN
        where all samples are equally hard.
    """
    rows = []
    for runs in cells(results):
        factors = factors_of(runs[0].run.dataset)
        if not factors:
            continue
        known, labels = np.column_stack(list(factors.values())), runs[0].test_labels.numpy()
        classes = np.eye(int(labels.max()) + 1)[labels]
        inputs = {"factors": known, "class": classes, "factors and class": np.hstack([known, classes])}
        seeds = np.array([run.run.seed for run in runs])
        hard = difficulties(runs)
        for seed in dict.fromkeys(seeds.tolist()):
            own, others = hard[seeds == seed].mean(axis=0), hard[seeds != seed].mean(axis=0)
            about = {"dataset": runs[0].labels_of_run["dataset"], "model": runs[0].run.model, "seed": seed}
            r2 = {source: _left_out(given, own) for source, given in inputs.items()}
            r2["other seeds"] = _squared_correlation(own, others)
            rows += [{**about, "source": source, "r2": value} for source, value in r2.items()]
    return pd.DataFrame(rows, columns=["dataset", "model", "seed", "source", "r2"])


def _left_out(inputs: np.ndarray, target: np.ndarray) -> float:
    """1 - squared errors over squared deviations, on samples that were left out of the fit."""
    if np.ptp(target) == 0.0:
        return float("nan")
    ridge = RidgeCV(alphas=np.logspace(0, 4, 5))
    model = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler(), ridge)
    predicted = cross_val_predict(model, inputs, target, cv=KFold(5, shuffle=True, random_state=0))
    return float(1 - np.square(predicted - target).sum() / np.square(target - target.mean()).sum())


def _squared_correlation(a: np.ndarray, b: np.ndarray) -> float:
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1] ** 2)
