"""The store: what was trained, under the hash of all that decides it.

A key has one folder. An entry of it is a JSON record, which names its safetensors file and that file's checksum.
Every file is written under a temporary name and renamed; the record is written last, so an entry is there whole or
not at all. Nothing else in eecore knows where a checkpoint lies, and no pickle is ever read.
"""

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import safetensors.torch
from torch import Tensor

from eecore.data.files import file_lock
from eecore.errors import StoreError

log = logging.getLogger(__name__)
Entry = tuple[dict[str, Tensor], dict[str, Any]]
ABANDONED_SECONDS = 3600.0  # no write takes as long: a temporary file that is older belongs to a process that died


def default_folder() -> Path:
    """EECORE_STORE, else runs/ of the project that the current folder lies in, else the user's cache."""
    if os.environ.get("EECORE_STORE"):
        return Path(os.environ["EECORE_STORE"]).expanduser()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "eecore" / "__init__.py").is_file() and (folder / "notebooks").is_dir():
            return folder / "runs"
    return Path.home() / ".cache" / "eecore" / "runs"


def worker_slots() -> int:
    """How many processes may train at once on this machine: EECORE_WORKERS, else the cores."""
    asked = os.environ.get("EECORE_WORKERS", "")
    if asked and not (asked.isdigit() and int(asked) >= 1):
        raise StoreError(f"EECORE_WORKERS: expected an integer of at least 1, got {asked!r}")
    return int(asked) if asked else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def slot_names() -> list[str]:
    """A name for each place of `worker_slots`: this machine's name and one of the cores that this process may use.

    So that several machines may share a folder, and two jobs that a cluster puts on one machine do not wait for each
    other where it gave them cores of their own.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    count = worker_slots()
    named = [f"core{core}" for core in cores[:count]]
    return [f"{platform.node()}-{name}" for name in [*named, *(f"extra{i}" for i in range(len(named), count))]]


def _sealed(record: dict[str, Any]) -> str:
    """The record as JSON with its own checksum."""
    text = json.dumps(record, sort_keys=True)
    return json.dumps({"record": record, "seal": hashlib.sha256(text.encode()).hexdigest()}, indent=1)


def _unsealed(text: str) -> dict[str, Any]:
    whole = json.loads(text)
    again = json.dumps(whole["record"], sort_keys=True)
    if hashlib.sha256(again.encode()).hexdigest() != whole["seal"]:
        raise ValueError("its checksum does not fit")
    return whole["record"]


class Store:
    """A folder of trained prefixes.

    Args:
        folder: made if it is missing; None: default_folder().
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()

    # -- entries ----------------------------------------------------------------------------------------

    def put(self, key: str, name: str, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write entry `name` of `key`, whole or not at all; one that was there is replaced.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        content = safetensors.torch.save({n: t.contiguous() for n, t in tensors.items()})
        digest = hashlib.sha256(content).hexdigest()
        file = f"{name}.{digest[:12]}.safetensors"
        folder = self.folder / key
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / file, content)
            write_file(folder / f"{name}.json", _sealed({**record, "file": file, "sha256": digest}).encode())
            self._clean(folder, name, file)
        except OSError as error:
            raise StoreError(f"cannot write to the store {self.folder}: {error.strerror or error}") from error

    def _clean(self, folder: Path, name: str, kept: str) -> None:
        """Remove what an entry leaves behind: files that it does not name, and what a killed process began to write."""
        for old in folder.glob(f"{name}.*.safetensors"):
            if old.name != kept:
                old.unlink(missing_ok=True)
        for begun in folder.glob(f".{name}.*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - begun.stat().st_mtime > ABANDONED_SECONDS:
                    begun.unlink()

    def get(self, key: str, name: str) -> Entry | None:
        """Tensors and record of entry `name` of `key`; None where it is missing, or damaged, which is reported.

        Raises:
            StoreError: it may not be read: that is no damage.
        """
        record = self.record(key, name)
        if record is None:
            return None
        path = self.folder / key / str(record["file"])
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != record["sha256"]:
                raise ValueError("its checksum does not fit")
            return safetensors.torch.load(content), record
        except PermissionError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            self._damaged(key, name, path, error)
            return None

    def record(self, key: str, name: str) -> dict[str, Any] | None:
        """The record of an entry alone, or None, as in `get`."""
        path = self.folder / key / f"{name}.json"
        try:
            return _unsealed(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._damaged(key, name, path, error)
            return None

    def has(self, key: str, name: str) -> bool:
        """Whether the entry's record and file are there (their content is checked when they are read)."""
        record = self.record(key, name)
        return record is not None and (self.folder / key / str(record["file"])).is_file()

    def remove(self, key: str, name: str) -> None:
        """Forget an entry."""
        folder = self.folder / key
        with contextlib.suppress(OSError):
            (folder / f"{name}.json").unlink(missing_ok=True)
            for file in folder.glob(f"{name}.*.safetensors"):
                file.unlink(missing_ok=True)

    def _damaged(self, key: str, name: str, path: Path, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        log.warning("stored file %s is damaged (%s): it is made again", path, reason)
        self.remove(key, name)

    # -- who may do what --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Only one process at a time works on `key`. The system frees the lock of a process that dies."""
        with self._held("locks", key, timeout=-1):
            yield

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Whether this process alone holds `name` for the length of the block; it does not wait."""
        with self._held("claims", name, timeout=0) as mine:
            yield mine

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """One of the machine's places for training: two notebooks at once never train more than it has cores."""
        while True:
            for name in slot_names():
                with self._held("slots", name, timeout=0) as mine:
                    if mine:
                        yield
                        return
            time.sleep(0.05)

    @contextlib.contextmanager
    def _held(self, kind: str, name: str, timeout: float | int) -> Iterator[bool]:
        """Whether this process got a lock within `timeout` seconds (-1: however long it takes), for a block."""
        try:
            lock = file_lock(self.folder / f".{kind}" / f"{name}.lock")
            lock.acquire(timeout=timeout)
            mine = True
        except filelock.Timeout:
            mine = False
        except OSError as error:
            raise StoreError(f"cannot write to the store {self.folder}: {error.strerror or error}") from error
        try:
            yield mine
        finally:
            if mine:
                lock.release()

    @contextlib.contextmanager
    def marked(self, name: str) -> Iterator[None]:
        """Leave a mark for the length of a block, by which another machine sees that it has this folder before it."""
        mark = self.folder / ".marks" / name
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        except OSError as error:
            raise StoreError(f"cannot write to the store {self.folder}: {error.strerror or error}") from error
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def has_mark(self, name: str) -> bool:
        """Whether `marked` is in force for `name`."""
        return (self.folder / ".marks" / name).is_file()

    # -- what is here -----------------------------------------------------------------------------------

    def stored_keys(self) -> list[str]:
        """Keys that have a folder, sorted.

        Raises:
            StoreError: the store cannot be read.
        """
        try:
            return sorted(f.name for f in self.folder.iterdir() if f.is_dir() and not f.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot read the store {self.folder}: {error.strerror or error}") from error

    def bytes(self, key: str) -> int:
        """Size of all files of `key`, bytes."""
        return sum(f.stat().st_size for f in (self.folder / key).glob("*") if f.is_file())

    def prune(self, key: str) -> None:
        """Remove all of `key`."""
        with self.lock(key):
            shutil.rmtree(self.folder / key, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write under another name and rename; what was begun and failed leaves nothing behind.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
