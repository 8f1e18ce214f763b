"""What a large training would take: memory, hours and workers, from counted multiply-adds and a small measurement.

K exits. A plan is a list of phases with what each waits for; the same graph that a sweep on Dask runs.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
import torch

from companion import lab
from eecore import models
from eecore.data import Dataset, Info, Split, assemble
from eecore.training import Phase, Recipe, phases_of
from eecore.training.costs import phase_macs
from eecore.training.loop import train_phase

__all__ = ["Images", "chain_days", "days", "enough_workers", "needs", "plan", "speeds", "with_workers"]

KEPT = 4  # numbers for each parameter: itself, its gradient, and AdamW's two moments
BYTES = 4  # of a float32
BF16 = 2  # of a bfloat16
STEPS = 2  # timed steps; one before them is left out
FEW = 2  # images in a timed step


@dataclass(frozen=True)
class Images:
    """A data set that is not here: how many training images, their side in pixels, their classes."""

    count: int
    side: int
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return (3, self.side, self.side)


def network(name: str, images: Images, exits: str, device: str = "meta") -> models.MultiExit:
    """A model for images that are not here; on "meta" without weights."""
    return models.build(name, kind="image", shape=images.shape, classes=images.classes, exits=exits, device=device)


def needs(names: Sequence[str], images: Images, exits: str, batch: int) -> pd.DataFrame:
    """What training each model takes, counted, and what a step takes here, measured.

    Args:
        names: of models.
        images: the data.
        exits: placement of the exits.
        batch: images of a step.
    Returns:
        One row per model: model, parameters, exits, first_macs and last_macs (per image to these exits, heads
        included), state_bytes (weights, gradients, moments), kept_bytes (activations that the backward pass needs, per
        image, float32), batch_bytes (state and a batch in bfloat16), seconds (of a step with all exits, per image, one
        thread of this machine) and macs_per_second there.
    """
    return pd.DataFrame([_needs(name, images, exits, batch) for name in names])


def _needs(name: str, images: Images, exits: str, batch: int) -> dict[str, Any]:
    about = models.describe(name, kind="image", shape=images.shape, classes=images.classes, exits=exits)
    macs = cast(list[int], about["macs"])
    parameters = cast(int, about["parameters"])
    state, kept, seconds = KEPT * BYTES * parameters, _kept_bytes(name, images, exits), _seconds(name, images, exits)
    step = phase_macs(
        network(name, images, exits), images.shape, "image", phase=Phase("all", 1), epochs=1, steps=1, batch=1
    )
    return {
        "model": name,
        "parameters": parameters,
        "exits": len(macs),
        "first_macs": macs[0],
        "last_macs": macs[-1],
        "state_bytes": state,
        "kept_bytes": kept,
        "batch_bytes": state + batch * kept * BF16 // BYTES,
        "seconds": seconds,
        "macs_per_second": step / seconds,
    }


def _kept_bytes(name: str, images: Images, exits: str) -> int:
    """Bytes that autograd keeps of one image between the forward and the backward pass, weights not counted."""
    model = network(name, images, exits)
    weights = {_storage(tensor) for tensor in model.state_dict().values()}
    kept: dict[int, torch.Tensor] = {}  # the same memory may be kept for several derivatives

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if _storage(tensor) not in weights:
            kept[_storage(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(torch.empty(2, *images.shape, device="meta"))
    del logits
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) // 2


def _storage(tensor: torch.Tensor) -> int:
    """What all views of one piece of memory have in common, also where there is no memory."""
    return int(tensor.untyped_storage()._cdata)


def _seconds(name: str, images: Images, exits: str) -> float:
    """Median seconds of a training step with all exits, per image, by the project's own loop on random images."""
    dataset = _noise(images)
    recipe = Recipe(batch_size=FEW)
    model = network(name, images, exits, "cpu")
    history = train_phase(model, dataset, Phase("all", 1 + STEPS), recipe, seed=0, keeps=lambda epochs: False).history
    return float(pd.Series([row["seconds"] for row in history[1:]]).median()) / FEW


def _noise(images: Images) -> Dataset:
    generator = torch.Generator().manual_seed(0)

    def split() -> Split:
        x = torch.randn(FEW, *images.shape, generator=generator)
        return Split(x, torch.randint(images.classes, (FEW,), generator=generator))

    info = Info("noise", "Noise", "image", images.shape, images.classes, "torch.randn", "none", "")
    return assemble(info, train=split(), validation=split(), test=split())


# -- the plan ---------------------------------------------------------------------------------------------


def plan(
    names: Sequence[str],
    regimes: Sequence[str],
    seeds: Iterable[int],
    images: Images,
    exits: str,
    epochs: int,
    batch: int,
    speed: float,
) -> pd.DataFrame:
    """Every distinct phase of a grid, with its hours on an accelerator.

    Args:
        names, regimes, seeds: the grid.
        images, exits: the data, and where the exits are.
        epochs: of each phase.
        batch: images of a step.
        speed: 10^12 multiply-adds per second that an accelerator does in training.
    Returns:
        One row per task: model, seed, task (its name within model and seed), before (the task that it waits for, or
        ""), trains, regimes (those that it belongs to, with commas), hours. Images are changed at random in every
        epoch, so phase 3 runs the frozen backbone in every step.
    """
    rows, seeds = [], list(seeds)
    for name in names:
        model = network(name, images, exits)
        chains: dict[tuple[Phase, ...], list[str]] = {}
        for regime in regimes:
            phases = phases_of(regime, epochs, model.n_exits)
            for i in range(len(phases)):
                chains.setdefault(phases[: i + 1], []).append(regime)
        for chain, those in chains.items():
            steps = chain[-1].epochs * (images.count // batch)
            about = {"phase": chain[-1], "epochs": chain[-1].epochs, "steps": steps, "batch": batch}
            hours = phase_macs(model, images.shape, "image", **about) / (speed * 1e12) / 3600  # type: ignore[arg-type]
            task = {"task": _named(chain), "before": _named(chain[:-1]), "trains": chain[-1].trains}
            rows += [{"model": name, "seed": s, **task, "regimes": ", ".join(those), "hours": hours} for s in seeds]
    tasks = pd.DataFrame(rows)
    tasks.attrs["speed"] = speed
    return tasks


def _named(chain: tuple[Phase, ...]) -> str:
    return " + ".join(f"{phase.trains}:{phase.epochs}" + (f" ({phase.rule})" if phase.rule else "") for phase in chain)


def chain_days(tasks: pd.DataFrame) -> float:
    """Days of the longest chain of tasks that wait for each other: no number of workers is faster."""
    return max(_until(tasks).values()) / 24


def _until(tasks: pd.DataFrame) -> dict[tuple[str, int, str], float]:
    """Hours from the start of a chain to the end of each task, with a worker for everybody."""
    done: dict[tuple[str, int, str], float] = {}
    for row in tasks.sort_values("task", key=lambda names: names.str.count(r"\+"), kind="stable").itertuples():
        done[row.model, row.seed, row.task] = row.hours + done.get((row.model, row.seed, row.before), 0.0)
    return done


def days(tasks: pd.DataFrame, workers: int) -> float:
    """Days until all tasks are done, where each free worker takes the task with the most work behind it.

    Args:
        tasks: rows of `plan`.
        workers: how many tasks are done at once, at least 1.
    Example:
        >>> rows = [("m", 0, "a", "", 24.0), ("m", 0, "a + b", "a", 24.0), ("m", 0, "c", "", 24.0)]
        >>> tasks = pd.DataFrame(rows, columns=["model", "seed", "task", "before", "hours"])
        >>> [days(tasks, workers) for workers in (1, 2, 3)]
        [3.0, 2.0, 2.0]
    """
    rows = {(row.model, row.seed, row.task): row for row in tasks.itertuples()}
    after: dict[tuple[str, int, str], list[tuple[str, int, str]]] = {}
    for model, seed, task in rows:
        after.setdefault((model, seed, cast(str, rows[model, seed, task].before)), []).append((model, seed, task))

    def behind(key: tuple[str, int, str]) -> float:
        return cast(float, rows[key].hours) + max((behind(next_) for next_ in after.get(key, [])), default=0.0)

    ready = [(-behind(key), key) for key, row in rows.items() if not row.before]
    heapq.heapify(ready)
    busy: list[tuple[float, tuple[str, int, str]]] = []
    now = 0.0
    while ready or busy:
        while ready and len(busy) < workers:
            _, key = heapq.heappop(ready)
            heapq.heappush(busy, (now + cast(float, rows[key].hours), key))
        now, key = heapq.heappop(busy)
        for next_ in after.get(key, []):
            heapq.heappush(ready, (-behind(next_), next_))
    return now / 24


def with_workers(tasks: pd.DataFrame, counts: Sequence[int]) -> pd.DataFrame:
    """Days of each model's plan with each number of workers: model, workers, days, work_days (of one), chain_days."""
    rows = []
    for model, part in tasks.groupby("model", sort=False):
        limits = {"work_days": part["hours"].sum() / 24, "chain_days": chain_days(part)}
        rows += [{"model": model, "workers": count, "days": days(part, count), **limits} for count in counts]
    return pd.DataFrame(rows)


def enough_workers(tasks: pd.DataFrame) -> int:
    """The smallest number of workers with which a plan takes no longer than its longest chain."""
    least = chain_days(tasks) * (1 + 1e-9)
    return next(count for count in range(1, len(tasks) + 1) if days(tasks, count) <= least)


def speeds() -> pd.DataFrame:
    """What published runs reached in training: name, model, dataset, device, runs, speed (10^12 MACs per second)."""
    costs = lab.records().costs
    costs = costs.assign(speed=costs["training_macs"] / costs["training_seconds"] / 1e12)
    keys = ["name", "dataset", "model", "device"]
    found = costs.groupby(keys, sort=False)["speed"].agg(["size", "median"]).reset_index()
    return found.rename(columns={"size": "runs", "median": "speed"})
