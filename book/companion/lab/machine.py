"""What a run's device did meanwhile: how busy it was, and how much memory was taken."""

import subprocess
import threading
from types import TracebackType
from typing import Any

import torch

BETWEEN_SECONDS = 1.0


def busy_percent(device: str) -> float | None:
    """How busy a GPU is now, percent of the time, or None where nobody can say."""
    try:
        return float(torch.cuda.utilization(device))
    except Exception:  # no driver, its Python package is not here, or one of NVML's own errors: ask in another way
        return _asked_of_smi(torch.device(device).index or 0)


def _asked_of_smi(index: int) -> float | None:
    command = ["nvidia-smi", f"--id={index}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
        return float(done.stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


class Watch:
    """Looks at a GPU once a second for the length of a block; on a CPU it does nothing.

    Args:
        device: where the run trains.
        seconds: between two looks.
        look: how busy the device is, percent or None.
    """

    def __init__(self, device: str, seconds: float = BETWEEN_SECONDS, look: Any = busy_percent) -> None:
        self._device, self._seconds, self._look = device, seconds, look
        self._watched = torch.device(device).type == "cuda"
        self._seen: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watch":
        if self._watched:
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats(self._device)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._watched:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            seen = self._look(self._device)
            if seen is None:
                return
            self._seen.append(seen)

    def summary(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """Mean utilisation (percent; None: not known), how often it was looked at, and the most memory taken (bytes).

        Args:
            before: the summary of an earlier part of the same run, to be counted in.
        """
        old = before or {"looks": 0, "utilisation": None, "memory_bytes": 0}
        looks = old["looks"] + len(self._seen)
        total = (old["utilisation"] or 0.0) * old["looks"] + sum(self._seen)
        memory = torch.cuda.max_memory_allocated(self._device) if self._watched and torch.cuda.is_available() else 0
        return {
            "looks": looks,
            "utilisation": total / looks if looks else None,
            "memory_bytes": max(old["memory_bytes"], memory),
        }
