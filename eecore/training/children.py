"""Processes that this one starts: the keyboard does not reach them, and they end when it does."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.process import BaseProcess

__all__ = ["deaf", "end_with_parent", "ended_at_once"]


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started within the block do not hear Ctrl-C, which a terminal sends to all of a group.

    Who started them hears it, and decides: otherwise each of them would go on to its next piece of work. One that comes
    within the block is heard at its end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not a Unix
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process, whatever it is at, as soon as the one that started it is gone; what is stored stays whole."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def ended_at_once(spared: Iterable[BaseProcess] | None = None) -> Iterator[None]:
    """Where a block is left by Ctrl-C or by the end of the program, what it has started ends at once.

    An error of a training is none of these: what the others are at may be finished then.

    Args:
        spared: processes that go on; None: those that there are when the block begins.
    """
    before = set(multiprocessing.active_children() if spared is None else spared)
    try:
        yield
    except Exception:
        raise
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()  # a store survives that at any moment
        raise
