"""Small trainings in other processes, for the page on large ones: a sweep on Dask, a batch on two processes, a job."""

import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence

import pandas as pd
import torch

from eecore.training import Result, Run, Store, sweep, train
from eecore.training.on_dask import phase_graph
from eecore.training.slurm import slurm_cluster

__all__ = ["divided", "graph_table", "job_script", "on_dask"]


def graph_table(runs: Sequence[Run]) -> pd.DataFrame:
    """The tasks of the first seed of a sweep that begins with nothing, as text: task, waits for, phases."""
    seed = runs[0].seed
    with tempfile.TemporaryDirectory() as folder:
        graph = phase_graph([run for run in runs if run.seed == seed], Store(folder))
    numbers = {name: str(i + 1) for i, name in enumerate(graph)}
    return pd.DataFrame(
        {
            "task": numbers[name],
            "waits for": numbers[task.before] if task.before else "nothing",
            "does": "evaluates" if task.kind == "evaluate" else f"trains {task.kind}",
            "key": task.key[:8],
        }
        for name, task in graph.items()
    )


def on_dask(runs: Sequence[Run], workers: int) -> tuple[list[Result], float, float]:
    """Train runs twice, each time with an empty store: by Dask's processes, then one by one in this process.

    Returns:
        The results of Dask, its seconds (starting the processes included), and those of one by one.
    Raises:
        SettingError: Dask is not installed.
    """
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        began = time.perf_counter()
        there = sweep(runs, Store(one), workers, progress=False, engine="dask")
        between = time.perf_counter()
        here = sweep(runs, Store(two), 1, progress=False)
        ended = time.perf_counter()
    same = all(torch.equal(a.test_logits, b.test_logits) for a, b in zip(there, here, strict=True))
    return (there if same else []), between - began, ended - between


def divided(run: Run, processes: int = 2) -> pd.DataFrame:
    """Train a run by one process and by several, each with an empty store.

    Returns:
        One row per exit: exit, the accuracy of both on test, and difference: the largest one of all logits there.
    """
    with tempfile.TemporaryDirectory() as folder:
        one, many = (train(run.replace(processes=n), Store(folder), progress=False) for n in (1, processes))
    far = (one.test_logits.float() - many.test_logits.float()).abs().amax(dim=(1, 2))
    accuracies = [result.frame().query("split == 'test'")["accuracy"].to_numpy() for result in (one, many)]
    names = ("one process", f"{processes} processes")
    frame = pd.DataFrame({"exit": range(1, len(far) + 1), **dict(zip(names, accuracies, strict=True))})
    return frame.assign(difference=far.tolist())


def job_script(partition: str, hours: float, gpus: int) -> str:
    """What `scripts/sweep_on_slurm.py` hands to `sbatch`, with names in place of this machine's Python and address."""
    with tempfile.TemporaryDirectory() as folder:
        with slurm_cluster(partition, hours=hours, gpus=gpus, logs=os.path.join(folder, "logs")) as cluster:
            text = cluster.job_script()
        text = text.replace(folder, "FOLDER").replace(sys.executable, "python")
    return re.sub(r"tcp://[\d.:]+", "tcp://HOST:PORT", text)
