"""What an epoch of each phase takes on this machine: medians over many epochs, as one run may be disturbed."""

from collections.abc import Iterable, Sequence

import pandas as pd

from companion.pages.training_budget import share_before
from companion.tables import RUN_COLUMNS
from eecore.training import Result

__all__ = ["epoch_seconds", "seconds_table", "typical_seconds"]

PHASES = {"backbone": "1: backbone", "all": "2: backbone and heads", "heads": "3: heads", "branch": "one branch"}


def epoch_seconds(results: Iterable[Result]) -> pd.DataFrame:
    """Seconds of one epoch of each phase: the median over all epochs of all runs, shared phases counted once.

    Args:
        results: of one recipe for each data set and model.
    Returns:
        One row per data set, model and phase: trains, seconds (median), low, high (quartiles), n (epochs), macs
        (multiply-adds of an epoch, mean).
    """
    rows, seen = [], set()
    for result in results:
        about = {name: result.labels_of_run[name] for name in ("dataset", "model")}
        phases = zip(result.record["prefix_keys"], result.record["phases"], result.phase_macs, strict=True)
        for key, phase, total in phases:
            if key not in seen:
                seen.add(key)
                macs = total / phase["epochs_done"]
                rows += [
                    {**about, "trains": phase["trains"], "seconds": e["seconds"], "macs": macs}
                    for e in phase["history"]
                ]
    epochs = pd.DataFrame(rows).groupby(["dataset", "model", "trains"], sort=False)
    seconds = epochs["seconds"].quantile([0.5, 0.25, 0.75]).unstack().set_axis(["seconds", "low", "high"], axis=1)
    return seconds.assign(n=epochs.size(), macs=epochs["macs"].mean()).reset_index()


def typical_seconds(frame: pd.DataFrame, results: Sequence[Result]) -> pd.DataFrame:
    """`frame` with each run's training_seconds replaced by what its epochs take typically.

    Args:
        frame: from training_budget.long_outcomes of the same results.
        results: the runs.
    Returns:
        The frame; a run has the sum over its phases of epochs times the median seconds of such an epoch.
    """
    usual = epoch_seconds(results).set_index(["dataset", "model", "trains"])["seconds"]
    rows = []
    for result in results:
        about, phases = result.labels_of_run, result.record["phases"]
        total = sum(p["epochs_done"] * usual[about["dataset"], about["model"], p["trains"]] for p in phases)
        rows.append(
            {**about, "epochs": result.run.epochs, "share": share_before(result.run), "training_seconds": total}
        )
    keys = [*RUN_COLUMNS, "epochs", "share"]
    return frame.drop(columns="training_seconds").merge(pd.DataFrame(rows), on=keys)


def seconds_table(epochs: pd.DataFrame) -> pd.DataFrame:
    """A table of text: what an epoch of each phase takes.

    Args:
        epochs: from `epoch_seconds`.
    """
    rows = [
        {
            "model": row.model,
            "phase": PHASES[row.trains],
            "seconds of an epoch": f"{row.seconds:.3f} ({row.low:.3f} to {row.high:.3f})",
            "epochs": row.n,
            "10⁹ multiply-adds": f"{1e-9 * row.macs:.3f}",
            "seconds for 10⁹": f"{1e9 * row.seconds / row.macs:.3f}",
        }
        for row in epochs.itertuples()
    ]
    return pd.DataFrame(rows)
