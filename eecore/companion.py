"""What the book brings along, where it is installed beside the library: commands and functions under their old names.

The library imports nothing of the book. The book's package names what it adds as entry points.
"""

import importlib.metadata
from collections.abc import Callable
from typing import Any, NoReturn

from eecore.errors import SettingError

COMMANDS = {
    "lab": "Do the next missing published runs, and write a small record of each (with the book).",
    "recommend": "Recommend a regime from stored runs and records (with the book).",
}


def part(group: str, name: str) -> Any:
    """The part of the companion with this name.

    Raises:
        SettingError: the companion is not installed.
    """
    for found in importlib.metadata.entry_points(group=group, name=name):
        try:
            return found.load()
        except ModuleNotFoundError:  # it was installed once, and is gone
            continue
    raise SettingError(f"{name}: it belongs to the book; install that beside the library: pip install -e ./book")


def command(name: str) -> Callable[..., None]:
    """The function of a command; where the companion is missing, one that says so."""
    try:
        return part("eecore.commands", name)
    except SettingError as error:
        return _missing(name, error)


def _missing(name: str, error: SettingError) -> Callable[..., None]:
    def say() -> NoReturn:
        raise error

    say.__doc__ = COMMANDS[name]
    return say
