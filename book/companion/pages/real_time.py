"""What early exits save in seconds, not multiply-adds: measured where the page is made. The frames of that page.

K exits, N samples.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from companion import lab
from eecore import data, inference, models
from eecore.models import MultiExit
from eecore.training import Result
from eecore.training.optim import torch_settings

__all__ = ["Network", "gpu_in_words", "in_words", "machine", "measured", "networks", "table"]

NOBODY = "nobody leaves"
FEWEST = 64  # samples that a batch of one is measured on
LEAST = 0.03  # seconds of a measurement: what is shorter is done several times
PLACES = "every:2"  # exits of the larger network
NEAR = 1e-4  # a score so near its threshold may pass it or not, by rounding


class Network(NamedTuple):
    """A network to be measured, folded, with what decides when samples leave.

    Args:
        name: as on the page.
        model: in eval mode.
        x: (N, ...), the samples it is measured on.
        macs: (K,), per sample to each exit.
        backbone_macs: of the network without early exits.
        limits: budget (fraction of the backbone's multiply-adds) -> K thresholds, chosen on validation.
    """

    name: str
    model: MultiExit
    x: Tensor
    macs: list[int]
    backbone_macs: int
    limits: Mapping[float, Tensor]


def networks(results: Iterable[Result], larger: str, budgets: Sequence[float], samples: int) -> list[Network]:
    """The trained networks, and a larger one with its first weights: how long it takes does not hang on what it knows.

    Args:
        results: of one data set, all of classification.
        larger: name of a model, built for the same data.
        budgets: mean costs, as fractions of the backbone's multiply-adds; a network whose first exit costs more goes
            without them.
        samples: of test, at most.
    """
    trained = list(results)
    found = [_network(run.run.model, run.model(), run.run.dataset, budgets, samples) for run in trained]
    dataset = trained[0].run.dataset
    info = data.info(dataset)
    made = models.build(
        larger, kind=info.kind, shape=info.shape, classes=info.classes, vocabulary=info.vocabulary, exits=PLACES
    )
    return [*found, _network(f"{larger}, untrained", made, dataset, budgets, samples)]


def _network(name: str, model: MultiExit, dataset: str, budgets: Sequence[float], samples: int) -> Network:
    loaded, quick = data.load(dataset), inference.folded(model)
    layout = torch.channels_last if loaded.kind == "image" else torch.contiguous_format
    quick = quick.to(memory_format=layout)  # type: ignore[call-overload]
    macs = models.exit_macs(quick, loaded.shape, loaded.kind)
    whole = models.backbone_macs(quick, loaded.shape, loaded.kind)
    x = loaded.validation.x[:samples].contiguous(memory_format=layout)
    with torch_settings(1), torch.inference_mode():
        scores = inference.score(torch.cat([quick(part) for part in x.split(64)], dim=1))
    limits = {b: inference.solve(scores, macs, b * whole) for b in budgets if b * whole >= macs[0]}
    return Network(name, quick, loaded.test.x[:samples].contiguous(memory_format=layout), macs, whole, limits)


def measured(found: Iterable[Network], batches: Sequence[int], repeats: int) -> pd.DataFrame:
    """Seconds of every network, batch size and budget, beside those of its backbone: in turn, on one thread.

    Args:
        found: from `networks`.
        batches: samples that are given at once.
        repeats: turns, from 1 up; after one that does not count.
    Returns:
        One row per network, batch and budget, "nobody leaves" among them: model, batch, wanted (the budget in words),
        macs (mean, fraction of the backbone's), time (median over turns, fraction of the backbone's), low, high (of the
        turns), backbone_ms (milliseconds per sample), n (samples), same (whether every exit is that of the offline
        rule).
    """
    return pd.DataFrame([row for network in found for batch in batches for row in _cell(network, batch, repeats)])


def _cell(network: Network, batch: int, repeats: int) -> list[dict[str, object]]:
    """The rows of one network and batch size."""
    model, x = network.model, network.x[: max(batch, FEWEST)]
    everyone = torch.ones(len(network.macs))  # thresholds that nobody passes
    limits = {f"{budget:.0%}": limit for budget, limit in network.limits.items()} | {NOBODY: everyone}
    last = model.n_exits - 1

    def leaving(limit: Tensor) -> inference.Left:
        return inference.predict(model, x, "confidence", limit, batch_size=batch)

    calls: dict[str, Callable[[], object]] = {"": lambda: [model.forward_to(p, last) for p in x.split(batch)]}
    calls |= {wanted: partial(leaving, limit) for wanted, limit in limits.items()}
    with torch_settings(1), torch.inference_mode():
        times = max(1, round(LEAST / max(_seconds(calls[""], 2), 1e-9)))  # the first call is slow and may mislead
        turns = [{name: _seconds(call, times) for name, call in calls.items()} for _ in range(repeats + 1)][1:]
        scores = inference.score(torch.cat([model(part) for part in x.split(batch)], dim=1))
        taken = {wanted: leaving(limit).taken for wanted, limit in limits.items()}
    rows = []
    for wanted, limit in limits.items():
        shares = [turn[wanted] / turn[""] for turn in turns]
        rows.append(
            {
                "model": network.name,
                "batch": batch,
                "wanted": wanted,
                "macs": inference.mean_macs(taken[wanted], network.macs) / network.backbone_macs,
                "time": statistics.median(shares),
                "low": min(shares),
                "high": max(shares),
                "backbone_ms": 1e3 * statistics.median(turn[""] for turn in turns) / len(x),
                "n": len(x),
                "same": _same(scores, limit, taken[wanted]),
            }
        )
    return rows


def _seconds(call: Callable[[], object], times: int) -> float:
    """Seconds of one call, in which this thread ran: those in which other programs had the processor do not count."""
    began = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - began) / times


def _same(scores: Tensor, limit: Tensor, taken: Tensor) -> bool:
    """Whether samples left where the offline rule lets them, those aside whose score is as good as the threshold."""
    near = ((scores - limit[:, None]).abs()[:-1] < NEAR).any(dim=0)
    return bool(((inference.exit_taken(scores, limit) == taken) | near).all())


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """A table of text: for each network and batch size the cost in multiply-adds, and in time with the range of turns.

    Args:
        frame: from `measured`.
    """
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for row in frame.itertuples():
        about = {"model": row.model, "at once": row.batch, "backbone, ms per sample": f"{row.backbone_ms:.3g}"}
        cells = rows.setdefault((row.model, row.batch), about)
        title = row.wanted if row.wanted == NOBODY else f"budget {row.wanted}"
        cells[title] = f"{row.macs:.0%} → {row.time:.0%} ({row.low:.0%} to {row.high:.0%})"
    columns = dict.fromkeys(column for cells in rows.values() for column in cells)
    return pd.DataFrame(list(rows.values()), columns=sorted(columns, key=_rank)).fillna("–")


def _rank(column: str) -> tuple[int, str]:
    """Columns that describe first, then budgets from the smallest on, then nobody leaving."""
    ranks = {NOBODY: 2} | dict.fromkeys(("model", "at once", "backbone, ms per sample"), 0)
    return ranks.get(column, 1), column.rjust(20) if column.startswith("budget") else ""


def in_words(frame: pd.DataFrame) -> str:
    """What leaving early saved, a Markdown line for each batch size; and what asking costs where nobody leaves.

    Args:
        frame: from `measured`.
    """
    lines = []
    for batch, part in frame.groupby("batch", sort=True):
        leaving, staying = part[part["wanted"] != NOBODY], part[part["wanted"] == NOBODY]
        cells = [f"{m} {'never' if (f['time'] >= 1).all() else _until(f)}" for m, f in leaving.groupby("model")]
        over = 100 * (leaving["time"] - leaving["macs"])
        lines.append(
            f"- {batch} at once: {(leaving['time'] < 1).sum()} of {len(leaving)} cells take less time than the backbone"
            f" ({'; '.join(cells)}). Time is above multiply-adds in {(over > 0).sum()} of them, by {over.median():.0f} "
            f"points in the median, {over.min():.0f} to {over.max():.0f}. Where nobody leaves, exits and questions take"
            f" {100 * (staying['time'].min() - 1):.0f} % to {100 * (staying['time'].max() - 1):.0f} % more than the "
            "backbone alone."
        )
    return "\n".join(lines)


def _until(part: pd.DataFrame) -> str:
    """The largest cost at which time was saved."""
    return f"up to {part.loc[part['time'] < 1, 'macs'].max():.0%} of the multiply-adds"


def machine() -> str:
    """What the seconds are of: processor, cores, threads, how busy it was, in a sentence."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        said = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = said[0].partition(":")[2].strip() if said else name
    busy = f", of which {os.getloadavg()[0]:.1f} were wanted in the last minute" if hasattr(os, "getloadavg") else ""
    return (
        f"All seconds of this page were measured while it was made, on one thread of a CPU ({name}; "
        f"{os.cpu_count()} cores{busy}), with torch {torch.__version__} and float32. Counted is the time in which that "
        "thread ran. On a machine that does nothing else, that is what a clock shows; on a busy one it leaves out the "
        "waiting for others."
    )


def gpu_in_words(folder: Path | None = None) -> str:
    """Whether a published record holds seconds of inference on a GPU, as the records say it themselves.

    Args:
        folder: of records; None: that of the project.
    """
    found = [json.loads(path.read_text()) for path in sorted((folder or lab.records_folder()).glob("*/*.json"))]
    trained = [record for record in found if record["machine"]["device"] != "cpu"]
    timed = sum("inference_seconds" in record for record in trained)
    told = f"{timed} of them hold" if timed else "none of them holds"
    return f"Of {len(found)} published records {len(trained)} are of a GPU, and {told} seconds of inference. " + (
        "" if timed else "So this page says nothing about a GPU."
    )
