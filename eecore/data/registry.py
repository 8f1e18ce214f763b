"""Which data sets there are: by a name, or by a prefix and a path for data of the user's own."""

import difflib
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from eecore.data import own
from eecore.data.dataset import Dataset, Info
from eecore.data.own import OwnName
from eecore.errors import DataError, SettingError, choose, shown

Maker = Callable[[], Dataset]
Fetcher = Callable[..., Path]


@dataclass(frozen=True)
class _Entry:
    describe: Callable[[], Info]
    make: Maker
    fetch: Fetcher | None
    files: Callable[[], list[Path]] | None
    check: Callable[[], object] | None


@dataclass(frozen=True)
class _Own:
    describe: Callable[[OwnName], Info]
    make: Callable[[OwnName], Dataset]
    example: str
    options: tuple[str, ...]


_registry: dict[str, _Entry] = {}
_own: dict[str, _Own] = {}
_labels: dict[str, str] = {}  # short name -> name of the data set of the user's own that has it


def load(name: str) -> Dataset:
    """The data set of that name; the same object each time, so never write into its tensors.

    Args:
        name: one of `names()`, or a prefix and a path: "images:DIR", "images:DIR?size=64", "arrays:FILE.npz".
    Raises:
        SettingError: no such name; the message lists the known ones and the nearest.
        DataError: a file is missing or damaged.
    """
    name = known("data", name)
    return _load(name, own.stamp(name))


@functools.lru_cache(maxsize=64)
def _load(name: str, stamp: object) -> Dataset:
    entry, described = entry_of(name), info(name)
    made = entry.make()
    if made.info != described:
        raise DataError(f"{name}: what was made calls itself {made.info.name}, with another description")
    return made


def names() -> list[str]:
    """The names that `load` knows; those of own data are not among them."""
    return list(_registry)


def known(argument: str, name: object) -> str:
    """`name` in the one form that all spellings of it share: the path of own data is absolute.

    Args:
        argument: what to call it in an error.
        name: as in `load`.
    Raises:
        SettingError: no such name, or an option that this prefix does not have.
    """
    if not isinstance(name, str):
        raise SettingError(f"{argument}: expected the name of a data set, got {shown(name)}")
    prefix, colon, _ = name.partition(":")
    if colon and prefix in _own:
        return str(own.parse(name, _own[prefix].example, _own[prefix].options))
    if name not in _registry:
        _hint_at_own(argument, name)
    return choose(argument, name, [*_registry, *(entry.example for entry in _own.values())])


def _hint_at_own(argument: str, name: str) -> None:
    """Stop where a name is nearly that of own data: a wrong prefix, or a path without one.

    Raises:
        SettingError: so it is; the message says how it is written.
    """
    prefix, colon, path = name.partition(":")
    near = difflib.get_close_matches(prefix, _own, n=1) if colon else []
    meant = f"{near[0]}:{path}" if near else own.as_own(name)
    if meant:
        forms = ", ".join(entry.example for entry in _own.values())
        raise SettingError(
            f"{argument}: {shown(name)} is not known; did you mean {shown(meant)}? "
            f"Known: {forms} and what `eecore data` lists"
        )


def info(name: str) -> Info:
    """What there is to say about a data set without loading it; own data are looked through, not read.

    Raises:
        SettingError: no such name, or two of the user's own would be called the same in tables.
        DataError: own data that are missing or cannot be used.
    """
    name = known("data", name)
    return _registry[name].describe() if name in _registry else _info_of_own(name, own.stamp(name))


@functools.lru_cache(maxsize=256)
def _info_of_own(name: str, stamp: object) -> Info:
    described = entry_of(name).describe()
    holder = described.name if described.name in _registry else _labels.get(described.name, name)
    if holder != name:
        raise SettingError(
            f"data: {name} would be called {described.name!r} in tables, as {holder} is; "
            f"add {'&' if '?' in name else '?'}name=ANOTHER to it"
        )
    _labels[described.name] = name
    return described


def register(
    info: Info,
    make: Maker | None = None,
    *,
    fetch: Fetcher | None = None,
    files: Callable[[], list[Path]] | None = None,
    check: Callable[[], object] | None = None,
    describe: Callable[[], Info] | None = None,
    replace: bool = False,
) -> Callable[..., Any]:
    """Make a data set known by its name: as a function call, or as a decorator of the function that makes it.

    Args:
        info: its description; `info.name` is the name.
        make: no arguments, returns the Dataset (see `assemble`).
        fetch: downloads it and returns the folder, where that is possible.
        files: files and folders that it is read from, those that are here; None: it comes with a package.
        check: reads everything again and raises DataError for what is damaged; None: `make`.
        describe: its description where that depends on the files, such as how many classes are here.
        replace: True to take the place of a data set of this name.
    Raises:
        SettingError: the name is taken.
    Example:
        >>> from eecore.data import synthetic
        >>> register(synthetic.INFO, synthetic.make)
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: data: 'synthetic' is registered already; use replace=True to replace it
    """
    if info.name in _registry and not replace:
        raise SettingError(f"data: {info.name!r} is registered already; use replace=True to replace it")
    if make is None:
        return functools.partial(
            register, info, fetch=fetch, files=files, check=check, describe=describe, replace=replace
        )
    _registry[info.name] = _Entry(describe or (lambda: info), make, fetch, files, check)
    _load.cache_clear()
    return make


def register_own(
    prefix: str,
    describe: Callable[[OwnName], Info],
    make: Callable[[OwnName], Dataset],
    *,
    example: str,
    options: tuple[str, ...] = (),
) -> None:
    """Make names of the form "prefix:PATH?option=value&..." known: data of the user's own.

    Args:
        prefix: what stands before the colon.
        describe: gives the description without reading all; its name is `OwnName.label`, short, for tables.
        make: gives the data set, with that same description.
        example: the form of a name, for messages, such as "images:DIR".
        options: what may stand behind the question mark; "name" always may.
    Raises:
        SettingError: the prefix is taken.
    """
    if prefix in _own:
        raise SettingError(f"data: the prefix {prefix!r} is registered already")
    _own[prefix] = _Own(describe, make, example, (*options, "name"))


def own_forms() -> list[str]:
    """How names of own data look, such as "images:DIR"."""
    return [entry.example for entry in _own.values()]


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
    download = entry_of(known("data", name)).fetch
    if download is None:
        raise SettingError(f"data: {name!r} needs no download; use load({name!r})")
    return download(**options)


def present(name: str) -> list[Path] | None:
    """Files and folders of a data set that are on this machine; None where it comes with a package."""
    where = entry_of(known("data", name)).files
    return None if where is None else where()


def verify(name: str) -> None:
    """Read a data set's files again, without any cache, and check all that can be checked.

    Raises:
        DataError: something is missing or damaged.
    """
    entry = entry_of(known("data", name))
    (entry.check or entry.make)()


def source_module(name: str) -> ModuleType:
    """The module that makes a data set.

    Raises:
        SettingError: no such name.
    """
    make = entry_of(known("data", name)).make
    return sys.modules[getattr(make, "func", make).__module__]


def entry_of(name: str) -> _Entry:
    """The entry of a name in its one form; that of own data is put together from its prefix."""
    if name in _registry:
        return _registry[name]
    prefix = name.partition(":")[0]
    entry = _own[prefix]
    parsed = own.parse(name, entry.example, entry.options)
    make = functools.partial(entry.make, parsed)
    return _Entry(functools.partial(entry.describe, parsed), make, None, lambda: [parsed.path], None)
