"""How far a sweep is, read from the store: other processes train, and write down each epoch that is done."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

from tqdm import tqdm

from eecore import data
from eecore.training.identity import prefix_keys
from eecore.training.settings import Run
from eecore.training.store import Store

__all__ = ["watched"]


@contextlib.contextmanager
def watched(runs: Iterable[Run], store: Store, progress: bool) -> Iterator[Callable[[], None]]:
    """A bar with an epoch of each distinct phase as a tick, and a function that looks how far the sweep is.

    Args:
        runs: those that are trained; a phase that is stored already is no part of the bar.
        store: where the others write.
        progress: whether to show the bar.
    """
    phases: dict[str, tuple[Run, int]] = {}
    for run in runs:
        assert run.phases is not None
        for key, phase in zip(prefix_keys(run), run.phases, strict=True):
            phases.setdefault(key, (run, phase.epochs))
    phases = {key: known for key, known in phases.items() if not store.has(key, "weights")}
    total, done = sum(epochs for _, epochs in phases.values()), dict.fromkeys(phases, 0)
    with tqdm(total=total, disable=not progress, unit="epoch", desc="training", smoothing=0.05) as bar:

        def look() -> None:
            said = []
            for key, (run, epochs) in phases.items():
                if done[key] == epochs:
                    continue
                if store.has(key, "weights"):  # with early stopping before its last epoch
                    done[key] = epochs
                    continue
                state = store.record(key, "partial")
                if state is not None:
                    done[key] = state["epoch"]
                    loss = state["history"][-1]["validation_loss"]
                    name = f"{data.info(run.dataset).name} {run.model} {run.regime} seed {run.seed}"
                    said.append(f"{name}: epoch {state['epoch']} of {epochs}, loss {loss:.3f}")
            bar.set_postfix_str("; ".join(said), refresh=False)
            bar.update(sum(done.values()) - bar.n)
            bar.refresh()

        yield look
