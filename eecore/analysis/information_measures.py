"""Measures for `over_runs`: what every block and every exit of a network knows about the input and about the label.

N samples, D features, C classes, R components. X inputs, Y labels, Z a block's output or an exit's logits. In nats.

Which Z: the whole output, flattened, because only that is a chain X -> Z_1 -> Z_2, for which the data-processing
inequality holds. KDE sees all of it through distances. Binning, neighbours and InfoNCE fail in many dimensions and see
its first R principal components, so that they have the same R at every block; the linear probe sees the mean over
positions, as a pooled head does. Both can only lose information, but each block loses its own part: theirs is no chain.

Which noise: KDE's variance is a share of Z's total variance. A layer that merely scales its output by 2 keeps its value
so, and layers with and without batch norm can be drawn in one figure. The price: each block has its own noise, so the
noisy blocks are no chain either.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.analysis.activations import Activations, activations
from eecore.analysis.information import binned_information, label_entropy, labels, probe_bound, processing_violations
from eecore.analysis.information_checks import BINS, NEIGHBOURS
from eecore.analysis.information_critic import infonce_information
from eecore.analysis.information_kde import kawaguchi_information, kde_information, squared_distances
from eecore.analysis.information_knn import ksg_information, principal_components, ross_information
from eecore.analysis.information_known import one_hot
from eecore.analysis.measures import first_samples
from eecore.analysis.over_runs import per_network
from eecore.analysis.similarity import linear_probe
from eecore.data import Dataset, Split
from eecore.errors import SettingError
from eecore.models import MultiExit

COMPONENTS = 4
WHOLE = {"KDE", "KDE lower", "KDE upper", "Kawaguchi"}  # estimators that see all of Z


def information(
    model: MultiExit, dataset: Dataset, samples: int = 500, noise: float = 0.1, components: int = COMPONENTS
) -> pd.DataFrame:
    """I(X;Z), I(X;Z|Y) and I(Y;Z) of every block and every exit's logits, by every estimator, on test samples.

    Args:
        model: not changed.
        dataset: its test split; the probe is fitted on as many training samples.
        samples: N, the first of the split; each class needs more than 3 of them.
        noise: s^2 of KDE and of Kawaguchi's form, as a share of Z's total variance; between 0 and 1.
        components: R, for binning, neighbours and InfoNCE; fewer where Z has fewer features.
    Returns:
        Columns place ("block" or "exit"), block (index from 0; of an exit, the one it sits behind), quantity,
        estimator, value (nats), most (the largest possible value: log N for I(X;Z), H(Y) for I(Y;Z), log N - H(Y) for
        I(X;Z|Y); at most log N/2 for InfoNCE), n, d (features of Z that the estimator sees). "head" is H(Y) minus the
        exit's own cross-entropy.
    Raises:
        SettingError: a setting is out of range, a class has too few samples, or Z is the same for all samples.
    """
    _check(noise, components)
    judged, fitted = first_samples(dataset.test, samples), first_samples(dataset.train, samples)
    _check_classes(judged, fitted)
    whole = activations(model, judged.x)
    pooled, train = (activations(model, part.x, "mean") for part in (judged, fitted))
    inputs = _components(judged.x, components)
    rows = []
    for place, block in _places(whole):
        z = _output(whole, place, block)
        try:
            found = _estimates(z, judged.y, inputs, noise, components)
        except SettingError as error:
            raise SettingError(f"{place} {block}: {error}") from None
        probe = linear_probe(_output(train, place, block), fitted.y, _output(pooled, place, block), judged.y)
        found["I(Y;Z)", "probe"] = (probe.information, probe.d)
        if place == "exit":
            cross_entropy = float(torch.nn.functional.cross_entropy(z.double(), judged.y))
            found["I(Y;Z)", "head"] = (probe_bound(cross_entropy, judged.y), z.shape[1])
        rows += _rows(found, place, block, judged)
    return pd.DataFrame(rows)


def information_plane(model: MultiExit, dataset: Dataset, samples: int = 500, noise: float = 0.1) -> pd.DataFrame:
    """The two coordinates of the information plane for every block, by KDE alone: cheap enough for many snapshots.

    Args:
        model, dataset, samples, noise: as in `information`.
    Returns:
        Columns block, input (I(X;Z), KDE's upper bound), label (I(Y;Z), KDE's estimate), nats.
    Raises:
        SettingError: as `information`.
    """
    _check(noise, 1)
    judged = first_samples(dataset.test, samples)
    rows = []
    for block, z in enumerate(activations(model, judged.x).blocks.values()):
        squared = squared_distances(z)
        variance = noise * _total_variance(z)
        bounds = [kde_information(z, y, noise_variance=variance, distances=squared) for y in (None, judged.y)]
        rows.append({"block": block, "input": bounds[0].upper, "label": bounds[1].estimate})
    return pd.DataFrame(rows)


def violations(frame: pd.DataFrame, tolerance: float = 0.05) -> pd.DataFrame:
    """How often and by how much each estimator violates the data-processing inequality along the blocks.

    Args:
        frame: `information` over runs.
        tolerance: growth that is put down to chance, in nats, 0 or more.
    Returns:
        One row for each network, quantity and estimator: the columns of the network, quantity, estimator, whole
        (whether it sees all of Z), blocks (after the first), bad (number of offending ones), share, excess (the
        largest, 0 where there is none). I(X;Z|Y) is left out: the inequality says the same of it, but of noisy Z.
    Raises:
        SettingError: the tolerance is negative, or there are fewer than 2 blocks.
    """

    def of_network(part: pd.DataFrame) -> pd.DataFrame:
        rows = []
        for (quantity, estimator), values in part.groupby(["quantity", "estimator"], sort=False):
            ordered = values.sort_values("block")["value"].to_list()
            bad = processing_violations(ordered, tolerance)
            steps = len(ordered) - 1
            row = {"quantity": quantity, "estimator": estimator, "whole": estimator in WHOLE, "blocks": steps}
            worst = float(bad["excess"].max()) if len(bad) else 0.0
            rows.append(row | {"bad": len(bad), "share": len(bad) / steps, "excess": worst})
        return pd.DataFrame(rows)

    blocks = frame[(frame["place"] == "block") & (frame["quantity"] != "I(X;Z|Y)")]
    return per_network(blocks, of_network)


def since_first_epoch(planes: pd.DataFrame) -> pd.DataFrame:
    """How far each block has moved in the information plane since the end of the first epoch.

    Args:
        planes: `information_plane` over runs, with when="training".
    Returns:
        One row for each run and block: dataset, model, regime, seed, block, input, label (changes, nats).
    Raises:
        SettingError: a run was not measured after its first epoch.
    """
    keys = ["dataset", "model", "regime", "seed", "block"]
    trained = planes[planes["trained"] >= 1].sort_values("trained", kind="stable")
    runs = trained.groupby(keys, sort=False)[["input", "label"]]
    if trained.empty or (trained.groupby(keys)["trained"].first() != 1).any():
        raise SettingError("planes: a run was not measured after its first epoch; take when='training'")
    return (runs.last() - runs.first()).reset_index()


Found = dict[tuple[str, str], tuple[float, int]]  # quantity, estimator -> value, features


def _estimates(z: Tensor, y: Tensor, inputs: np.ndarray, noise: float, components: int) -> Found:
    """Everything but the probe, which needs training samples."""
    few, d = _components(z, components), z.shape[1]
    squared, variance = squared_distances(z), noise * _total_variance(z)
    given_x, given_y = (kde_information(z, of, noise_variance=variance, distances=squared) for of in (None, y))
    classes, counts = labels(y)
    coded = one_hot(classes, len(counts))
    of_few = {
        ("I(X;Z)", "binning"): binned_information(few, bins=BINS),
        ("I(X;Z)", "KSG"): ksg_information(inputs, few, neighbours=NEIGHBOURS),
        ("I(X;Z)", "InfoNCE"): infonce_information(inputs, few),
        ("I(Y;Z)", "binning"): binned_information(few, y, bins=BINS),
        ("I(Y;Z)", "Ross"): ross_information(few, y, neighbours=NEIGHBOURS),
        ("I(Y;Z)", "InfoNCE"): infonce_information(few, coded),
    }
    of_all = {
        ("I(X;Z)", "KDE lower"): given_x.lower,
        ("I(X;Z)", "KDE upper"): given_x.upper,
        ("I(Y;Z)", "KDE"): given_y.estimate,
        ("I(Y;Z)", "KDE lower"): given_y.lower,
        ("I(Y;Z)", "KDE upper"): given_y.upper,
        ("I(X;Z|Y)", "Kawaguchi"): kawaguchi_information(z, y, noise_variance=variance),
    }
    return {k: (v, few.shape[1]) for k, v in of_few.items()} | {k: (v, d) for k, v in of_all.items()}


def _components(z: Tensor, components: int) -> np.ndarray:
    flat = z.flatten(1)
    return principal_components(flat, min(components, flat.shape[1], len(flat) - 1))


def _total_variance(z: Tensor) -> float:
    """Summed over features: half the mean squared distance of two samples."""
    total = float(z.double().flatten(1).var(0, correction=0).sum())
    if not total > 0:
        raise SettingError(f"Z is the same for all {len(z)} samples, there is nothing to measure")
    return total


def _places(found: Activations) -> list[tuple[str, int]]:
    """Every block, and every exit by the block that it sits behind."""
    names = list(found.blocks)
    return [("block", i) for i in range(len(names))] + [("exit", names.index(name)) for name in found.exits]


def _output(found: Activations, place: str, block: int) -> Tensor:
    name = list(found.blocks)[block]
    return found.blocks[name] if place == "block" else found.logits[found.exits.index(name)]


def _rows(found: Found, place: str, block: int, judged: Split) -> list[dict[str, Any]]:
    n, told = len(judged), label_entropy(judged.y)
    most = {"I(Y;Z)": told, "I(X;Z|Y)": math.log(n) - told}
    rows = []
    for (quantity, estimator), (value, d) in found.items():
        pairs = n - n // 2 if estimator == "InfoNCE" else n
        ceiling = min(most.get(quantity, math.log(pairs)), math.log(pairs))
        about = {"place": place, "block": block, "quantity": quantity, "estimator": estimator}
        rows.append(about | {"value": float(value), "most": ceiling, "n": n, "d": d})
    return rows


def _check(noise: float, components: int) -> None:
    if not 0 < noise < 1:
        raise SettingError(f"noise: a share of the variance between 0 and 1 is needed, {noise} came")
    if components < 1:
        raise SettingError(f"components: at least 1 is needed, {components} came")


def _check_classes(judged: Split, fitted: Split) -> None:
    """Each class needs enough neighbours, and training samples for the probe."""
    present, counts = judged.y.unique(return_counts=True)
    if len(present) < 2 or int(counts.min()) <= NEIGHBOURS:
        raise SettingError(
            f"samples: the first {len(judged)} hold {int(counts.min())} of one class; at least 2 classes with more "
            f"than {NEIGHBOURS} samples each are needed"
        )
    absent = set(present.tolist()) - set(fitted.y.tolist())
    if absent:
        raise SettingError(f"samples: class {min(absent)} is not among the first {len(fitted)} training samples")
