"""The command line's part for data sets: python -m eecore data."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from eecore import data
from eecore.data.facts import facts, first_line
from eecore.errors import DataError, EecoreError


class _ListByDefault(TyperGroup):
    """`data` alone is `data list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["list"])


app = typer.Typer(
    cls=_ListByDefault, help="Data sets: what there is, what is here, how to get it, whether it is sound."
)
Name = Annotated[str, typer.Argument(help="Name of a data set, or images:DIR and the like.")]


def console() -> Console:
    """As wide as the terminal; wide enough for every table where the output goes to a file or a pipe."""
    return Console(soft_wrap=True, force_jupyter=False, width=None if sys.stdout.isatty() else 250)


def say_store(store: Path) -> None:
    """Which store a command uses: a line on stderr, so that its output stays what it is."""
    print(f"store: {store}", file=sys.stderr)


def say_what_came_in(store: Path, names: Iterable[str]) -> None:
    """Which store a command uses, and what was read of each data set: a line each, on stderr, before it trains."""
    say_store(store)
    for name in dict.fromkeys(names):
        print(f"data: {first_line(data.load(name))}", file=sys.stderr)


@app.command("list", epilog="Example: python -m eecore data list")
def list_command() -> None:
    """All data sets: kind, shape, classes, whether they are on this machine, size, licence, citation."""
    table = Table("name", "kind", "shape", "classes", "on this machine", "licence", "citation")
    for name in data.names():
        info = data.info(name)
        shape = " x ".join(map(str, info.shape))
        table.add_row(name, info.kind, shape, str(info.classes), _where(name), info.licence, info.citation)
    console().print(table)
    forms = ", ".join(data.own_forms())
    console().print(f"Your own data are named by where they lie: {forms}.", highlight=False)


@app.command("info", epilog="Example: python -m eecore data info cifar100")
def info_command(name: Name) -> None:
    """All that there is to say about one data set; of one that is on this machine also what was read and left out."""
    info = data.info(name)
    read = {} if data.present(name) == [] else facts(data.load(name))
    table = Table(show_header=False, box=None)
    rows = {
        "name": info.name,
        "title": info.title,
        "samples": f"{info.kind}, {' x '.join(map(str, info.shape))}, {info.classes} classes",
        "on this machine": _where(name),
        "source": info.source,
        "licence": info.licence,
        "citation": info.citation or "none",
        "augmentation": info.augment,
        "note": info.note or "none",
        **read,
    }
    for key, value in rows.items():
        table.add_row(key, value)
    console().print(table, highlight=False)


@app.command("fetch", epilog="Example: python -m eecore data fetch cifar100")
def fetch_command(
    name: Name,
    base_url: Annotated[str | None, typer.Option(help="Folder of a mirror, instead of the authors' address.")] = None,
) -> None:
    """Download a data set from its authors' address; a download that broke off is continued."""
    folder = data.fetch(name, **({"base_url": base_url} if base_url else {}))
    console().print(f"{name}: in {folder}", highlight=False)


@app.command("verify", epilog="Example: python -m eecore data verify")
def verify_command(
    names: Annotated[list[str] | None, typer.Argument(help="Names; none: all that are on this machine.")] = None,
) -> None:
    """Read every file again and check all that can be checked; exit status 1 where something is damaged."""
    chosen = names or [name for name in data.names() if data.present(name) != []]
    bad = []
    for name in chosen:
        try:
            data.verify(name)
        except EecoreError as problem:
            bad.append(name)
            print(f"eecore: {problem}", file=sys.stderr)
        else:
            console().print(f"{name}: sound", highlight=False)
    if bad:
        raise DataError(f"{len(bad)} of {len(chosen)} data sets are not sound: {', '.join(bad)}")


def _where(name: str) -> str:
    """Whether a data set is here, and how many bytes."""
    places = data.present(name)
    if places is None:
        return "yes, with a package"
    if not places:
        return "no"
    size = sum(_bytes(place) for place in places)
    return f"yes, {size / 1e6:.1f} MB"


def _bytes(place: Path) -> int:
    """Size of a file, or of all files below a folder."""
    if place.is_file():
        return place.stat().st_size
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
