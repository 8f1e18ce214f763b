"""Comparisons of two networks for `over_pairs`: the loss on the way from one to the other, and how far they lie apart.

Test samples are evaluated, all of them by default; the first training samples, not augmented, estimate batch norm.

K exits, T points of a path.
"""

from collections.abc import Sequence

import pandas as pd
import torch

from eecore.analysis.bezier import bezier_path
from eecore.analysis.connectivity import along, barrier, check_same, path
from eecore.analysis.matching import align
from eecore.analysis.measures import first_samples
from eecore.data import Dataset
from eecore.errors import SettingError, choose
from eecore.models import MultiExit

STRAIGHT, ALIGNED, BEZIER = "straight", "aligned", "Bezier"
AS_STORED = "without re-estimation"
WAYS = (STRAIGHT, ALIGNED, AS_STORED, BEZIER)
BEND_SAMPLES = 1000  # training samples of a curve
PAIR = ["dataset", "model", "regime_a", "regime_b", "seed_a", "seed_b"]
PATH = [*PAIR, "way"]


def paths(
    model_a: MultiExit,
    model_b: MultiExit,
    dataset: Dataset,
    samples: int | None = None,
    points: int = 7,
    way: str = STRAIGHT,
    statistics: int = 400,
    bend: int = 60,
) -> pd.DataFrame:
    """Loss and accuracy of every exit on the way from one network to another, on test samples.

    Args:
        model_a, model_b: of one architecture; not changed.
        dataset: test samples are evaluated; training samples give the statistics of batch norm.
        samples: how many test samples, the first ones; None for all. A barrier is a maximum, too high over few.
        points: T, evenly spaced.
        way: "straight": the line between the parameters, batch norm estimated anew at every point, ends included.
            For these networks that is what REPAIR does, see `connectivity.repair`. "aligned": the same, with B's units
            in the order in which they lie nearest to A's. "without re-estimation": the line, with running statistics
            interpolated as the parameters are; for networks without batch norm it is "straight". "Bezier": a curve
            with the same ends whose middle was trained, from the straight line on, to make it low; seeded. A short
            training on few samples: its barrier is an upper bound of what a curve can reach.
        statistics: how many training samples, the first ones, estimate batch norm; a curve takes BEND_SAMPLES.
        bend: training steps of the curve.
    Returns:
        As connectivity.path: t, exit, loss (nats), accuracy (fraction).
    Raises:
        SettingError: the way is not known, or as in `connectivity.path`.
    """
    choose("way", way, WAYS)
    test, known = first_samples(dataset.test, samples), first_samples(dataset.train, statistics).x
    a, b = model_a.state_dict(), model_b.state_dict()
    check_same(a, b)
    if way == AS_STORED:
        return along(model_a, (a, b), lambda t: (1 - t, t), test.x, test.y, None, points)
    if way == BEZIER:
        curve = first_samples(dataset.train, BEND_SAMPLES)
        ends = (model_a, a, b, curve.x, curve.y, test.x, test.y)
        return bezier_path(*ends, steps=bend, batch=64, learning_rate=3e-3, points=points)
    end = align(model_a, a, b) if way == ALIGNED else b
    return path(model_a, a, end, test.x, test.y, known, points)


def barriers(frame: pd.DataFrame, by: Sequence[str] = PATH) -> pd.DataFrame:
    """`connectivity.barrier` of every path in a frame, per exit and for their mean.

    Args:
        frame: paths on top of each other, such as `over_pairs` returns for `paths`.
        by: columns that tell paths apart.
    Returns:
        Columns of `by`, then those of `connectivity.barrier`.
    Raises:
        SettingError: a column is missing or a path is not whole.
    """
    absent = set(by) - set(frame)
    if absent:
        raise SettingError(f"frame: lacks the columns {', '.join(sorted(absent))}")
    found = []
    for about, part in frame.groupby(list(by), sort=False):
        table = barrier(part)
        for place, (name, value) in enumerate(zip(by, about, strict=True)):
            table.insert(place, name, value)
        found.append(table)
    return pd.concat(found, ignore_index=True)


def distances(model_a: MultiExit, model_b: MultiExit, dataset: Dataset) -> pd.DataFrame:
    """How far two networks lie apart in the space of parameters, as they are and with B's units aligned to A's.

    Args:
        model_a, model_b: of one architecture; not changed.
        dataset: not used; every comparison is given one.
    Returns:
        One row per part ("backbone": stem, blocks and last head; "early heads") and way ("straight", "aligned"): part,
        way, distance (L2), relative (the distance over the mean of the two networks' own lengths).
    """
    a, b = model_a.state_dict(), model_b.state_dict()
    check_same(a, b)
    early = tuple(f"heads.{k}." for k in range(model_a.n_exits - 1))
    rows = []
    for way, end in ((STRAIGHT, b), (ALIGNED, align(model_a, a, b))):
        for part in ("backbone", "early heads"):
            names = [n for n, _ in model_a.named_parameters() if n.startswith(early) == (part == "early heads")]
            if not names:
                continue
            first, second = (torch.cat([s[n].double().flatten() for n in names]) for s in (a, end))
            distance = float((first - second).norm())
            length = float(first.norm() + second.norm()) / 2
            rows.append({"part": part, "way": way, "distance": distance, "relative": distance / length})
    return pd.DataFrame(rows)
