"""How a record looks as a file: sorted keys, short numbers, a list of numbers on one line, so that diffs are small."""

import json
import math
import os
from pathlib import Path
from typing import Any

from eecore.data.files import write_atomically
from eecore.errors import DataError

DIGITS = 7  # significant ones, of every number that is not whole


def plain(value: Any) -> Any:
    """A value as JSON can say it: numbers rounded to 7 digits, NaN as null, infinity as "inf".

    Example:
        >>> plain({"a": [1 / 3, float("nan"), float("inf"), 2]})
        {'a': [0.3333333, None, 'inf', 2]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else ("inf" if value > 0 else "-inf")
    return value


def number(value: Any) -> float:
    """A number that `plain` wrote."""
    return float("nan") if value is None else float(value)


def text(value: Any, indent: int = 0) -> str:
    """JSON with sorted keys; a table takes a line for each key, a list of plain values one line.

    Example:
        >>> print(text({"b": [1, 2], "a": {"c": None}}))
        {
         "a": {
          "c": null
         },
         "b": [1, 2]
        }
    """
    inner = " " * (indent + 1)
    if isinstance(value, dict) and value:
        rows = [f"{inner}{json.dumps(key)}: {text(value[key], indent + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        rows = [f"{inner}{text(item, indent + 1)}" for item in value]
        return "[\n" + ",\n".join(rows) + "\n" + " " * indent + "]"
    return json.dumps(value, allow_nan=False)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, whole or not at all.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (text(plain(record)) + "\n").encode())
        os.chmod(path, 0o644)  # a temporary file is its owner's alone; a record is for all
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None


def read_record(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        DataError: it is no record.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != 1:
            raise ValueError(f"format {record['format']} is not 1")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no record ({type(error).__name__}: {error}): remove it, and make it again"
        ) from None
    return record
