"""A file of one's own that every process of eecore reads: regimes, models, data and exit rules of one's own.

A name that a program registers is known in that program alone. The names that the file of EECORE_OWN registers are
known wherever eecore is: on the command line, in every notebook, and in the processes that train.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from eecore.errors import EecoreError, SettingError

__all__ = ["load"]

VARIABLE = "EECORE_OWN"


def load() -> None:
    """Import the file that EECORE_OWN names, once; nothing where it names none.

    Raises:
        SettingError: it is no Python file on this machine, its name is that of another module, or it fails.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return
    file = Path(path).expanduser().resolve()
    if file.suffix != ".py" or not file.is_file():
        raise SettingError(f"{VARIABLE}: {path} is not a Python file on this machine, such as own.py")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    found = importlib.util.find_spec(file.stem) if file.stem.isidentifier() else None
    if found is None or found.origin is None or Path(found.origin).resolve() != file:
        raise SettingError(f"{VARIABLE}: {file.name} has a name that no module or another one has; give it another")
    try:
        importlib.import_module(file.stem)
    except EecoreError:
        raise
    except Exception as error:
        raise SettingError(f"{VARIABLE}: {path}: {type(error).__name__}: {error}") from error
