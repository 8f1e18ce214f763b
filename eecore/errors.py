"""Errors that a user can act on: one line, which names the thing, what came and what was expected."""

import difflib
import importlib
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 1000  # characters of a message
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong = 40
_SHORT.maxlevel = 3


class EecoreError(Exception):
    """Base of all errors that eecore raises on purpose. Its message is one line and needs no traceback.

    A message of more than `LONGEST` characters is cut in its middle: it begins with the name of what is wrong.
    """

    def __init__(self, message: str = "") -> None:
        line = " ".join(str(message).splitlines())
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"
        super().__init__(line)

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class SettingError(EecoreError, ValueError):
    """A parameter has a value, a type or a name that is not allowed."""


class DataError(EecoreError):
    """A data set is missing, damaged or not what it should be."""


class StoreError(EecoreError):
    """The store of runs cannot be read or written."""


class TrainingError(EecoreError):
    """Training cannot go on: the loss is not a number any more."""


def shown(value: object) -> str:
    """`value` for an error: its repr, cut where it is long, on one line.

    Example:
        >>> shown("mixd"), shown([0, -1]), shown(list(range(1000)))
        ("'mixd'", '[0, -1]', '[0, 1, 2, 3, 4, 5, ...]')
    """
    try:
        return " ".join(_SHORT.repr(value).splitlines())
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


def in_checkout() -> bool:
    """Whether this is the project's repository, and not a package that was installed without it."""
    return (ROOT / "constraints.txt").is_file() and (ROOT / "pyproject.toml").is_file()


def how_to_install(extra: str) -> str:
    """The command that brings an extra, here: in the repository with its pinned versions, else as a package's.

    Example:
        >>> how_to_install("export")
        "pip install -c constraints.txt -e '.[export]'"
    """
    return f"pip install -c constraints.txt -e '.[{extra}]'" if in_checkout() else f"pip install 'eecore[{extra}]'"


def library(name: str, install: str = "") -> Any:
    """An optional library.

    Args:
        name: of the module.
        install: what pip is to install where it is missing; the package that the module belongs to, if nothing is said.
    Raises:
        SettingError: it is not installed, or does not import.
    """
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision beside another build of torch: a RuntimeError
        reason = str(error).splitlines()[0]
        extra = re.fullmatch(r"'eecore\[(\w+)\]'", install)
        how = how_to_install(extra[1]) if extra else f"pip install {install or package}"
        raise SettingError(f"{package}: cannot be imported ({reason}); install it: {how}") from error


def choose(argument: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` where it is one of `choices`.

    Raises:
        SettingError: it is not; the message lists the choices and the nearest one.

    Example:
        >>> choose("regime", "mixd", ["joint", "mixed"])
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: regime: 'mixd' is not known; did you mean 'mixed'? Known: joint, mixed
    """
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    nearest = difflib.get_close_matches(value, known, n=1, cutoff=0.5) if isinstance(value, str) else []
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    raise SettingError(f"{argument}: {shown(value)} is not known{hint} Known: {', '.join(known)}")
