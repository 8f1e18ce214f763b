"""Locks where the file system has none: everything works, one process at a time, and a dead holder holds nothing."""

import errno
import fcntl
import os
import subprocess
import sys
import time

import pytest

from eecore import data
from eecore.data import files
from eecore.errors import StoreError
from eecore.training import Run, Store, sweep, train

RUN = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=1)
PATCH = """
import errno, fcntl
def refuses(file, operation):
    raise OSError({number}, "not here")
fcntl.flock = refuses
"""
HOLD = """
import time
from eecore.training import Store
with Store({folder!r}).lock("k"):
    print("held", flush=True)
    time.sleep(60)
"""
UNLOCKED = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL]


@pytest.fixture(params=UNLOCKED, ids=errno.errorcode.get)
def no_flock(request, monkeypatch):
    """A system that refuses every file lock."""

    def refuses(file, operation):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuses)
    files._knows_locks.cache_clear()
    yield request.param
    files._knows_locks.cache_clear()


@pytest.mark.usefixtures("no_flock")
def test_everything_works_without_file_locks(tmp_path, monkeypatch):
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    store = Store(tmp_path / "store")
    train(RUN, store, progress=False)
    sweep([RUN.replace(regime="joint"), RUN], store, workers=1, progress=False)
    assert files.cached_arrays("some", lambda: {"a": data.load("synthetic").train.y.numpy()})["a"].shape == (64,)


@pytest.mark.usefixtures("no_flock")
def test_one_process_at_a_time_without_file_locks(tmp_path):
    store = Store(tmp_path)
    with store.claim("name") as mine, store.claim("name") as other:
        assert mine
        assert not other
    with store.claim("name") as again:
        assert again


def test_a_process_that_was_killed_holds_nothing(tmp_path, no_flock):
    program = PATCH.format(number=no_flock) + HOLD.format(folder=str(tmp_path))
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with Store(tmp_path)._held("locks", "k", timeout=0) as mine:
            assert not mine
    finally:
        holder.kill()
        holder.communicate()
    began = time.monotonic()
    with Store(tmp_path).lock("k"):
        assert time.monotonic() - began < 10


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def refuses(*args, **named):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.filelock.FileLock, "acquire", refuses)
    with pytest.raises(StoreError, match=r"cannot write to the store .*: Permission denied"), Store(tmp_path).lock("k"):
        pass
