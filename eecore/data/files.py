"""Where data is looked for, and how a file is trusted: by its sha256. Nothing is ever unpickled."""

import functools
import gzip
import hashlib
import json
import logging
import math
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import filelock
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as save_arrays

from eecore.errors import DataError

try:
    import fcntl
except ImportError:  # not a Unix: there filelock has what it needs
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where eecore keeps what it downloads or generates: $EECORE_CACHE, else ~/.cache/eecore."""
    return Path(os.environ.get("EECORE_CACHE") or Path.home() / ".cache" / "eecore")


def data_folders() -> list[Path]:
    """Folders to look for data in, in this order: $EECORE_DATA where it is set, then the cache folder."""
    own = os.environ.get("EECORE_DATA")
    return ([Path(own)] if own else []) + [cache_folder()]


def file_lock(path: str | os.PathLike[str]) -> filelock.BaseFileLock:
    """A lock between processes. The system frees that of a process that dies.

    Some network file systems know no such locks. There a file stands for the lock, which names the process and the
    machine that hold it: where that process is gone, the next one of its machine takes the lock over.

    Args:
        path: of the lock; its folder is made.
    Raises:
        OSError: the folder cannot be written.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if _knows_locks(place.parent):
        return filelock.FileLock(place)
    return filelock.SoftFileLock(place.with_name(f"{place.name}.holder"))


@functools.cache
def _knows_locks(folder: Path) -> bool:
    """Whether files of a folder can be locked by the system; tried once, on a file that nobody else has."""
    if fcntl is None:
        return True
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".lock-tried-") as tried:
        try:
            fcntl.flock(tried.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            log.info("%s has no file locks (%s): files that name their holder do instead", folder, problem.strerror)
            return False
    return True


def find(names: Iterable[str], folders: Iterable[Path]) -> Path | None:
    """The first file that exists under one of these names in one of these folders; folders decide first."""
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.is_file()), None)


def sha256(content: bytes | memoryview) -> str:
    """sha256 of a content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file's content, in hexadecimal, read piece by piece.

    Args:
        path: the file.
        algorithm: "sha256", or "md5" where that is what the authors publish.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def check_sha256(name: object, content: bytes | memoryview, expected: str) -> None:
    """Raise DataError, which names the file or array, where its sha256 is not `expected`."""
    found = sha256(content)
    if found != expected:
        raise DataError(f"{name} is damaged or another version: sha256 {found[:12]}..., expected {expected[:12]}...")


def read_unpacked(path: Path) -> bytes:
    """Content of a file; a name that ends in .gz is unpacked.

    Raises:
        DataError: it cannot be read or unpacked.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem


def parse_idx(name: object, content: bytes) -> np.ndarray:
    """The array of unsigned bytes in an IDX file.

    Args:
        name: of the file, for the error.
        content: two zero bytes, type 8, number of axes, each axis as big-endian int32, then the values.
    Raises:
        DataError: it is not such a file, or shorter or longer than its header says.
    Source:
        The IDX format of the MNIST database, LeCun, Cortes and Burges.
    Example:
        >>> parse_idx("labels", bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
        array([7, 9], dtype=uint8)
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"{name} is not an IDX file of unsigned bytes: it starts with {content[:4].hex()}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{name} is damaged: it ends within its header")
    shape = tuple(int(side) for side in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) - start != math.prod(shape):
        raise DataError(f"{name} is damaged: its header promises {shape}, it holds {len(content)} bytes")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def cached_arrays(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays from the cache folder, or from `make`, which are then kept there for the next process.

    A damaged file is noticed by its checksum, reported in one line of the log and made again. Where the
    folder cannot be written, the arrays are simply made each time.

    Args:
        name: of the file, without its ending; must change whenever `make` would give something else.
        make: takes seconds and always gives the same.
    """
    path = cache_folder() / f"{name}.safetensors"
    arrays = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(f"{path}.lock"):  # who waits here finds the arrays of who was first
            arrays = _read_cached(path)
            if arrays is None:
                arrays = make()
                _write_cached(path, arrays)
    except OSError as problem:
        log.info("%s cannot be kept in the cache: %s", path, problem)
    return make() if arrays is None else arrays


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name beside `path`, then rename: readers see the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_cached(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays of a sound cache file; None, and a line in the log where it is damaged, otherwise."""
    record = path.with_suffix(".json")
    if not path.exists() or not record.exists():
        return None
    try:
        if json.loads(record.read_text())["sha256"] == file_digest(path):
            return load_file(path)
    except (ValueError, KeyError, TypeError, SafetensorError):
        pass  # a damaged record or file: said below
    log.info("%s is damaged and is made again", path)
    return None


def _write_cached(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The arrays as safetensors, and beside them their checksum as JSON."""
    content = save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), json.dumps({"sha256": sha256(content)}).encode())
