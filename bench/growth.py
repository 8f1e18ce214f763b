"""How cost grows with what it should be linear in: exponents, fitted over up to three decades.

A row's value is b of seconds = a size^b, by least squares in logarithms, one fit for each turn. The seconds are the
processor's, of one thread: other programs take turns, not work. Overheads that do not grow make b smaller than it ends
up for large sizes, so the largest two sizes have rows of their own. A sort's logarithm adds 0.08 to 1 between 10^5 and
10^6, caches that are too small add more; so the goal is 1.2.

K exits, N samples, C classes, T thresholds.
"""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from bench.analysis import logits_that_grow_surer
from bench.measure import Row, in_turn, row
from bench.training import PLAIN_RECIPE, random_images
from eecore import models
from eecore.errors import SettingError
from eecore.evidence import bootstrap_interval, paired_difference, sign_flip
from eecore.inference import budget_table, curve
from eecore.training import Phase, Store, grid, sweep
from eecore.training.loop import train_phase
from eecore.training.optim import torch_settings

GOAL = "<= 1.2"
LINEAR = "1 is linear"


def exponent(sizes: Sequence[float | int], seconds: Sequence[float]) -> float:
    """b of seconds = a size^b, by least squares in logarithms.

    Raises:
        SettingError: fewer than two different sizes, or a number that is not above 0.
    Example:
        >>> round(exponent([1, 10, 100], [2.0, 20.0, 200.0]), 6)
        1.0
    """
    if len(set(sizes)) < 2 or min(*sizes, *seconds) <= 0:
        raise SettingError("sizes, seconds: expected numbers above 0, of two sizes or more")
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)


def processor_seconds(work: Callable[[], object]) -> float:
    """Seconds that the processor works for one call, in all threads of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def grown(title: str, works: Mapping[int, Callable[[], object]], repeats: int, goal: str = GOAL) -> list[Row]:
    """Rows of one thing at several sizes: the exponent over all of them, and that between the two largest.

    Args:
        title: what grows with what.
        works: size -> what to time; two sizes or more.
        repeats: turns, each of which gives one exponent.
        goal: of both.
    """
    sizes = sorted(works)
    with torch_settings(1):
        took = in_turn({str(size): partial(processor_seconds, works[size]) for size in sizes}, repeats)
    rows = []
    for kept in {len(sizes): "", 2: ", the two largest"}.items() if len(sizes) > 2 else [(2, "")]:
        chosen = sizes[-kept[0] :]
        values = [exponent(chosen, [took[str(size)][turn] for size in chosen]) for turn in range(repeats)]
        span = math.log10(chosen[-1] / chosen[0])
        name = f"growth, {title}, {chosen[0]} to {chosen[-1]} ({span:.1f} decades){kept[1]}"
        rows.append(row(name, values, "exponent", LINEAR, goal))
    return rows


def of_curves(
    repeats: int = 3,
    samples: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000),
    exits: Sequence[int] = (3, 10, 30, 100),
    thresholds: Sequence[int] = (10, 100, 1_000, 10_000),
) -> list[Row]:
    """Curves and budgets of stored logits."""
    sets = {n: logits_that_grow_surer(n, 5, 10) for n in samples}
    deep = {k: logits_that_grow_surer(2_000, k, 10) for k in exits}
    one = logits_that_grow_surer(2_000, 5, 10)

    def budgets(n: int) -> None:
        logits, y, macs = sets[n]
        budget_table(logits, y, logits, y, macs, float(macs[-1]))

    rows = grown("curve with samples", {n: partial(curve, *sets[n]) for n in samples}, repeats)
    rows += grown("budget table with samples", {n: partial(budgets, n) for n in samples}, repeats)
    rows += grown("curve with exits", {k: partial(curve, *deep[k]) for k in exits}, repeats)
    limits = {t: np.linspace(0, 1, t) for t in thresholds}
    works = {t: partial(curve, *one, thresholds=limits[t]) for t in thresholds}
    return rows + grown("curve with thresholds", works, repeats)


def of_training(
    repeats: int = 3, samples: Sequence[int] = (100, 1_000, 10_000), exits: Sequence[int] = (1, 2, 5), side: int = 8
) -> list[Row]:
    """An epoch of joint training: with samples, and with exits on one backbone (a head each, the backbone stays)."""

    def epoch(n: int, places: str = "every") -> None:
        model = models.build("mlp_nano", kind="image", shape=(3, side, side), classes=10, exits=places)
        train_phase(model, sets[n], Phase("all", 1), PLAIN_RECIPE, seed=0)

    sets = {n: random_images(n, 10, side) for n in samples}
    rows = grown("epoch with samples", {n: partial(epoch, n) for n in samples}, repeats)
    works = {k: partial(epoch, samples[len(samples) // 2], f"macs:{k}") for k in exits}
    return rows + grown("epoch with exits", works, repeats)


def of_seeds(
    repeats: int = 3,
    trained: Sequence[int] = (1, 3, 10, 30),
    seeds: Sequence[int] = (20, 200, 2_000, 20_000),
    flipped: Sequence[int] = (20, 60, 200),
) -> list[Row]:
    """A sweep, and the evidence of paired runs: t interval, sign flips (drawn, beyond 14 seeds) and bootstrap."""

    def train(n: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            runs = grid(["synthetic"], ["mlp_nano"], ["joint"], range(n), epochs=1)
            sweep(runs, Store(folder), workers=1, progress=False)

    stream = np.random.default_rng(0)
    values = {n: stream.normal(0.1, 1.0, n) for n in (*seeds, *flipped)}

    def frame(n: int) -> pd.DataFrame:
        sides = {"mixed": values[n], "joint": np.zeros(n)}
        parts = [pd.DataFrame({"seed": np.arange(n), "regime": side, "accuracy": v}) for side, v in sides.items()]
        return pd.concat(parts, ignore_index=True)

    frames = {n: frame(n) for n in seeds}
    compared = ("accuracy", "regime", "mixed", "joint", ["seed"])
    rows = grown("sweep with seeds", {n: partial(train, n) for n in trained}, repeats)
    rows += grown("paired t with seeds", {n: partial(paired_difference, frames[n], *compared) for n in seeds}, repeats)
    few = list(seeds)[:-1]  # 2 000 draws of 20 000 values each are memory, not insight
    rows += grown("sign flips with seeds", {n: partial(sign_flip, values[n]) for n in flipped}, repeats)
    return rows + grown("bootstrap with seeds", {n: partial(bootstrap_interval, values[n]) for n in few}, repeats)
