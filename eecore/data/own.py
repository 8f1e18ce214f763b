"""Names of the user's own data: "images:DIR?size=64" is a prefix, a path and options."""

import contextlib
import hashlib
import os
import re
import time
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from eecore.errors import DataError, SettingError, choose, shown

BYTES_A_VALUE = 5  # read as one byte, kept as float32
MEMORY = "EECORE_MEMORY_GB"


@dataclass(frozen=True)
class OwnName:
    """A name of own data, taken apart; `str` puts it together again.

    Args:
        prefix: what decides how it is read.
        path: of the file or folder, absolute.
        options: names and values, sorted by name.
    """

    prefix: str
    path: Path
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        options = "&".join(f"{key}={value}" for key, value in self.options)
        return f"{self.prefix}:{self.path}" + (f"?{options}" if options else "")

    @property
    def label(self) -> str:
        """Short name for tables and figures: the option `name`, else the file's or folder's, with a size if given."""
        given = dict(self.options)
        size = f"-{given['size']}" if "size" in given else ""
        plain = self.path.name if self.path.is_dir() else self.path.stem
        return given.get("name") or re.sub(r"[^\w.-]", "-", plain + size)

    def integer(self, option: str, default: int, least: int, most: int) -> int:
        """The value of an option as an integer in [least, most].

        Raises:
            SettingError: it is something else.
        """
        value = dict(self.options).get(option, str(default))
        if not re.fullmatch("[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise SettingError(
                f"{option}: expected an integer from {least} to {most} in {shown(str(self))}, got {shown(value)}"
            )
        return int(value)


def parse(name: str, example: str, allowed: tuple[str, ...]) -> OwnName:
    """A name taken apart.

    Args:
        name: prefix:PATH or prefix:PATH?option=value&option=value.
        example: how it should look, for the error.
        allowed: names of the options.
    Raises:
        SettingError: there is no path, or an option is unknown, empty or given twice.
    Example:
        >>> str(parse("images:/a/../photos?size=64", "images:DIR", ("size",)))
        'images:/photos?size=64'
    """
    prefix, _, rest = name.partition(":")
    path, mark, tail = rest.rpartition("?")
    if not mark:
        path, tail = rest, ""
    if not path:
        raise SettingError(f"data: expected {example}, got {shown(name)}")
    options: dict[str, str] = {}
    for word in tail.split("&") if mark else ():
        key, equals, value = word.partition("=")
        choose(f"option in {shown(name)}", key, allowed)
        if not equals or not value or key in options:
            raise SettingError(f"data: expected {example}?{key}=VALUE once, got {shown(name)}")
        options[key] = value
    return OwnName(prefix, _place(path), tuple(sorted(options.items())))


def _place(path: str) -> Path:
    """A path in its one form, absolute.

    Raises:
        SettingError: no file can be called so, or nobody may look whether there is one.
    """
    try:
        place = Path(os.path.abspath(Path(path).expanduser()))
        place.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingError(f"data: {shown(path)} is no path that can be read: {reason}") from None
    return place


def as_own(path: str) -> str:
    """The name of own data that a path alone may mean, or "" where there is no such file or folder.

    Example:
        >>> as_own("no/such/file.csv")
        ''
    """
    try:
        place = Path(path).expanduser()
        there, is_folder = place.exists(), place.is_dir()
    except (OSError, RuntimeError, ValueError):  # too long, somebody's home who is not here, not to be looked at
        return ""
    prefix = {".npz": "arrays", ".csv": "text", ".tsv": "text", ".parquet": "text"}.get(place.suffix.lower(), "")
    if is_folder:
        prefix = "images"
    return f"{prefix}:{path}" if prefix and there else ""


def with_size(name: str, size: int | None) -> str:
    """The name with the option `size`; None leaves it as it is.

    Raises:
        SettingError: it is not a name of own images, or has a size already.
    Example:
        >>> with_size("images:/photos", 64)
        'images:/photos?size=64'
    """
    if size is None:
        return name
    if not name.startswith("images:"):
        raise SettingError(f"image-size: only images:DIR can be resized, got {name!r}")
    parsed = parse(name, "images:DIR", ("size", "name"))
    if "size" in dict(parsed.options):
        raise SettingError(f"image-size: {name!r} says a size already")
    return str(replace(parsed, options=tuple(sorted((*parsed.options, ("size", str(size)))))))


_stamps: dict[str, tuple[float, float, object]] = {}  # by path: when it was taken, how long it took, the stamp
REST = 20.0  # a folder is looked through again after so many times as long as that took
QUICK = 0.02  # seconds: where it takes no longer it is looked through each time


def stamp(name: str) -> object:
    """What changes when files of own data change: their names, sizes and times. None for data that are not own.

    A folder of many files is not looked through at each call: what changes in it is noticed a little later, by a
    twentieth of the time at most that looking takes.

    Args:
        name: of a data set, in its one form.
    """
    prefix, colon, rest = name.partition(":")
    if not colon or not prefix:
        return None
    place = Path(rest.rpartition("?")[0] or rest)
    if not place.is_dir():
        return _states(place)
    began = time.monotonic()
    last = _stamps.get(str(place))
    if last is not None and last[1] > QUICK and began - last[0] < REST * last[1]:
        return last[2]
    found = _states(place)
    _stamps[str(place)] = (time.monotonic(), time.monotonic() - began, found)
    return found


def _states(place: Path) -> object:
    """Path, size and time of change of a file, or of each file in a folder at any depth."""
    try:
        if place.is_file():
            return _state(os.stat(place))
        seen: set[str] = set()
        digest = hashlib.sha256()
        for folder, folders, files in os.walk(place, followlinks=True):
            if (real := os.path.realpath(folder)) in seen:
                folders.clear()
                continue
            seen.add(real)
            for path in (os.path.join(folder, file) for file in sorted(files)):
                with contextlib.suppress(FileNotFoundError):  # a link to nowhere, or what was removed just now
                    digest.update(f"{path} {_state(os.stat(path))}".encode(errors="surrogateescape"))
        return digest.hexdigest()
    except OSError:  # it is missing, or may not be read: whoever reads it says so
        return None


def _state(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_size, stat.st_mtime_ns


def memory_limit() -> float:
    """Bytes that a data set of one's own may take: EECORE_MEMORY_GB, else half of this machine's memory.

    Raises:
        SettingError: EECORE_MEMORY_GB is not a number above 0.
    """
    asked = os.environ.get(MEMORY)
    if not asked:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
    try:
        limit = float(asked)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise SettingError(f"{MEMORY}: expected a number above 0, got {asked!r}")
    return limit * 1e9


def fits_in_memory(samples: int, shape: tuple[int, ...]) -> bool:
    """Whether so many samples of a shape may be kept in memory, see `memory_limit`."""
    return samples * prod(shape) * BYTES_A_VALUE <= memory_limit()


def check_memory(name: OwnName, values: int, remedy: str) -> None:
    """Stop before arrays are read that would not fit: they cannot stay on disk.

    Args:
        name: for the error.
        values: at most so many numbers.
        remedy: what to do, for the error.
    Raises:
        DataError: they take more than `memory_limit`.
    """
    if not fits_in_memory(values, ()):
        need, limit = values * BYTES_A_VALUE, memory_limit()
        raise DataError(
            f"{name}: its arrays take up to {need / 1e9:.3g} GB of memory, more than the {limit / 1e9:.3g} GB that are "
            f"allowed ({MEMORY}, else half of this machine's); {remedy}"
        )
