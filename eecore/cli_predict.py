"""The command line's answers for new samples: python -m eecore predict."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from eecore import export
from eecore.cli_data import say_store
from eecore.cli_run import Folder
from eecore.data.answering import print_answers, spoken
from eecore.data.raw import SampleError
from eecore.errors import DataError, SettingError
from eecore.new_samples import input_of, predict
from eecore.training import Result, Store, read_key

EXAMPLE = (
    "Example: python -m eecore predict --run 3f2a photo.jpg, "
    'or: python -m eecore predict --export exported "a sentence"'
)


def predict_command(
    samples: Annotated[list[str], typer.Argument(help="Pictures' files, texts (or their files), or .npy files.")],
    run: Annotated[str | None, typer.Option(help="Key of a stored run, or its beginning; see `eecore runs`.")] = None,
    exported: Annotated[Path | None, typer.Option("--export", help="A folder of `eecore export`.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's own data are, if they moved: images:DIR and the like.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Exit rule of a stored run; default confidence.")] = None,
    threshold: Annotated[float | None, typer.Option(help="In [0, 1]; default 0.9, or the exported one.")] = None,
    prepared: Annotated[bool, typer.Option(help="Arrays hold rows that are normalised already.")] = False,
    store: Folder = None,
) -> None:
    """Class, exit and confidence of new samples, as lines with commas; nothing is trained."""
    if (run is None) == (exported is None):
        raise SettingError("run, export: one of them says which network answers; give one")
    if exported is not None and dataset is not None:
        raise SettingError("dataset: an exported folder needs no data set; leave it out")
    source: Result | Path = exported if exported is not None else _stored(Store(store), str(run), dataset)
    about = input_of(source) if isinstance(source, Result) else export.load(source).input
    try:
        given = spoken(samples, (about["preparation"] or {}).get("form", ""))
    except SampleError as error:
        raise DataError(str(error)) from None
    print_answers(predict(source, given, rule=rule, threshold=threshold, prepared=prepared), sys.stdout, sys.stderr)


def _stored(store: Store, key: str, dataset: str | None) -> Result:
    found = read_key(store, key, dataset)
    say_store(store.folder)
    return found
