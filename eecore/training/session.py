"""What somebody defined in a notebook: its source, so that a run's identity knows it."""

import ast
import sys
import threading
from collections.abc import Iterator

from eecore.errors import SettingError

DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
LITERALS = (bool, int, float, str, tuple, list, dict, type(None))
_PARSING = threading.Lock()


def parse(source: str) -> ast.Module:
    """As `ast.parse`, one thread at a time: two at once can end in a SystemError in Python 3.11."""
    with _PARSING:
        return ast.parse(source)


def session_source() -> str:
    """All that this notebook's cells define (functions, classes), and the plain values that these name.

    Cells that only call are left out: a page that asks for more figures trains nothing again.

    Raises:
        SettingError: this is no notebook, and what runs has no file either.
    """
    session = vars(sys.modules["__main__"])
    definitions = {}
    for cell in session.get("In", ()):
        for statement in _statements(cell):
            if any(isinstance(node, DEFINES) for node in ast.walk(statement)):
                definitions[getattr(statement, "name", ast.unparse(statement))] = statement
    if not definitions:
        raise SettingError(
            "model or data: it is defined in a session whose source is not at hand; write it into a file or a notebook"
        )
    named = {n.id for s in definitions.values() for n in ast.walk(s) if isinstance(n, ast.Name)}
    values = [f"{n} = {session[n]!r}" for n in sorted(named & set(session)) if isinstance(session[n], LITERALS)]
    return "\n".join([*(ast.unparse(statement) for statement in definitions.values()), *values])


def _statements(cell: str) -> Iterator[ast.stmt]:
    """The statements of a cell; none where it is not Python alone."""
    try:
        yield from parse(cell).body
    except SyntaxError:
        return
