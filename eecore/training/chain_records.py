"""What a chain writes beside its tensors: where a phase stands, what a phase cost, with what a run was made."""

import datetime
import platform
from typing import Any

import numpy
import safetensors
import torch

from eecore.training.identity import identity
from eecore.training.loop import Progress
from eecore.training.phases import Phase
from eecore.training.settings import Run
from eecore.training.store import Store

__all__ = ["about", "phase_record", "progress_record", "resumed"]


def progress_record(progress: Progress) -> dict[str, Any]:
    """What is written beside the tensors of an interrupted phase."""
    best = None if progress.best == float("inf") else progress.best
    return {"epoch": progress.epoch, "history": progress.history, "best": best, "waited": progress.waited}


def resumed(store: Store, key: str) -> Progress | None:
    """The progress of a run that was killed, or None."""
    entry = store.get(key, "partial")
    if entry is None:
        return None
    tensors, record = entry
    best = float("inf") if record["best"] is None else record["best"]
    return Progress(record["epoch"], tensors, record["history"], best, record["waited"])


def phase_record(run: Run, phase: Phase, progress: Progress, samples: int, wall: float) -> dict[str, Any]:
    """What is written of a finished phase: what it trained, how long, its history; `wall` in seconds."""
    assert run.recipe is not None
    steps = progress.epoch * (samples // min(run.recipe.batch_size, samples))
    return {
        **phase.described(),
        "epochs_done": progress.epoch,
        "steps": steps,
        "seconds": sum(row["seconds"] for row in progress.history),
        "wall_seconds": wall,
        "history": progress.history,
    }


def about(run: Run, keys: list[str]) -> dict[str, Any]:
    """Provenance: the settings and where, when and with what they were run."""
    return {
        "identity": identity(run),
        "said": {"dataset": run.dataset, "regime": run.regime},  # what the identity leaves out
        "prefix_keys": keys,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "safetensors": safetensors.__version__,
        },
        "processor": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name(run.device) if run.device.startswith("cuda") else "cpu",
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
