"""A sweep on Dask: the graph of phases as tasks, on processes of this machine or on any scheduler's workers.

A prefix of a chain is one task. Its continuations depend on it, and so does the task that evaluates a run that ends
there. What a task makes goes to the store, as everywhere; between tasks goes nothing but their order. Hence a worker
may die at any moment: its task is given to another one, which goes on at the last stored epoch. Workers on other
machines need the same folder as their store, the same version of torch and of eecore; a task checks
all of them before it trains.

Nothing here is imported before it is asked for, so that Dask stays optional.
"""

import contextlib
import importlib
import platform
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from eecore.errors import SettingError, TrainingError
from eecore.training.chain import is_stored, stored_phases, train, train_prefix
from eecore.training.identity import own_modules, prefix_keys
from eecore.training.scheduler import local_cluster, reached
from eecore.training.settings import Run
from eecore.training.store import Store
from eecore.training.watching import watched

_one_at_a_time = threading.Lock()  # torch's random state belongs to a whole process, which may have several threads


class Task(NamedTuple):
    """One task of a sweep.

    Args:
        kind: what a phase trains ("backbone", "all", "heads"), or "evaluate".
        run: a run that has this prefix.
        phases: length of the prefix.
        key: of the prefix, as this process computes it.
        before: name of the task that must be done first, or None.
    """

    kind: str
    run: Run
    phases: int
    key: str
    before: str | None


def phase_graph(runs: Sequence[Run], store: Store) -> dict[str, Task]:
    """Tasks of what is not stored, by name, each behind the one that it depends on.

    Args:
        runs: any settings; a prefix that several of them share is one task.
        store: what it has already is no task.

    Example:
        >>> import tempfile
        >>> from eecore.training.sweep import grid
        >>> runs = grid(["synthetic"], ["mlp_nano"], ["disjoint", "mixed"], [0], epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [task.kind for task in phase_graph(runs, Store(folder)).values()]
        ['backbone', 'heads', 'evaluate', 'all', 'evaluate']
    """
    graph: dict[str, Task] = {}
    for run in runs:
        if is_stored(run, store):
            continue
        keys, before = prefix_keys(run), None
        assert run.phases is not None
        for i in range(stored_phases(run, store), len(keys)):
            kind = run.phases[i].trains
            name = f"{kind}-{keys[i]}"
            graph.setdefault(name, Task(kind, run, i + 1, keys[i], before))
            before = name
        graph.setdefault(f"evaluate-{keys[-1]}", Task("evaluate", run, len(keys), keys[-1], before))
    return graph


def sweep_on_dask(
    runs: Sequence[Run], store: Store, workers: int | None, progress: bool, scheduler: str | None
) -> None:
    """Train what of `runs` is not in the store; see `eecore.sweep`.

    Raises:
        SettingError: no scheduler answers, or a run needs what only this process has.
        TrainingError: of the first task that fails, or a worker died again and again in one task.
    """
    graph = phase_graph(runs, store)
    if not graph:
        return
    for task in graph.values():
        _check_importable(task.run)
    if scheduler is not None:
        with reached(scheduler, progress) as client:
            _run(client, graph, store, progress)
    else:
        widest = len({prefix_keys(task.run)[0] for task in graph.values()})
        with local_cluster(workers, widest, progress) as client:
            _run(client, graph, store, progress)


def work(task: Task, folder: str, mark: str, modules: tuple[str, ...], before: object = None) -> str:
    """What a worker does: one task, by itself in its process.

    Args:
        task: what to train or to evaluate.
        folder: of the store.
        mark: a mark that the store has while the sweep is on.
        modules: to import first; they define models and data.
        before: result of the task that this one waited for.
    Returns:
        The name of the machine.
    Raises:
        TrainingError: this worker has another folder, torch or source than the process that asked.
    """
    store, here = Store(folder), platform.node()
    if not store.has_mark(mark):
        raise TrainingError(f"worker on {here}: its {folder} is not the sweep's store; give a folder that all share")
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            what = f"cannot import {name}, which defines a model or data"
            raise TrainingError(f"worker on {here}: {what}: {error}") from None
    with _one_at_a_time:
        if prefix_keys(task.run)[task.phases - 1] != task.key:
            raise TrainingError(
                f"worker on {here}: it would train something else: its torch, its data or its source of eecore differ"
            )
        if task.kind == "evaluate":
            train(task.run, store, progress=False)
        else:
            train_prefix(task.run, store, task.phases)
    return here


def _run(client: Any, graph: dict[str, Task], store: Store, progress: bool) -> None:
    mark = uuid.uuid4().hex[:8]
    futures: dict[str, Any] = {}
    with _stopped(client, futures), store.marked(mark):
        for name, task in graph.items():
            before = futures[task.before] if task.before else None
            folder, modules = str(store.folder.absolute()), own_modules(task.run)
            futures[name] = client.submit(work, task, folder, mark, modules, before, key=f"{name}-{mark}", pure=False)
        waiting = list(futures.values())
        with watched([task.run for task in graph.values()], store, progress) as look:
            while waiting:
                for future in [future for future in waiting if future.done()]:
                    waiting.remove(future)
                    if future.status != "finished":
                        raise _reason(future)
                look()
                time.sleep(0.2)


@contextlib.contextmanager
def _stopped(client: Any, futures: dict[str, Any]) -> Iterator[None]:
    """What was not begun is not begun any more where the block ends early."""
    try:
        yield
    except BaseException:
        client.cancel(list(futures.values()), force=True)
        raise


def _reason(future: Any) -> Exception:
    """Why a task failed, as an error of ours where its worker died."""
    from distributed.scheduler import KilledWorker

    if future.status == "cancelled":
        return TrainingError("the Dask scheduler dropped a task: it was stopped or lost; what was finished is stored")
    error = future.exception()
    if isinstance(error, KilledWorker):
        where = f"each worker that took it died, the last one at {error.last_worker.address}"
        return TrainingError(
            f"task {future.key}: {where}; the usual reason is too little memory. What was finished is stored"
        )
    return error


def _check_importable(run: Run) -> None:
    if "__main__" in own_modules(run):
        raise SettingError(
            f"engine: 'dask' cannot train {run.model} on {run.dataset}, which this program or notebook defines: "
            "write it into a module that the workers can import, or take engine='local'"
        )
