"""Measurements as rows: several runs in turn, their median, and the goal that they stand beside.

A machine's speed drifts, most of all a shared one. So what is compared is run in turn, A B A B ..., each pair gives a
ratio, and a row holds the median of them with the lowest and the highest.
"""

import json
import operator
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch

from eecore.errors import SettingError

COMPARISONS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        name: what was measured, with its size.
        value: median of the runs, in `unit`.
        low, high: the lowest and the highest run, or an interval where the name says so.
        runs: how many.
        unit: "s", "x" (how many times) or another.
        peer: what it is compared with, or the limit and where it comes from.
        goal: "<= number" or ">= number" for the value; empty where there is none.
        holds: whether the value meets the goal; None where there is none.
    """

    name: str
    value: float
    low: float
    high: float
    runs: int
    unit: str
    peer: str
    goal: str
    holds: bool | None


def row(name: str, values: Sequence[float], unit: str, peer: str = "", goal: str = "") -> Row:
    """The row of several runs of one measurement.

    Args:
        name, unit, peer, goal: as in `Row`.
        values: of the runs, in `unit`, at least one.
    Raises:
        SettingError: no values, or a goal that is not a comparison and a number.
    Example:
        >>> row("a sum", [0.2, 0.1, 0.4], "s", goal="<= 0.3").holds
        True
    """
    if not values:
        raise SettingError(f"values: at least one is needed for {name!r}, got none")
    middle = float(statistics.median(values))
    holds = meets(middle, goal) if goal else None
    return Row(name, middle, float(min(values)), float(max(values)), len(values), unit, peer, goal, holds)


def meets(value: float, goal: str) -> bool:
    """Whether a value meets a goal such as ">= 2.2".

    Raises:
        SettingError: the goal is not a comparison and a number.
    """
    found = re.fullmatch(r"(<=|>=) (\d+(?:\.\d+)?)", goal)
    if found is None:
        raise SettingError(f"goal: expected '<= number' or '>= number', got {goal!r}")
    return bool(COMPARISONS[found[1]](value, float(found[2])))


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """`work` as a function that returns how long it took, for `in_turn`."""
    return lambda: seconds(work)


def in_turn(measured: Mapping[str, Callable[[], float]], repeats: int, warm_up: bool = True) -> dict[str, list[float]]:
    """Call every function once, then again, `repeats` times, so that a drift of the machine meets all alike.

    Args:
        measured: name -> function that returns its own seconds.
        repeats: calls of each that count, at least 1.
        warm_up: call each once before, uncounted.
    Returns:
        Seconds of each, in the order of the turns.
    """
    if repeats < 1:
        raise SettingError(f"repeats: expected at least 1, got {repeats}")
    if warm_up:
        for work in measured.values():
            work()
    turns = [{name: work() for name, work in measured.items()} for _ in range(repeats)]
    return {name: [turn[name] for turn in turns] for name in measured}


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Turn by turn, how many times as long `above` took.

    Example:
        >>> ratios([4.0, 9.0], [2.0, 3.0])
        [2.0, 3.0]
    """
    return [a / b for a, b in zip(above, below, strict=True)]


def about() -> dict[str, object]:
    """The machine and the moment: what a reader needs to judge the seconds."""
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "load": round(os.getloadavg()[0], 2),  # programs that wanted a core in the last minute
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def as_table(rows: Sequence[Row]) -> str:
    """Rows as text, the goal and what was measured side by side."""
    lines = []
    for r in rows:
        verdict = {True: "yes", False: "NO", None: ""}[r.holds]
        spread = f"{_short(r.low)} to {_short(r.high)}"
        lines.append((r.name, _short(r.value), spread, str(r.runs), r.unit, r.goal, verdict, r.peer))
    heads = ["measured", "value", "low to high", "runs", "unit", "goal", "holds", "peer or limit"]
    frame = pd.DataFrame(lines, columns=heads)
    for head in ("measured", "peer or limit"):
        width = max([len(head), *map(len, frame[head])])
        frame[head] = frame[head].str.ljust(width)
    return frame.to_string(index=False, justify="left")


def write(rows: Sequence[Row], moment: Mapping[str, object], target: Path) -> None:
    """Rows and what `about` said as JSON, complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_text(json.dumps({"about": dict(moment), "rows": [asdict(r) for r in rows]}, indent=1) + "\n")
    part.replace(target)


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
