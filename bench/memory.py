"""Memory: what training with exits takes beside the plain backbone, and what curves and budgets take beside logits.

Each case runs in a process of its own, after a small one of its kind, so that imports and first calls are not counted.
Its row is the peak of the resident memory above what it held before, by the kernel's own count (Linux).

K exits, N samples, C classes.
"""

import copy
import ctypes
import gc
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from bench import plain
from bench.analysis import BUDGETS, logits_that_grow_surer
from bench.measure import Row, ratios, row
from bench.training import PLAIN_RECIPE, random_images, reference
from eecore.errors import SettingError
from eecore.inference import (
    budget_table,
    budgeted_batch,
    curve,
    exit_rules,
    make_rule,
    outcome,
    resampled_budgets,
    rules,
    score,
    solve,
    spread_thresholds,
    threshold_for_macs,
)
from eecore.training import Phase
from eecore.training.loop import train_phase
from eecore.training.optim import torch_settings

PROCESSES = multiprocessing.get_context("forkserver")
STATUS = Path("/proc/self/status")


def resident(what: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at its peak since `forget_peak`."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Give back what is free, so that it is not used again unseen, and let the kernel count the peak from now on."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of resident memory at the peak of a call, above what there was before.

    Raises:
        SettingError: this is not Linux, or the kernel does not tell.
    """
    try:
        forget_peak()
        before = resident("VmRSS")
        work()
        return max(0, resident("VmHWM") - before)
    except (OSError, AttributeError, StopIteration):
        raise SettingError("memory: the peak of a process is read from /proc/self, which is Linux's") from None


def training_peak(trains: str, samples: int, name: str) -> int:
    """Peak of an epoch: of the plain loop for "plain", of eecore's for a phase."""
    model, dataset = reference(name), random_images(samples, max(10, samples // 10))

    def epoch(samples: int) -> None:
        few = random_images(samples, 10) if samples < len(dataset.train) else dataset
        network = copy.deepcopy(model)
        with torch_settings(1):
            if trains == "plain":
                plain.train(network, few.train.x, few.train.y, "backbone")
            else:
                train_phase(network, few, Phase(trains, 1), PLAIN_RECIPE, seed=0)  # type: ignore[arg-type]

    epoch(2)
    return peak_of(lambda: epoch(samples))


def functions(logits: Tensor, y: Tensor, macs: np.ndarray) -> dict[str, Callable[[], object]]:
    """The functions of stored logits that are measured, and `curve` under the name of each rule that is an object."""
    wanted = np.linspace(macs[0], macs[-1], BUDGETS + 2)[1:-1].tolist()
    half = float(macs[0] + macs[-1]) / 2
    last = float(macs[-1])
    draw = min(1000, len(y) // 2)
    calls: dict[str, Callable[[], object]] = {
        "curve": lambda: curve(logits, y, macs),
        "outcome": lambda: outcome(logits, y, macs, 0.9),
        "budget_table": lambda: budget_table(logits, y, logits, y, macs, last),
        "solve": lambda: solve(score(logits), macs, half),
        "threshold_for_macs": lambda: threshold_for_macs(score(logits), macs, half),
        "budgeted_batch": lambda: budgeted_batch(logits, logits, y, macs, wanted),
        "spread_thresholds": lambda: spread_thresholds(logits),
        "resampled_budgets": lambda: resampled_budgets(logits, logits, y, macs, last, sizes=[draw], resamples=20),
    }
    few = slice(0, 1000)

    def under(name: str) -> None:
        curve(logits, y, macs, make_rule(name, logits[:, few], y[few]))

    objects = [name for name in exit_rules() if name not in rules()]
    return calls | {name: partial(under, name) for name in objects}


def logits_peak(name: str, samples: int, exits: int, classes: int) -> float:
    """Peak of one function, as a multiple of the bytes of its logits (float16)."""
    with torch_settings(1):
        functions(*logits_that_grow_surer(100, exits, classes))[name]()
        logits, y, macs = logits_that_grow_surer(samples, exits, classes)
        return peak_of(functions(logits, y, macs)[name]) / logits.nbytes


def in_process(work: Callable[..., float], *arguments: object) -> float:
    """`work` in a process of its own: a copy of one that has imported all, but has not trained."""
    PROCESSES.set_forkserver_preload(["bench.memory", "torch._dynamo"])
    with ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
        return pool.submit(work, *arguments).result()


def training(repeats: int = 3, samples: int = 300, name: str = "resnet_ref") -> list[Row]:
    """Peak of joint training, one epoch, against the plain loop that trains the backbone alone."""
    cases: tuple[str, ...] = ("plain", "backbone", "all", "heads")
    turns = [{case: in_process(training_peak, case, samples, name) for case in cases} for _ in range(repeats)]
    peaks = {case: [turn[case] for turn in turns] for case in cases}
    rows = [row("memory, plain backbone, epoch", [peak / 1e6 for peak in peaks["plain"]], "MB", "the reference")]
    for case in cases[1:]:
        goal = "<= 1.2" if case == "all" else ""
        rows.append(
            row(f"memory, phase {case!r}, epoch", ratios(peaks[case], peaks["plain"]), "x", "plain backbone", goal)
        )
    return rows


def of_logits(
    repeats: int = 1, samples: int = 50_000, exits: int = 10, classes: int = 100, only: Sequence[str] | None = None
) -> list[Row]:
    """Peak of each function of stored logits, beside these: a second copy of them would be 1 and more."""
    size = f"{samples} x {exits} exits x {classes} classes"
    names = only or list(functions(*logits_that_grow_surer(100, exits, classes)))
    found = {name: [in_process(logits_peak, name, samples, exits, classes) for _ in range(repeats)] for name in names}
    return [row(f"memory, {name}, {size}", found[name], "x", "the logits, float16", "<= 1.0") for name in names]
