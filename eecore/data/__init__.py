"""Data sets: `load` one by name. Each comes as three disjoint splits, in memory, normalised.

Example:
    >>> digits = load("digits")
    >>> len(digits.train), len(digits.validation), len(digits.test), digits.shape
    (1197, 240, 360, (1, 8, 8))
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from eecore.data import colours, dataset, embedded, fashion, hashes, mnist_1d, splits, synthetic, trivial
from eecore.data.augment import augment, augmentations, changes_colours
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.files import cache_folder, data_folders
from eecore.data.mix import Target, mix
from eecore.data.splits import stratified
from eecore.data.synthetic import bayes_accuracy, best_error, make_synthetic, make_synthetic_regression
from eecore.errors import DataError, SettingError, choose

__all__ = [
    "Dataset",
    "Info",
    "Split",
    "Target",
    "assemble",
    "augment",
    "augmentation_modules",
    "augmentations",
    "bayes_accuracy",
    "best_error",
    "cache_folder",
    "changes_colours",
    "data_folders",
    "fetch",
    "info",
    "load",
    "make_synthetic",
    "make_synthetic_regression",
    "mix",
    "names",
    "register",
    "source_modules",
    "stratified",
]

Maker = Callable[[], Dataset]
Fetcher = Callable[..., Path]


@dataclass(frozen=True)
class _Entry:
    info: Info
    make: Maker
    fetch: Fetcher | None


_registry: dict[str, _Entry] = {}


def load(name: str) -> Dataset:
    """The data set of that name; the same object each time, so never write into its tensors.

    Raises:
        SettingError: no such name; the message lists the known ones and the nearest.
        DataError: a file is missing or damaged.
    """
    return _load(choose("data", name, _registry))


@functools.cache
def _load(name: str) -> Dataset:
    made = _registry[name].make()
    if made.info != _registry[name].info:
        raise DataError(f"{name}: what was made calls itself {made.info.name}, with another description")
    return made


def names() -> list[str]:
    """The names that `load` knows."""
    return list(_registry)


def info(name: str) -> Info:
    """What there is to say about a data set without loading it."""
    return _registry[choose("data", name, _registry)].info


def register(info: Info, make: Maker | None = None, *, fetch: Fetcher | None = None, replace: bool = False) -> Callable:
    """Make a data set known by its name: as a function call, or as a decorator of the function that makes it.

    Args:
        info: its description; `info.name` is the name.
        make: no arguments, returns the Dataset (see `assemble`).
        fetch: downloads it and returns the folder, where that is possible.
        replace: True to take the place of a data set of this name.
    Raises:
        SettingError: the name is taken.
    Example:
        >>> register(synthetic.INFO, synthetic.make)
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: data: 'synthetic' is registered already; use replace=True to replace it
    """
    if info.name in _registry and not replace:
        raise SettingError(f"data: {info.name!r} is registered already; use replace=True to replace it")
    if make is None:
        return functools.partial(register, info, fetch=fetch, replace=replace)
    _registry[info.name] = _Entry(info, make, fetch)
    _load.cache_clear()
    return make


def fetch(name: str, **options: object) -> Path:
    """Download a data set into the cache folder, checksums verified.

    Args:
        name: a data set that is not part of a Python package.
        options: for its own fetch, such as `base_url`, a mirror.
    Returns:
        The folder that holds the files.
    Raises:
        SettingError: unknown, or it needs no download.
        DataError: the download failed or is damaged.
    """
    download = _registry[choose("data", name, _registry)].fetch
    if download is None:
        raise SettingError(f"data: {name!r} needs no download; use load({name!r})")
    return download(**options)


def source_modules(name: str) -> list[ModuleType]:
    """The modules that decide this data set's content: its own, `dataset`, `hashes` and `splits`. For hashing."""
    make = _registry[choose("data", name, _registry)].make
    return [sys.modules[make.__module__], dataset, hashes, splits]


def augmentation_modules() -> list[ModuleType]:
    """The modules that decide how a batch is changed while training. For hashing."""
    changing = (augment, mix, trivial.trivial_augment, colours.equalize)
    return [sys.modules[function.__module__] for function in changing]


register(mnist_1d.INFO, mnist_1d.make)
register(embedded.DIGITS, embedded.make_digits)
register(embedded.MNIST5K, embedded.make_mnist5k)
register(fashion.INFO, fashion.make, fetch=fashion.fetch)
register(synthetic.INFO, synthetic.make)
register(synthetic.REGRESSION, synthetic.make_regression)
