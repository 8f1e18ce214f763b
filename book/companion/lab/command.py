"""python -m eecore lab: do what is missing of the plan of published runs, or say what is there."""

import math
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from companion.lab.plan import PLAN, Plan, read_plan, records_folder
from companion.lab.runner import work
from companion.lab.states import status
from eecore.cli_data import say_store
from eecore.errors import SettingError
from eecore.training import Pace, Store
from eecore.training.settings import check_device


def lab_command(
    minutes: Annotated[float, typer.Option(help="Stop, at an epoch, when this time is up.")] = 9.0,
    only: Annotated[str | None, typer.Option(help="Name of the one entry of the plan to do.")] = None,
    plan: Annotated[Path | None, typer.Option(help="The plan, a TOML file; default plan.toml of the records.")] = None,
    records: Annotated[Path | None, typer.Option(help="Folder of the records; default book/results.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0, ...")] = "cpu",
    checkpoint_seconds: Annotated[float, typer.Option(help="Least time between two stored states of a phase.")] = 20.0,
    show: Annotated[bool, typer.Option("--status", help="Say what is planned, done, stale and missing.")] = False,
    store: Annotated[Path | None, typer.Option("--store", help="Folder of stored runs; default EECORE_STORE.")] = None,
) -> None:
    """Do the next missing published runs until the time is up, and write a small record of each."""
    if not 0 < minutes < math.inf:
        raise SettingError(f"minutes: expected a number above 0, got {minutes:g}")
    if records is not None and not records.is_dir():
        raise SettingError(f"records: {records} is not a folder")
    folder = records or records_folder()
    chosen = read_plan(plan or (folder / PLAN if (folder / PLAN).is_file() else None))
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 250)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    if not show:
        check_device(device)
        pace, here = Pace(60 * minutes, checkpoint_seconds), Store(store)
        list(chosen.planned(only))  # a wrong name is said alone
        say_store(here.folder)
        done = work(chosen, pace=pace, device=device, only=only, folder=folder, store=here, say=say, progress=True)
        say(f"{len(done)} records written to {folder}")
    console.print(_table(chosen, folder))


vars(lab_command)["example"] = "Example: python -m eecore lab --minutes 9 --device cuda"


def _table(plan: Plan, folder: Path) -> Table:
    """The plan's state, an entry a line."""
    table = Table("name", "size", "planned", "done", "stale", "missing", "why")
    for row in status(plan, folder).itertuples():
        table.add_row(row.name, row.size, *map(str, (row.planned, row.done, row.stale, row.missing)), row.why)
    return table
