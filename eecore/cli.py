"""The command line: python -m eecore."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from eecore import cli_data, companion, data, models, own, stopping
from eecore.cli_data import console
from eecore.cli_export import EXAMPLE as EXPORT
from eecore.cli_export import export_command
from eecore.cli_methods import EXAMPLE as METHODS
from eecore.cli_methods import methods_command
from eecore.cli_predict import EXAMPLE as PREDICT
from eecore.cli_predict import predict_command
from eecore.cli_run import Dataset, Folder, RunOptions, measure_line, takes_options
from eecore.cli_sweep import EXAMPLE as SWEEP
from eecore.cli_sweep import sweep_command
from eecore.errors import EecoreError, SettingError, shown
from eecore.training import Recipe, Store, one_key, pretrained, recipes, train

STOPPED = "stopped; what was finished is stored and is not done again"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train early-exit networks in several regimes and look at the results.",
    epilog="Example: python -m eecore train --dataset mnist1d --model vit_nano --regime mixed --epochs 10 --seed 0",
)
runs_app = typer.Typer(no_args_is_help=True, help="What is in the store of trained runs.")
app.add_typer(runs_app, name="runs", epilog="Example: python -m eecore runs list")
app.add_typer(cli_data.app, name="data", epilog="Example: python -m eecore data fetch cifar100")
app.command("sweep", epilog=SWEEP)(sweep_command)
for _name in companion.COMMANDS:
    _command = companion.command(_name)
    app.command(_name, epilog=getattr(_command, "example", None))(_command)
app.command("methods", epilog=METHODS)(methods_command)
app.command("export", epilog=EXPORT)(export_command)
app.command("predict", epilog=PREDICT)(predict_command)


@app.command("train", epilog="Example: python -m eecore train --dataset digits --model mlp_nano --regime joint")
@takes_options
def train_command(options: RunOptions, store: Folder = None) -> None:
    """Train one network in one regime; what is stored already is not trained again."""
    run, here = options.run(), Store(store)
    cli_data.say_what_came_in(here.folder, [run.dataset])
    console().print(measure_line(train(run, here)), highlight=False)


@app.command("recipes", epilog="Example: python -m eecore recipes")
def recipes_command() -> None:
    """List the training recipes: for which models and data, epochs of a phase, settings, source."""
    table = Table("name", "models", "data", "epochs", "settings", "source")
    plain = Recipe().model_dump()
    for name in recipes.presets():
        one = recipes.preset(name)
        changed = {k: v for k, v in one.recipe.model_dump().items() if v != plain[k]}
        settings = ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in changed.items())
        table.add_row(name, one.models, one.data, str(one.epochs), settings, one.source)
    console().print(table)
    console().print("Settings that are not listed have their defaults; what is whose: eecore/training/recipes.py")


@app.command("models", epilog="Example: python -m eecore models --dataset fashion_mnist")
def models_command(dataset: Dataset = "mnist1d") -> None:
    """List the models as they are built for a data set: parameters, MACs, exits."""
    info = data.info(dataset)
    table = Table("name", "parameters", "backbone MACs", "exits", "first exit's MACs", "head")
    for name in models.names():
        try:
            about: dict[str, Any] = models.describe(
                name, kind=info.kind, shape=info.shape, classes=info.classes, vocabulary=info.vocabulary
            )
        except SettingError as misfit:
            table.add_row(name, escape(f"does not fit: {misfit}"), "", "", "", "")
            continue
        counts = (about["parameters"], about["backbone_macs"], len(about["exits"]), about["macs"][0])
        table.add_row(name, *(f"{count:,}" for count in counts), about["head"])
    console().print(table)


@runs_app.command("list", epilog="Example: python -m eecore runs list")
def runs_list(store: Folder = None) -> None:
    """One line per stored prefix of a chain."""
    here = Store(store)
    cli_data.say_store(here.folder)
    table = Table("key", "data", "model", "seed", "phases", "seconds", "kB")
    for key in here.stored_keys():
        record = here.record(key, "weights")
        if record is None:
            table.add_row(key, "unfinished" if here.record(key, "partial") else "empty", "", "", "", "", "")
            continue
        about, phases = record["identity"], record["phases"]
        chain = " + ".join(f"{p.get('rule') or p['trains']}:{p['epochs']}" for p in phases)
        seconds = f"{sum(p['seconds'] for p in phases):.1f}"
        size = f"{here.bytes(key) / 1000:.0f}"
        table.add_row(key, about["dataset"], about["model"], str(about["seed"]), chain, seconds, size)
    console().print(table)


@runs_app.command("export", epilog="Example: python -m eecore runs export 3f2a --to resnet8.safetensors")
def runs_export(
    key: Annotated[str, typer.Argument(help="A key, or its beginning.")],
    to: Annotated[Path, typer.Option(help="The new file.")],
    store: Folder = None,
) -> None:
    """Write backbone and last head of a stored prefix to a file that `train --pretrained` starts from."""
    here, name = Store(store), one_key(Store(store), key)
    entry = here.get(name, "weights")
    if entry is None:
        raise SettingError(f"key: {name} has no finished phase")
    cli_data.say_store(here.folder)
    about = {part: entry[1]["identity"][part] for part in ("dataset", "model", "seed")}
    digest = pretrained.export(entry[0], to, {**about, "key": name})
    console().print(f"wrote {to}, sha256 {digest}", highlight=False)


@runs_app.command("show", epilog="Example: python -m eecore runs show 3f2a")
def runs_show(key: Annotated[str, typer.Argument(help="A key, or its beginning.")], store: Folder = None) -> None:
    """The whole record of one stored prefix, as JSON."""
    here = Store(store)
    name = one_key(here, key)
    cli_data.say_store(here.folder)
    record = here.record(name, "logits") or here.record(name, "weights")
    console().print_json(json.dumps(record))


@runs_app.command("prune", epilog="Example: python -m eecore runs prune --unfinished")
def runs_prune(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys to remove.")] = None,
    unfinished: Annotated[bool, typer.Option(help="Remove what has no finished phase.")] = False,
    everything: Annotated[bool, typer.Option(help="Remove all runs.")] = False,
    store: Folder = None,
) -> None:
    """Remove stored runs: by key, the unfinished ones, or all."""
    here = Store(store)
    chosen = [k for k in here.stored_keys() if everything or (unfinished and not here.has(k, "weights"))]
    unknown = set(keys or []) - set(here.stored_keys())
    if unknown:
        raise SettingError(f"keys: not in the store: {', '.join(sorted(unknown))}")
    if not chosen and not keys and not (unfinished or everything):
        raise SettingError("prune: say which: keys, --unfinished or --everything")
    cli_data.say_store(here.folder)
    removed = [*chosen, *(keys or [])]
    for key in removed:
        here.prune(key)
    console().print(f"removed {len(removed)} of {len(removed) + len(here.stored_keys())} stored keys")


def main() -> None:
    """Run the command line; an error that a user can act on is one line and exit status 1, or 2 for a wrong option."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        stopping.heard_as_an_error()
        own.load()
        status = app(standalone_mode=False)
    except EecoreError as error:
        _stop(str(error), 1)
    except (typer.Abort, KeyboardInterrupt):
        _stop(STOPPED, stopping.status())
    except OSError as error:  # a disk that is full, a file that may not be read: whatever was not said better
        _stop(f"{shown(error.filename)}: {error.strerror}" if error.filename else str(error), 1)
    except Exception as error:  # of the parser: typer has its own copy of click, or uses click's, by its version
        if not hasattr(error, "format_message"):
            raise
        _stop(" ".join(error.format_message().split()), getattr(error, "exit_code", 2))
    else:
        if status == 130:  # typer's word for a stop from the keyboard
            _stop(STOPPED, stopping.status())
        raise SystemExit(status if isinstance(status, int) else 0)


def _stop(message: str, status: int) -> NoReturn:
    """End with a status and one line; none where the help was printed already."""
    if message:
        print(f"eecore: {message}", file=sys.stderr)
    raise SystemExit(status) from None
