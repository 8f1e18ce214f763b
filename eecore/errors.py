"""Errors that a user can act on: one line, which names the thing, what came and what was expected."""

import difflib
from collections.abc import Iterable


class EecoreError(Exception):
    """Base of all errors that eecore raises on purpose. Its message is one line and needs no traceback."""

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
    nearest = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    raise SettingError(f"{argument}: {value!r} is not known{hint} Known: {', '.join(known)}")
