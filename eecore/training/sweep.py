"""Many runs: a grid of settings, trained by several processes, every shared prefix once."""

import contextlib
import importlib
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

from eecore.errors import SettingError, choose
from eecore.training.chain import is_stored, train
from eecore.training.children import deaf, end_with_parent, ended_at_once
from eecore.training.identity import own_modules, prefix_keys
from eecore.training.result import Result
from eecore.training.settings import Run
from eecore.training.store import Store, worker_slots
from eecore.training.watching import watched


def grid(
    datasets: Sequence[str],
    model_names: Sequence[str],
    regime_names: Sequence[str],
    seeds: Iterable[int],
    more_seeds: Iterable[int] = (),
    **settings: object,
) -> list[Run]:
    """Every combination, as runs.

    Args:
        more_seeds: further seeds, for the first data set alone.
        settings: anything else that Run takes, the same for all.

    Example:
        >>> len(grid(["digits"], ["mlp_nano", "vit_nano"], ["joint", "mixed"], range(3), epochs=1))
        12
        >>> len(grid(["digits", "mnist1d"], ["mlp_nano"], ["joint"], range(3), more_seeds=[3, 4], epochs=1))
        8
    """
    seeds = list(seeds)
    first = [*seeds, *(seed for seed in more_seeds if seed not in seeds)]
    combinations = [
        combination
        for i, dataset in enumerate(datasets)
        for combination in itertools.product([dataset], model_names, seeds if i else first, regime_names)
    ]
    return [
        Run(dataset=d, model=m, regime=r, seed=s, **settings)  # type: ignore[arg-type]
        for d, m, s, r in combinations
    ]


def shared_phases(runs: Iterable[Run]) -> tuple[int, int]:
    """How many phases `runs` consist of, and how many of them are distinct and so are trained."""
    keys = [key for run in runs for key in prefix_keys(run)]
    return len(keys), len(set(keys))


ENGINES = ("local", "dask")


def sweep(
    runs: Sequence[Run],
    store: Store | None = None,
    workers: int | None = None,
    progress: bool = True,
    engine: str = "local",
    scheduler: str | None = None,
) -> list[Result]:
    """Results of `runs`, in their order; what is not stored is trained first.

    A prefix that several runs share is trained once: runs that begin with the same phases go to one process, one after
    the other; with Dask a prefix is a task, and what goes on from it waits for that task alone.

    Args:
        runs: any settings.
        store: None: the default store.
        workers: processes; None: EECORE_WORKERS, else one a core. 1 trains in this process where the engine is local.
        progress: show a bar, an epoch of a distinct phase a tick, with what is trained and its loss; with Dask also the
            address of its dashboard.
        engine: "local": processes of this call. "dask": tasks of Dask, on this machine or on others; needs the extra
            "cluster".
        scheduler: with "dask": address of a scheduler, such as "tcp://10.0.0.5:8786", whose workers have the same store
            folder, torch and eecore; None: processes on this machine for the length of this call.
    Raises:
        SettingError: `workers` is smaller than 1, the engine is not known or not installed, or no scheduler answers at
            the address.
        TrainingError: of the first run that fails; what the others finished is kept.
    """
    store = store or Store()
    check_engine(engine, scheduler, workers)
    if engine == "dask":
        from eecore.training.on_dask import sweep_on_dask  # an optional library

        sweep_on_dask(runs, store, workers, progress, scheduler)
    else:
        _sweep_locally(runs, store, worker_slots() if workers is None else workers, progress)
    return [train(run, store, progress) for run in runs]


def check_engine(engine: str, scheduler: str | None, workers: int | None) -> None:
    """Stop where the arguments of `sweep` do not fit each other.

    Raises:
        SettingError: see `sweep`.
    """
    choose("engine", engine, ENGINES)
    if workers is not None and workers < 1:
        raise SettingError(f"workers: expected an integer of at least 1, got {workers}")
    if scheduler is not None and engine != "dask":
        raise SettingError(f"scheduler: only engine='dask' has one, got {scheduler!r} with engine={engine!r}")
    if scheduler is not None and workers is not None:
        raise SettingError(f"workers: those of {scheduler} are used, so their number is not chosen here, got {workers}")


def _sweep_locally(runs: Sequence[Run], store: Store, workers: int, progress: bool) -> None:
    missing = [run for run in runs if not is_stored(run, store)]
    groups: dict[str, list[Run]] = {}
    for run in missing:
        groups.setdefault(prefix_keys(run)[0], []).append(run)
    if workers == 1 or len(groups) <= 1 or any(_only_here(run) for run in missing):
        for run in missing:
            train(run, store, progress)
    else:
        _in_processes(list(groups.values()), store, min(workers, len(groups)), progress)


def _only_here(run: Run) -> bool:
    """Whether a run needs something that was defined in this process and that another one cannot import."""
    return "__main__" in own_modules(run)


def _train_group(runs: list[Run], folder: str, modules: set[str]) -> None:
    for name in sorted(modules):
        importlib.import_module(name)
    for run in runs:
        train(run, Store(folder), progress=False)


def _in_processes(groups: list[list[Run]], store: Store, workers: int, progress: bool) -> None:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)
    runs = [run for group in groups for run in group]
    with ended_at_once():
        try:
            with _program_hidden(), deaf():
                waiting: list[Future[None]] = [
                    pool.submit(
                        _train_group, group, os.fspath(store.folder), {m for r in group for m in own_modules(r)}
                    )
                    for group in groups
                ]
            with watched(runs, store, progress) as look:
                while waiting:
                    for future in [f for f in waiting if f.done()]:
                        waiting.remove(future)
                        future.result()
                    look()
                    time.sleep(0.5)
        finally:
            pool.shutdown(wait=isinstance(sys.exception(), Exception | None), cancel_futures=True)


@contextlib.contextmanager
def _program_hidden() -> Iterator[None]:
    """Processes that start meanwhile do not execute the program that asked for them once more.

    Python has them do so, and a program without `if __name__ == "__main__":` would start its sweep again in each. They
    need nothing of it: what only it defines is trained in its own process.
    """
    main = sys.modules["__main__"]
    known: dict[str, object] = {name: main.__dict__[name] for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(known)
