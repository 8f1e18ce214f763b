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

from eecore.data import (
    dataset,
    embedded,
    fashion,
    mnist_1d,
    splits,
    synthetic,
    text_reading,
    text_sets,
    tokens,
    wordlang,
)
from eecore.data.augment import augment, augmentations
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.files import cache_folder, data_folders
from eecore.data.splits import stratified
from eecore.data.synthetic import bayes_accuracy, make_synthetic
from eecore.data.text_file import make_text_file
from eecore.errors import DataError, SettingError, choose

__all__ = [
    "Dataset",
    "Info",
    "Split",
    "assemble",
    "augment",
    "augmentations",
    "bayes_accuracy",
    "cache_folder",
    "data_folders",
    "fetch",
    "info",
    "load",
    "make_synthetic",
    "make_text_file",
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
    """The modules that decide this data set's content: its own and those that all of its kind share. For hashing."""
    entry = _registry[choose("data", name, _registry)]
    of_texts = [tokens, text_reading] if entry.info.kind == "tokens" else []
    return [sys.modules[entry.make.__module__], dataset, splits, *of_texts]


register(mnist_1d.INFO, mnist_1d.make)
register(embedded.DIGITS, embedded.make_digits)
register(embedded.MNIST5K, embedded.make_mnist5k)
register(fashion.INFO, fashion.make, fetch=fashion.fetch)
register(synthetic.INFO, synthetic.make)
register(wordlang.INFO, wordlang.make)
register(text_sets.TREC, text_sets.make_trec)
register(text_sets.SST2, text_sets.make_sst2)
register(text_sets.NEWSGROUPS, text_sets.make_newsgroups20)
register(text_sets.NEWSGROUPS_WHOLE, text_sets.make_newsgroups20_whole)
