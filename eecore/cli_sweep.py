"""The command line's sweeps: python -m eecore sweep, from options, a grid file, or both."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from eecore.cli_data import console, say_what_came_in
from eecore.cli_run import Folder, TrainingOptions, measure_line, takes_options
from eecore.data.own import with_size
from eecore.errors import SettingError, shown
from eecore.grid_file import DEFAULTS, grid_runs, read_grid
from eecore.training import Store, sweep
from eecore.training.sweep import check_engine, shared_phases
from eecore.values import read

EXAMPLE = (
    "Example: python -m eecore sweep --datasets mnist1d,digits --seeds 0,1,2 --epochs 5, "
    "or: python -m eecore sweep grid.yaml --engine dask"
)


@takes_options
def sweep_command(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[GRID.yaml]", help="A grid as a file; an option replaces its entry."),
    ] = None,
    datasets: Annotated[
        str | None, typer.Option(help="Names, with commas (in quotes where they hold one); default mnist1d.")
    ] = None,
    models_: Annotated[str | None, typer.Option("--models", help="Names, with commas; default vit_nano.")] = None,
    regimes: Annotated[str | None, typer.Option(help="Names, with commas; default disjoint,joint,mixed.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Integers, with commas; default 0.")] = None,
    options: TrainingOptions = TrainingOptions(),  # noqa: B008
    workers: Annotated[int | None, typer.Option(help="Processes; default one a core.")] = None,
    engine: Annotated[str, typer.Option(help="local, or dask (needs the extra 'cluster').")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="With dask: a scheduler's address, tcp://HOST:8786.")] = None,
    store: Folder = None,
) -> None:
    """Train every combination; a prefix that several regimes share is trained once."""
    entries: dict[str, Any] = {} if file is None else read_grid(file)
    lists = {"datasets": datasets, "models": models_, "regimes": regimes, "seeds": seeds}
    entries |= {name: _words(name, text) for name, text in lists.items() if text is not None}
    if seeds is not None:
        entries["seeds"] = _integers("seeds", seeds)
    said = options.training()
    if "recipe" in said and isinstance(entries.get("recipe"), dict):
        said["recipe"] = {**entries["recipe"], **said["recipe"]}
    entries |= said
    if options.image_size is not None:
        known = entries.get("datasets", DEFAULTS["datasets"])
        entries["datasets"] = [with_size(name, options.image_size) for name in known]
    runs, here = grid_runs(entries), Store(store)
    check_engine(engine, scheduler, workers)
    if scheduler is None:  # else whether one answers comes first
        say_what_came_in(here.folder, [run.dataset for run in runs])
    for result in sweep(runs, here, workers, engine=engine, scheduler=scheduler):
        console().print(measure_line(result), highlight=False)
    phases, distinct = shared_phases(runs)
    console().print(f"{len(runs)} runs, {phases} phases, {distinct} distinct: {phases - distinct} were shared")


def _words(name: str, text: str) -> list[str]:
    """Names between commas; one that holds a comma itself is in quotes, as in a list of a page's parameters."""
    if not any(sign in text for sign in "[\"'"):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        return [str(word) for word in read(text if text.startswith("[") else f"[{text}]")]
    except SettingError as error:
        raise SettingError(f"{name}: {error}") from None


def _integers(name: str, text: str) -> list[int]:
    words = [word.strip() for word in text.removeprefix("[").removesuffix("]").split(",")]
    if not all(re.fullmatch("0|[1-9][0-9]{0,9}", word) for word in words):
        raise SettingError(f"{name}: expected integers with commas, such as 0,1,2, got {shown(text)}")
    return [int(word) for word in words]
