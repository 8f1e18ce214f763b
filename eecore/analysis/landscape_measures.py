"""Measures of the loss landscape for `over_runs`: sharpness, surfaces, and the plane through three networks.

What is said of one network is said of the loss that training descends on, so it is measured on training samples, not
augmented. What lies between networks is measured on test samples, as in `connectivity_measures`.

K exits.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from eecore.analysis.connectivity import MEAN
from eecore.analysis.hessian import largest_eigenvalue, sharpness
from eecore.analysis.landscape import (
    Direction,
    checked_labels,
    evaluate,
    filter_normalised_direction,
    plane,
    visit,
)
from eecore.analysis.measures import first_samples
from eecore.analysis.planes import plane_of_three, three_model_plane
from eecore.analysis.untouched import untouched
from eecore.data import Dataset
from eecore.errors import SettingError
from eecore.inference.checks import Number
from eecore.models import MultiExit


def sharpness_by_exit(
    model: MultiExit, dataset: Dataset, samples: int = 1000, iterations: int = 30, tolerance: float = 0.05
) -> pd.DataFrame:
    """Largest Hessian eigenvalue of every exit's loss and of the training loss, on training samples.

    Args:
        model: not changed; in eval mode.
        dataset: its training split is used.
        samples: how many, the first ones. The largest eigenvalue over few samples is not that of the loss, and by how
            much it is off depends on the regime.
        iterations, tolerance: of Lanczos. The eigenvalue's relative error is of the order of the residual's square
            over the gap to the next one, so that a residual of 0.05 is enough for a table.
    Returns:
        One row per exit (1..K) and one for "mean", the loss averaged over exits: exit, eigenvalue (nats per squared
        unit of the parameters), iterations, residual.
    """
    part = first_samples(dataset.train, samples)
    found = sharpness(model, part.x, part.y, iterations=iterations, tolerance=tolerance)
    whole = largest_eigenvalue(model, part.x, part.y, iterations=iterations, tolerance=tolerance)
    whole_row = pd.DataFrame([[MEAN, *whole]], columns=list(found))
    return pd.concat([found.astype({"exit": object}), whole_row], ignore_index=True)


def surfaces(
    model: MultiExit, dataset: Dataset, samples: int = 200, steps: int = 17, radius: Number = 1.0, seed: int = 0
) -> pd.DataFrame:
    """The plane spanned by two random, filter-normalised directions around a model, on training samples.

    Args:
        model: the centre; not changed.
        dataset: its training split is used.
        samples: how many, the first ones.
        steps: points per axis, odd.
        radius: the plane goes from -radius to radius; 1 is one filter-normalised direction.
        seed: of the directions: one seed draws the same numbers for every model, scaled to that model's filters.
    Returns:
        One row per point and exit, and exit "mean": a, b, exit, loss (nats).
    """
    part = first_samples(dataset.train, samples)
    found = plane(model, part.x, part.y, _directions(model, seed), radius, steps)
    b, a = (grid.ravel() for grid in np.meshgrid(found.b, found.a, indexing="ij"))
    return _long(a, b, found.loss)


def rise(
    model: MultiExit, dataset: Dataset, samples: int = 200, radius: Number = 0.25, planes: int = 2
) -> pd.DataFrame:
    """How much the loss rises at one distance from a model, mean over random filter-normalised directions.

    A second reading of flatness beside the Hessian: it does not change where a filter and what follows it are scaled
    against each other, and it asks at a finite distance.

    Args:
        model: not changed.
        dataset: its training split is used.
        samples: how many, the first ones.
        radius: the distance, in units of the filters' own lengths.
        planes: each gives four points, forth and back along two directions.
    Returns:
        One row per exit (1..K) and one for "mean": exit, rise (nats).
    Raises:
        SettingError: radius or planes are not above 0.
    """
    if planes < 1 or not 0 < radius < float("inf"):
        raise SettingError(f"radius, planes: expected both above 0, got {radius} and {planes}")
    part = first_samples(dataset.train, samples)
    y = checked_labels(model, part.x, part.y)
    ring = radius * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], dtype=float)
    origin = {name: p.detach().clone() for name, p in model.named_parameters()}
    rises = []
    for seed in range(planes):
        loss, _ = visit(model, origin, _directions(model, seed), ring, lambda m: evaluate(m, part.x, y))
        rises.append(loss[1:].mean(axis=0) - loss[0])
    mean = np.mean(rises, axis=0)
    return pd.DataFrame({"exit": [*range(1, len(mean) + 1), MEAN], "rise": [*mean.tolist(), float(mean.mean())]})


def own_loss(model: MultiExit, dataset: Dataset, samples: int = 200) -> pd.DataFrame:
    """Loss of every exit on the training samples that `surfaces` uses: exit (1..K), loss (nats)."""
    part = first_samples(dataset.train, samples)
    y = checked_labels(model, part.x, part.y)
    with untouched(model):
        loss, _ = evaluate(model, part.x, y)
    return pd.DataFrame({"exit": range(1, len(loss) + 1), "loss": loss})


def chosen_surfaces(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first, a middle and the last exit and of the training loss, named in a column `surface`.

    Args:
        frame: with a column exit: 1..K and "mean".
    Returns:
        In this order: "exit 1", the middle exit (of an even K the earlier one), the last exit, "training loss"; fewer
        where K is below 3.
    Raises:
        SettingError: there is no exit in the frame.
    """
    exits = sorted({value for value in frame["exit"] if value != MEAN})
    if not exits:
        raise SettingError("frame: expected rows of exits 1 to K, none came")
    wanted = list(dict.fromkeys([exits[0], exits[(len(exits) - 1) // 2], exits[-1]]))
    names = {value: f"exit {value}" for value in wanted} | {MEAN: "training loss"}
    parts = [frame[frame["exit"] == value].assign(surface=name) for value, name in names.items()]
    return pd.concat(parts, ignore_index=True)


def plane_of_models(
    models: Sequence[MultiExit], dataset: Dataset, samples: int = 200, steps: int = 17, statistics: int = 400
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """The plane through three networks, on test samples, batch norm estimated anew at every point.

    Args:
        models: three of one architecture; not changed.
        dataset: test samples are evaluated; training samples give the statistics of batch norm.
        samples: how many test samples, the first ones.
        steps: points per axis.
        statistics: how many training samples estimate batch norm.
    Returns:
        The grid, a row per point and exit and exit "mean": a, b (distances from the first network), exit, loss. The
        three networks, a row for each and each exit and "mean": model (0..2), a, b, exit, loss. Their distances, 3 x 3.
    Raises:
        SettingError: there are not three, or as in `three_model_plane`.
    """
    if len(models) != 3:
        raise SettingError(f"models: three are needed for a plane, {len(models)} came")
    basis = three_model_plane(*models)
    test, known = first_samples(dataset.test, samples), first_samples(dataset.train, statistics).x
    grid, own = plane_of_three(basis, models[0], test.x, test.y, known, steps=steps)
    b, a = (axis.ravel() for axis in np.meshgrid(grid.b, grid.a, indexing="ij"))
    loss = own["loss"].to_numpy().reshape(3, -1).T  # (K, 3)
    marks = _long(basis.coordinates[:, 0], basis.coordinates[:, 1], loss)
    return _long(a, b, grid.loss), marks.assign(model=[*range(3)] * (len(loss) + 1)), basis.distances


def _directions(model: MultiExit, seed: int) -> tuple[Direction, Direction]:
    generator = torch.Generator().manual_seed(seed)
    return filter_normalised_direction(model, generator), filter_normalised_direction(model, generator)


def _long(a: np.ndarray, b: np.ndarray, loss: np.ndarray) -> pd.DataFrame:
    """Points and the losses of all exits (exits first), and their mean, as a long frame."""
    named = [*enumerate(loss, start=1), (MEAN, loss.mean(axis=0))]
    parts = [pd.DataFrame({"a": a, "b": b, "exit": name, "loss": values.ravel()}) for name, values in named]
    return pd.concat(parts, ignore_index=True)
