"""Where a sweep's tasks go: a Dask scheduler with local processes of its own, or one whose address is known."""

import asyncio
import contextlib
import importlib.util
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from eecore.errors import SettingError, how_to_install
from eecore.training.store import worker_slots

SECONDS = 5  # that a scheduler has to answer
CALM = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms"}
MISSING = f"engine: 'dask' needs packages that are not here: {how_to_install('cluster')}, or take engine='local'"

UNGUARDED = (
    "Dask's processes could not start; a program that sweeps with them does so below `if __name__ == '__main__':`, "
    "since each of them reads the program again"
)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log of Dask's own for the length of a block: what matters is said by the sweep, in a line."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    loggers = [logger for name in names if not (logger := logging.getLogger(name)).disabled]
    parent = logging.getLogger("distributed")
    level = parent.level
    parent.setLevel(logging.CRITICAL)  # for loggers that are made meanwhile
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        parent.setLevel(level)
        for logger in loggers:
            logger.disabled = False


def check_dask() -> None:
    """Stop with one line where Dask is not installed."""
    if importlib.util.find_spec("dask") is None or importlib.util.find_spec("distributed") is None:
        raise SettingError(MISSING)


@contextlib.contextmanager
def local_processes(count: int) -> Iterator[Any]:
    """A Dask cluster of `count` new processes on this machine, one thread each, which end with the block.

    They neither profile their tasks nor look at their clocks every 20 ms, as Dask's do unless told otherwise: where
    there is a process for every core, that is taken from training.
    """
    import dask
    from dask.distributed import LocalCluster

    with (
        dask.config.set(CALM),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # no limit of Dask's: what takes the memory is training, which cannot be spilled
            dashboard_address="localhost:0",  # a free port, for this machine alone
            silence_logs="CRITICAL",  # of the processes, which this one cannot silence later
        ) as cluster,
    ):
        yield cluster


@contextlib.contextmanager
def local_cluster(workers: int | None, widest: int, progress: bool) -> Iterator[Any]:
    """A client of new processes on this machine, one thread each, which end with the block.

    Args:
        workers: how many; None: as many as the machine has slots, and not more than `widest`.
        widest: tasks that can be done at once.
        progress: say where they are.
    """
    check_dask()
    from dask.distributed import Client

    count = min(worker_slots(), widest) if workers is None else workers
    with _quiet(), contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(local_processes(count))
        except RuntimeError as error:
            raise SettingError(f"engine: {UNGUARDED}") from error
        client = stack.enter_context(Client(cluster))
        _say(f"Dask: {count} processes on this machine, one thread each; {_dashboard(client)}", progress)
        yield client


@contextlib.contextmanager
def reached(address: str, progress: bool) -> Iterator[Any]:
    """A client of the scheduler at `address`, which stays when the block ends.

    Raises:
        SettingError: no scheduler answers there within seconds.
    """
    check_dask()
    from dask.distributed import Client

    found = _identity(address)
    threads = [worker["nthreads"] for worker in found["workers"].values()]
    with _quiet(), Client(address, timeout=f"{SECONDS}s", set_as_default=False) as client:
        waiting = "" if threads else " yet: the sweep waits for some"
        _say(f"Dask: {len(threads)} workers at {address}{waiting}; {_dashboard(client)}", progress)
        yield client


def _dashboard(client: Any) -> str:
    link = client.dashboard_link
    if not link:
        return "no dashboard"
    if importlib.util.find_spec("bokeh") is None:  # the scheduler's plain pages need it not
        return f"its workers and tasks: {link.removesuffix('/status')}/info/main/workers.html"
    return f"dashboard: {link}"


def _say(text: str, progress: bool) -> None:
    if progress:
        tqdm.write(text, file=sys.stderr)


def _identity(address: str) -> dict[str, Any]:
    """What the scheduler at `address` says of itself.

    A client that cannot connect leaves noise behind, so this asks first. A thread of its own, since a notebook has a
    loop already.
    """
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(asyncio.run(_ask(address)))
        except Exception as error:
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * SECONDS)
    found = answer[0] if answer else TimeoutError("no answer")
    if isinstance(found, dict) and found.get("type") == "Scheduler":
        return found
    if isinstance(found, dict):
        why = f"what answers there is a {found.get('type')}"
    else:
        why = (str(found) or "no answer").splitlines()[0]
    raise SettingError(
        f"scheduler: no Dask scheduler answers at {address!r} ({why}); expected an address such as tcp://HOST:8786, or "
        "nothing for processes of this machine"
    )


async def _ask(address: str) -> dict[str, Any]:
    from distributed.core import rpc
    from distributed.security import Security

    security = Security().get_connection_args("client")
    async with rpc(address, timeout=SECONDS, connection_args=security) as scheduler:
        return await asyncio.wait_for(scheduler.identity(), SECONDS)
