"""A file of one's own that every process of eecore reads: regimes, models, data and exit rules of one's own.

A name that a program registers is known in that program alone. The names that the file of EECORE_OWN registers are
known wherever eecore is: on the command line, in every notebook, and in the processes that train.
"""

import importlib
import importlib.util
import multiprocessing
import os
import sys
import traceback
from pathlib import Path

from eecore.errors import SettingError, shown

__all__ = ["load", "on_command_line"]

VARIABLE = "EECORE_OWN"


def on_command_line() -> bool:
    """Whether the program is eecore's command line, which loads the file where an error becomes a line."""
    program = sys.argv[0] if sys.argv else ""
    is_first = multiprocessing.current_process().name == "MainProcess"  # those that it starts have its arguments too
    return is_first and (program == "-m" or Path(program).name in ("eecore", "eecore.exe"))


def load() -> None:
    """Import the file that EECORE_OWN names, once; nothing where it names none.

    Raises:
        SettingError: it is no Python file on this machine, its name is that of another module, or it fails; one line
            with the file and the line in it.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        file = Path(path).expanduser().resolve()
        is_there = file.suffix == ".py" and file.is_file()
    except (OSError, RuntimeError):  # too long, links that go round, somebody's home who is not here
        is_there = False
    if not is_there:
        raise SettingError(f"{VARIABLE}: {shown(path)} is not a Python file on this machine, such as own.py")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    found = importlib.util.find_spec(file.stem) if file.stem.isidentifier() else None
    if found is None or found.origin is None or Path(found.origin).resolve() != file:
        raise SettingError(f"{VARIABLE}: {file.name} has a name that no module or another one has; give it another")
    try:
        importlib.import_module(file.stem)
    except (Exception, SystemExit) as error:
        line = _line(error, file)
        what = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
        raise SettingError(f"{VARIABLE}: {path}{f', line {line}' if line else ''}: {what}") from error


def _line(error: BaseException, file: Path) -> int | None:
    """Where in a file an error arose: the last line of it on the way there."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == file:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file]
    return lines[-1] if lines else None
