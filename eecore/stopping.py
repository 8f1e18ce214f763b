"""Ctrl-C and a polite end (SIGTERM) of the command line, from its first moment on: one line, and status 130 or 143.

Nothing heavy is imported here, since torch takes seconds to come, and a stop may come meanwhile.
"""

import os
import signal
from collections.abc import Callable
from typing import NoReturn

__all__ = ["heard_as_an_error", "heard_at_once", "status"]

_heard: list[int] = []


def heard_at_once() -> None:
    """Until `heard_as_an_error`, a signal ends the process where it is: nothing was begun yet."""
    _listen(_end)


def heard_as_an_error() -> None:
    """From now on a signal is a KeyboardInterrupt: what was started is ended on its way; a second one ends at once."""
    _heard.clear()
    _listen(_raise)


def status() -> int:
    """Exit status of a program that was stopped: 128 and the number of the signal that came first."""
    return 128 + (_heard[0] if _heard else signal.SIGINT)


def _listen(what: Callable[[int, object], NoReturn]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as for what a script starts in the background
            signal.signal(number, what)


def _end(number: int, frame: object) -> NoReturn:
    os.write(2, b"eecore: stopped; nothing was begun\n")
    os._exit(128 + number)


def _raise(number: int, frame: object) -> NoReturn:
    if _heard:
        os._exit(128 + _heard[0])  # children end with their parent, and a store survives that at any moment
    _heard.append(number)
    raise KeyboardInterrupt
