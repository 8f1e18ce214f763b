"""Weights to start from, made on the spot: a backbone trained on one data set, kept as a file for runs on another."""

from typing import NamedTuple

import torch

from eecore.data import cache_folder
from eecore.errors import StoreError
from eecore.training import pretrained
from eecore.training.chain import train
from eecore.training.regimes import Phase
from eecore.training.result import Result
from eecore.training.settings import Run
from eecore.training.store import Store


class Given(NamedTuple):
    """A pretrained backbone.

    Args:
        path: of its file, for `Run(pretrained=...)`.
        result: how it was made; only its last exit was trained.
    """

    path: str
    result: Result


def pretrain(run: Run, store: Store | None = None, progress: bool = True) -> Given:
    """Train the backbone of `run` with its last head, and nothing else, and export it into the cache folder.

    Args:
        run: the settings; its regime's phases are replaced by one backbone phase of `run.epochs` epochs.
        store: None: the default store.
        progress: show a bar.
    Returns:
        The file and the result. The same settings give the same file, byte for byte.
    Raises:
        TrainingError, StoreError: as for `train`; or the file cannot be written.
    """
    alone = run.replace(phases=(Phase("backbone", run.epochs),))
    result = train(alone, store, progress)
    path = cache_folder() / "pretrained" / f"{result.key}.safetensors"
    about = {**result.labels_of_run, "epochs": run.epochs, "key": result.key}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    pretrained.export(result.model().state_dict(), path, about)
    return Given(str(path), result)


def starts_from(result: Result, given: Given) -> bool:
    """Whether the network of a run had the given stem and blocks before all training."""
    state, known = result.model(prefix=0).state_dict(), given.result.model().state_dict()
    backbone = [name for name in known if name.startswith(pretrained.BACKBONE)]
    return all(torch.equal(state[name], known[name]) for name in backbone)
