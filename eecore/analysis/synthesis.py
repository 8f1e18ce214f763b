"""One row per run: what was measured of it, beside how accurate it is."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eecore.analysis import gradient_summaries, gradients, measures
from eecore.analysis.connectivity import barrier, path
from eecore.analysis.hessian import largest_eigenvalue
from eecore.analysis.over_runs import over_pairs, over_runs, per_network, regime_pairs
from eecore.data import Dataset
from eecore.models import MultiExit
from eecore.training import Result

RUN = ["dataset", "model", "regime", "seed"]
TITLES = {
    "middle_pull": "pull of the middle exits",
    "conflicts": "exits in conflict",
    "rank_first": "rank, first block",
    "rank_last": "rank, last block",
    "readable_first": "I(Y;Z) bound, first block",
    "readable_last": "I(Y;Z) bound, last block",
    "alike": "CKA of first and last block",
    "sharpness": "sharpness (log10)",
    "barrier": "barrier to disjoint",
}


def training_sharpness(model: MultiExit, dataset: Dataset, samples: int = 1000) -> pd.DataFrame:
    """Largest Hessian eigenvalue of the mean loss of all exits on the first training samples: column eigenvalue."""
    part = measures.first_samples(dataset.train, samples)
    found = largest_eigenvalue(model, part.x, part.y, None, iterations=30, tolerance=5e-2)
    return pd.DataFrame([found._asdict()]).rename(columns={"value": "eigenvalue"})


def last_exit_barrier(model_a: MultiExit, model_b: MultiExit, dataset: Dataset, statistics: int = 300) -> pd.DataFrame:
    """Barrier in loss (nats) and error (fraction) at the last exit on the straight line between two networks.

    On all test samples: a barrier is a maximum, and the maximum over few samples is too high. The first `statistics`
    training samples estimate batch norm.
    """
    test, train = dataset.test, measures.first_samples(dataset.train, statistics)
    line = path(model_a, model_a.state_dict(), model_b.state_dict(), test.x, test.y, train.x, 9)
    found = barrier(line)
    return found[found["exit"] == model_a.n_exits][["loss", "error"]].reset_index(drop=True)


def characteristics(results: Sequence[Result], progress: bool = True) -> pd.DataFrame:
    """What the other analyses measure, one number each, for the networks at the end of their training.

    Args:
        results: runs of one or several regimes.
        progress: show bars.
    Returns:
        One row per run: dataset, model, regime, seed and the keys of `TITLES`: middle_pull (middle_share's excess),
        conflicts (fraction of pairs, mean over blocks), rank_first and rank_last (eigenvalue reading, as a fraction of
        its limit), readable_first and readable_last (bound of I(Y;Z) from a linear probe, nats), alike (CKA), sharpness
        (log10 of the largest eigenvalue), barrier (in error at the last exit, to disjoint of the same seed; NaN for
        disjoint and where there is none).
    """
    runs = list(results)

    def column(frame: pd.DataFrame, value: str, name: str) -> pd.Series:
        return frame.set_index(RUN)[value].rename(name)

    products = over_runs(runs, measures.gradient_products, progress=progress)
    pull = per_network(per_network(products, gradients.shares), gradient_summaries.middle_share)
    opposed = per_network(per_network(products, gradients.cosines), gradient_summaries.fraction_negative).groupby(
        RUN, sort=False
    )["fraction_negative"]
    rank = over_runs(runs, measures.ranks, progress=progress)
    rank = rank.assign(used=rank["rank"] / rank["limit"])[rank["reading"] == "covariance eigenvalues"]
    probe = over_runs(runs, measures.probes, progress=progress)
    inside = over_runs(runs, measures.similarity, progress=progress)
    sharp = over_runs(runs, training_sharpness, progress=progress)
    columns = [
        column(pull, "middle_excess", "middle_pull"),
        opposed.mean().rename("conflicts"),
        column(_first(rank), "used", "rank_first"),
        column(_last(rank), "used", "rank_last"),
        column(_first(probe), "information", "readable_first"),
        column(_last(probe), "information", "readable_last"),
        column(_last(inside[inside["block_a"] == 0], "block_b"), "cka", "alike"),
        np.log10(column(sharp, "eigenvalue", "sharpness").clip(lower=1e-6)),
        _to_disjoint(runs, progress),
    ]
    return pd.concat(columns, axis=1).reset_index()


def _first(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["block"] == 0]


def _last(frame: pd.DataFrame, block: str = "block") -> pd.DataFrame:
    return frame[frame[block] == frame.groupby(["dataset", "model"])[block].transform("max")]


def _to_disjoint(runs: list[Result], progress: bool) -> pd.Series:
    """Barrier in error from each run to disjoint's of the same seed."""
    pairs = [pair for pair in regime_pairs(runs) if "disjoint" in (pair[0].run.regime, pair[1].run.regime)]
    if not pairs:
        index = pd.MultiIndex.from_tuples([tuple(run.labels_of_run.values()) for run in runs], names=RUN)
        return pd.Series(float("nan"), index=index, name="barrier")
    found = over_pairs(pairs, last_exit_barrier, progress=progress)
    other = found["regime_b"].where(found["regime_a"] == "disjoint", found["regime_a"])
    return found.assign(regime=other, seed=found["seed_a"]).set_index(RUN)["error"].rename("barrier")
