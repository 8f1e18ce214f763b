"""Run a grid on a SLURM cluster: each job is one worker, and a phase of training is one task.

    python scripts/sweep_on_slurm.py grid.yaml --partition cpu --jobs 16 --hours 4
    python scripts/sweep_on_slurm.py grid.yaml --partition gpu --jobs 4 --gpus 1 --memory 16GB

Start it where `sbatch` works and where it may run for as long as the sweep takes: on the login node within tmux, or in
a small job of its own. The store (EECORE_STORE, or --store), the environment and EECORE_DATA must lie in folders that
all machines share. Nothing is lost when a job reaches its time limit or is taken away: another one goes on at the last
stored epoch. --show prints the job script and submits nothing.
"""

import sys
from pathlib import Path
from typing import Annotated

import dask
import typer

import eecore
from eecore.cli_run import measure_line
from eecore.errors import EecoreError
from eecore.grid_file import grid_runs, read_grid
from eecore.training.slurm import slurm_cluster

TIMES_A_TASK_MAY_LOSE_ITS_WORKER = 100  # a job's time limit ends a worker as a crash would


def main(
    grid: Annotated[Path, typer.Argument(help="A grid file, as for `python -m eecore sweep`.")],
    partition: Annotated[str | None, typer.Option(help="As in sbatch.")] = None,
    account: Annotated[str | None, typer.Option(help="As in sbatch.")] = None,
    jobs: Annotated[int, typer.Option(help="At most so many at once.", min=1)] = 8,
    hours: Annotated[float, typer.Option(help="Time limit of a job.", min=0.1)] = 4.0,
    memory: Annotated[str, typer.Option(help="Of a job.")] = "4GB",
    gpus: Annotated[int, typer.Option(help="Of a job; the grid then says device: cuda.", min=0)] = 0,
    store: Annotated[Path | None, typer.Option(help="Folder that all machines share; default EECORE_STORE.")] = None,
    show: Annotated[bool, typer.Option(help="Print the job script, submit nothing.")] = False,
) -> None:
    """Run a grid on a SLURM cluster."""
    dask.config.set({"distributed.scheduler.allowed-failures": TIMES_A_TASK_MAY_LOSE_ITS_WORKER})
    with slurm_cluster(partition, account, memory, hours, gpus) as cluster:
        if show:
            print(cluster.job_script())
            return
        runs = grid_runs(read_grid(grid))
        cluster.adapt(minimum_jobs=1, maximum_jobs=jobs)  # a job that ended is replaced while there is work
        for result in eecore.sweep(runs, eecore.Store(store), engine="dask", scheduler=cluster.scheduler_address):
            print(measure_line(result))


if __name__ == "__main__":
    try:
        typer.run(main)
    except EecoreError as wrong:
        print(f"sweep_on_slurm: {wrong}", file=sys.stderr)
        raise SystemExit(1) from None
