"""The styles and scripts that parts of a page bring with them, so that a page needs no other file."""

from functools import cache
from importlib.resources import files

__all__ = ["web"]


@cache
def web(name: str) -> str:
    """A file of `book/companion/pages/web`, such as "explorer.js"."""
    return (files("companion.pages") / "web" / name).read_text(encoding="utf-8")
