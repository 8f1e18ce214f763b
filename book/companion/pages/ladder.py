"""One training cost, several lengths of training: what records of small networks say of each pair of regimes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from companion import lab
from companion.lab.plan import PLAN
from companion.pages.pooling import over_cells
from companion.plotting import shown_value

__all__ = ["PAIRS", "complete", "in_words", "pooled"]

PAIRS = (("mixed", "joint_long"), ("mixed", "disjoint_long"), ("joint_long", "disjoint_long"))
_CELL = ["dataset", "model"]


def complete(folder: Path) -> Iterator[tuple[int, Path]]:
    """Epochs of each phase, ascending, and the folder of those lengths whose planned runs are all on record.

    Args:
        folder: with a folder for each length, which holds a plan and its records; it may be missing.
    """
    found = []
    for part in folder.glob(f"*/{PLAN}"):
        plan = lab.read_plan(part)
        state = lab.runs_status(plan, part.parent)["state"]
        if len(state) and (state == "done").all():
            found.append((next(plan.planned()).entry.epochs, part.parent))
    yield from sorted(found)


def pooled(found: Mapping[int, lab.Records]) -> pd.DataFrame:
    """Differences between regimes of one training cost, over all combinations of data and model, each once.

    Args:
        found: records by the epochs of a phase.
    Returns:
        One row per length, pair and exit (first, last): epochs, outcome, a, b, label, mean, low, high (fractions, 95 %
        t interval over combinations of the means over seeds), n (combinations), p, cost (training multiply-adds of a
        over those of b).
    """
    rows = []
    for epochs, records in found.items():
        test = records.exits[records.exits["split"] == "test"]
        last = test.groupby(_CELL)["exit"].transform("max")
        for outcome, part in {"first exit": test[test["exit"] == 1], "last exit": test[test["exit"] == last]}.items():
            right, macs = (
                part.pivot(index=[*_CELL, "seed"], columns="regime", values=name)
                for name in ("accuracy", "training_macs")
            )
            for a, b in PAIRS:
                gap = over_cells((right[a] - right[b]).rename("gap").reset_index(), "gap", _CELL)
                about = {
                    "epochs": epochs,
                    "outcome": outcome,
                    "a": a,
                    "b": b,
                    "label": f"{epochs} epochs · {_names(a, b)}",
                }
                estimate = {"mean": gap.mean, "low": gap.low, "high": gap.high, "n": gap.n, "p": gap.p}
                rows.append({**about, **estimate, "cost": float((macs[a] / macs[b]).mean())})
    columns = ["epochs", "outcome", "a", "b", "label", "mean", "low", "high", "n", "p", "cost"]
    return pd.DataFrame(rows, columns=columns).sort_values(["outcome", "a", "b"], kind="stable", ignore_index=True)


def in_words(frame: pd.DataFrame) -> str:
    """What the lengths have in common, and the differences from the shortest to the longest training.

    Args:
        frame: from `pooled`; without rows nothing is said.
    """
    if frame.empty:
        return ""
    apart = ((frame["low"] > 0) | (frame["high"] < 0)).groupby([frame["outcome"], frame["a"], frame["b"]]).mean()
    first, last = apart["first exit"], apart["last exit"]
    lead = "At one training cost the regimes "
    if (last == 0).all() and (first == 1).all():
        lead += "**differ at the first exit, and at the last one they cannot be told apart**, however long they train"
    else:
        lead += (
            f"are told apart in {first.mean():.0%} of the comparisons at the first exit, {last.mean():.0%} at the last"
        )
    about = f"{int(frame['n'].max())} combinations of data and model, each once; points, with 95 % intervals"
    parts = [f"- {outcome}\n{_pairs(part)}" for outcome, part in frame.groupby("outcome", sort=False)]
    return f"{lead} ({about}):\n\n" + "\n".join(parts)


def _pairs(part: pd.DataFrame) -> str:
    """The differences of each pair of regimes at one exit, a line each."""
    lines = []
    for (a, b), pair in part.groupby(["a", "b"], sort=False):
        each = (
            f"{100 * row.mean:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}] at {row.epochs} epochs a phase"
            for row in pair.itertuples()
        )
        lines.append(f"  - *{_names(a, b)}*: {', '.join(each)}")
    return "\n".join(lines)


def _names(a: str, b: str) -> str:
    """Two regimes as they are called where all have one cost."""
    return " − ".join(shown_value("regime", name.removesuffix("_long")) for name in (a, b))
