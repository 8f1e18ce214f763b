"""The script for SLURM, without a cluster: the job script that it would submit, and one line for a wrong grid."""

import subprocess
import sys
from pathlib import Path

import pytest

from eecore.training.slurm import slurm_cluster

SCRIPT = Path(__file__).parents[1] / "scripts" / "sweep_on_slurm.py"
pytestmark = [
    pytest.mark.xdist_group("dask"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


def test_the_job_script_asks_for_one_core_and_starts_one_worker_with_one_thread(tmp_path):
    with slurm_cluster("cpu", "theses", "3GB", 1.5, logs=str(tmp_path / "logs")) as cluster:
        lines = cluster.job_script().splitlines()
        address = cluster.scheduler_address
    assert lines[0] == "#!/usr/bin/env bash"
    for needed in (
        "#SBATCH -J eecore",
        "#SBATCH -p cpu",
        "#SBATCH -A theses",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=3G",
        "#SBATCH -t 01:30:00",
        "#SBATCH --requeue",
        "export OMP_NUM_THREADS=1",
    ):
        assert needed in lines, needed
    assert not [line for line in lines if "gres" in line]
    worker = lines[-1] or lines[-2]
    assert worker.startswith(f"{sys.executable} -m distributed.cli.dask_worker {address} ")
    assert "--nthreads 1 " in worker
    assert "--nanny" in worker


def test_a_job_with_a_gpu_says_so(tmp_path):
    with slurm_cluster("gpu", gpus=1, logs=str(tmp_path / "logs")) as cluster:
        assert "#SBATCH --gres=gpu:1" in cluster.job_script().splitlines()


@pytest.mark.slow
def test_the_program_shows_the_script_and_refuses_a_wrong_grid_in_one_line(tmp_path):
    def run(text, *words):
        (tmp_path / "grid.yaml").write_text(text)
        command = [sys.executable, str(SCRIPT), "grid.yaml", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    shown = run("seeds: [0]\n", "--partition", "cpu", "--show")
    assert shown.returncode == 0, shown.stderr
    assert "#SBATCH -p cpu" in shown.stdout
    wrong = run("seedz: [0]\n")
    assert wrong.returncode == 1
    assert wrong.stderr.strip().splitlines()[-1].startswith("sweep_on_slurm: entry: 'seedz' is not known; did you mean")
    assert "Traceback" not in wrong.stderr
