"""The command line's list of ingredients and methods: python -m eecore methods."""

from typing import Annotated

import typer
from rich.table import Table

from eecore import ingredients, methods
from eecore.cli_data import console
from eecore.errors import choose

EXAMPLE = "Example: python -m eecore methods --only heads"
_ALL = "methods"  # the last list: what is made of the others


def methods_command(
    only: Annotated[str | None, typer.Option(help="One list, such as 'heads' or 'methods'; none: all.")] = None,
) -> None:
    """List regimes, exit rules, heads, places, weights, gradient rules, distillations and whole methods."""
    titles = [*ingredients.KINDS.values(), _ALL]
    chosen = titles if only is None else [choose("only", only, titles)]
    for kind, title in ingredients.KINDS.items():
        if title in chosen:
            console().print(_parts(kind, title))
    if _ALL in chosen:
        console().print(_methods())
        for name, one in methods.METHODS.items():
            console().print(f"{name}: {one.differs}", highlight=False, markup=False)


def _parts(kind: str, title: str) -> Table:
    found = Table("name", "what", "source", title=title, title_justify="left")
    for part in ingredients.parts(kind):
        found.add_row(part.name.replace("[", r"\["), part.title, part.source)
    return found


def _methods() -> Table:
    rows = methods.table().drop(columns="differs")
    found = Table(*rows.columns, title=_ALL, title_justify="left")
    for row in rows.itertuples(index=False):
        found.add_row(*row)
    return found
