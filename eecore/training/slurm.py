"""Workers of Dask as jobs of SLURM, through dask-jobqueue; used by scripts/sweep_on_slurm.py."""

import sys
from typing import Any

from eecore.errors import SettingError
from eecore.training.scheduler import MISSING, check_dask


def slurm_cluster(
    partition: str | None = None,
    account: str | None = None,
    memory: str = "4GB",
    hours: float = 4.0,
    gpus: int = 0,
    logs: str = "slurm-logs",
) -> Any:
    """A scheduler in this process, whose workers are jobs: one process with one thread each.

    Args:
        partition, account: as in `sbatch`; None: the cluster's default.
        memory: of a job.
        hours: time limit of a job.
        gpus: of a job.
        logs: folder for what the jobs print.
    Returns:
        A dask_jobqueue.SLURMCluster without jobs: `.adapt(maximum_jobs=16)` submits them as they are needed,
        `.job_script()` shows one, and `.scheduler_address` is what `eecore.sweep` takes.
    Raises:
        SettingError: dask-jobqueue is not installed.
    """
    check_dask()
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise SettingError(MISSING) from None
    minutes = round(60 * hours)
    directives = ["--requeue", *([f"--gres=gpu:{gpus}"] if gpus else [])]
    return SLURMCluster(
        queue=partition,
        account=account,
        cores=1,
        processes=1,
        memory=memory,
        walltime=f"{minutes // 60:02d}:{minutes % 60:02d}:00",
        job_name="eecore",
        job_extra_directives=directives,
        job_script_prologue=["export OMP_NUM_THREADS=1"],
        log_directory=logs,
        python=sys.executable,
        silence_logs="CRITICAL",
        scheduler_options={"dashboard_address": ":0"},
    )
