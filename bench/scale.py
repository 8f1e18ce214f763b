"""Sweeps: two workers against one, and processes of one thread against one process of two threads.

The case: several seeds of vit_nano on mnist1d, trained jointly for two epochs. Every turn has a store of its own, so
that nothing is there already. A machine with fewer than two cores that nobody else uses cannot reach the goals.
"""

import tempfile
from collections.abc import Sequence

import torch

from bench.measure import Row, in_turn, ratios, row, seconds
from eecore.training import Run, Store, grid, sweep
from eecore.training.scheduler import local_processes

CASE = ("mnist1d", "vit_nano")


def runs_of(case: tuple[str, str], seeds: int, epochs: int, threads: int = 1) -> list[Run]:
    """A run for each seed of a case, which is a data set and a model."""
    return grid([case[0]], [case[1]], ["joint"], range(seeds), epochs=epochs, threads=threads)


def fresh_sweep(runs: Sequence[Run], **named: object) -> float:
    """Seconds of a sweep with an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        return seconds(lambda: sweep(runs, Store(folder), progress=False, **named))  # type: ignore[arg-type]


def warm(case: tuple[str, str]) -> int:
    """What a worker does before it is measured: torch, the model and the data are there afterwards."""
    fresh_sweep(runs_of(case, 1, 1), workers=1)
    return torch.get_num_threads()


def sweep_workers(seeds: int = 4, epochs: int = 2, repeats: int = 3, case: tuple[str, str] = CASE) -> list[Row]:
    """How many times as fast two workers are as one, both of Dask, both started before."""
    from dask.distributed import Client  # an optional library

    runs = runs_of(case, seeds, epochs)
    with local_processes(1) as one, local_processes(2) as two:
        addresses = {"one": one.scheduler_address, "two": two.scheduler_address}
        for address in addresses.values():
            with Client(address, set_as_default=False) as client:
                client.run(warm, case)

        def measured(name: str) -> float:
            return fresh_sweep(runs, engine="dask", scheduler=addresses[name])

        took = in_turn({"one": lambda: measured("one"), "two": lambda: measured("two")}, repeats, warm_up=False)
    faster = ratios(took["one"], took["two"])
    what = f"sweep of {seeds} seeds"
    return [
        row(f"{what}, one worker", took["one"], "s", "the reference"),
        row(f"{what}, two workers", faster, "x", "one worker / two workers, started before", ">= 1.8"),
    ]


def seeds(count: int = 2, epochs: int = 2, repeats: int = 3, case: tuple[str, str] = CASE) -> list[Row]:
    """Seeds in processes of one thread each against one after the other with two threads; starting them included."""
    took = in_turn(
        {
            "threads": lambda: fresh_sweep(runs_of(case, count, epochs, threads=2), workers=1),
            "processes": lambda: fresh_sweep(runs_of(case, count, epochs), workers=2),
        },
        repeats,
        warm_up=False,
    )
    what = f"{count} seeds"
    return [
        row(f"{what}, one process of two threads", took["threads"], "s", "the reference"),
        row(f"{what}, two processes of one", ratios(took["threads"], took["processes"]), "x", "started each time"),
    ]
