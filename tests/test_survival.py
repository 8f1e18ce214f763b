"""What a run survives: kills at random moments and within each write, damaged files, a process that dies, a full disk,
a store that cannot be written. `test_store` has the simpler promises, and damage to weights and logits.

The disk is really full and the store really read-only in a namespace of its own (marker `namespaces`). Where none can
be made, a disk that fails at every write point stands for it, and that test runs everywhere.
"""

import ctypes
import errno
import itertools
import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from eecore.cli import main
from eecore.errors import StoreError
from eecore.training import Phase, Recipe, Run, Store, train
from eecore.training import store as store_module
from eecore.training.identity import prefix_keys

SMALL = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=2)
# All that is random and all that has a state: order, augmentation, dropout, moments, a moving average, the best state.
CHAIN = Run(
    dataset="synthetic",
    model="vit_nano",
    regime="mixed",
    phases=(Phase("backbone", 4), Phase("all", 4), Phase("heads", 4)),
    recipe=Recipe(augment="shift", ema=0.9, patience=5, batch_size=32),
)
PROCESSES = multiprocessing.get_context("forkserver")  # each is a copy of one that has imported eecore already
PROCESSES.set_forkserver_preload(["eecore.cli", "torch._dynamo"])
TIMES = {"seconds", "evaluation_seconds", "wall_seconds", "finished"}


def without_times(value):
    """A record without what a clock said."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in (*TIMES, "file", "sha256")}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def entries(store, run):
    """All that is stored of a run: prefix and name -> tensors and record."""
    found = {}
    for i, key in enumerate(prefix_keys(run)):
        for file in sorted((store.folder / key).glob("*.json")):
            tensors, record = store.get(key, file.stem)
            found[i, file.stem] = tensors, without_times(record)
    return found


def assert_same(store, run, other):
    """Two stores hold the same of a run, bit for bit, and nothing half-done."""
    ours, theirs = entries(store, run), entries(other, run)
    assert set(ours) == set(theirs)
    for place, (tensors, record) in ours.items():
        assert record == theirs[place][1], place
        assert set(tensors) == set(theirs[place][0])
        for name, tensor in tensors.items():
            assert torch.equal(tensor, theirs[place][0][name]), (place, name)
    assert not list(store.folder.glob("*/partial*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store with SMALL, trained without any trouble."""
    store = Store(tmp_path_factory.mktemp("whole"))
    train(SMALL, store, progress=False)
    return store


# --- kill -9


def _train(folder, run, started):
    started.set()
    train(run, Store(folder), progress=False)


def killed(folder, run, moment):
    """Begin to train in a process and kill it after `moment` seconds; a machine that was quicker starts again."""
    for _ in range(8):
        started = PROCESSES.Event()
        process = PROCESSES.Process(target=_train, args=(folder, run, started))
        process.start()
        assert started.wait(60)
        time.sleep(moment)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return
        shutil.rmtree(folder)
        moment *= 0.8
    raise AssertionError(f"it was never killed before its end, last after {moment} s")


def progress_of(store, run):
    """Where a killed run stands: for each phase whether its weights, a state or nothing is stored."""
    keys = prefix_keys(run)
    return tuple(next((n for n in ("weights", "partial") if store.has(key, n)), "nothing") for key in keys)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_bit_identical_twenty_times(tmp_path):
    straight = Store(tmp_path / "straight")
    lengths = []
    for _ in range(2):  # the first one is longer: the machine has read nothing yet
        shutil.rmtree(straight.folder, ignore_errors=True)
        started = PROCESSES.Event()
        process = PROCESSES.Process(target=_train, args=(straight.folder, CHAIN, started))
        process.start()
        assert started.wait(60)
        began = time.perf_counter()
        process.join()
        lengths.append(time.perf_counter() - began)
        assert process.exitcode == 0
    dice, stood = random.Random(0), []
    for i in range(20):
        store = Store(tmp_path / str(i))
        killed(store.folder, CHAIN, (i + dice.random()) / 20 * min(lengths))
        stood.append(progress_of(store, CHAIN))
        train(CHAIN, store, progress=False)
        assert_same(store, CHAIN, straight)
    assert len(set(stood)) >= 4, f"the kills were not spread over the chain: {stood}"


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def write_points(monkeypatch, fault, at):
    """Let writing number `at` (from 0) meet a fault: of files, of renamings, of folders and of locks."""
    count = itertools.count()

    def meets():
        return next(count) == at

    def opened(path, mode="r", **settings):
        file = open(path, mode, **settings)  # noqa: SIM115
        if meets():
            if "b" in mode:
                _half(file, fault)
            file.close()
            raise fault()
        return file

    def renamed(source, target):
        if meets():
            raise fault()
        os.rename(source, target)

    monkeypatch.setattr(store_module, "open", opened, raising=False)
    monkeypatch.setattr(store_module, "os", _Os(replace=renamed))
    return count


def _half(file, fault):
    file.write(b"half of the ")
    file.flush()


class _Os:
    """The module os with some functions replaced."""

    def __init__(self, **functions):
        vars(self).update(functions)

    def __getattr__(self, name):
        return getattr(os, name)


def full():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def points(run, folder):
    """How many write points a run meets that nothing stops."""
    with pytest.MonkeyPatch.context() as patch:
        count = write_points(patch, full, at=-1)
        train(run, Store(folder), progress=False)
    return next(count)


def test_killed_within_each_write_it_ends_bit_identical(tmp_path, whole, monkeypatch):
    """Cleaning up does not happen to the killed: what they began lies there."""
    real = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **how: None if path.suffix == ".tmp" else real(path, **how))
    for at in range(points(SMALL, tmp_path / "counted")):
        store = Store(tmp_path / str(at))
        with pytest.MonkeyPatch.context() as patch:
            write_points(patch, Killed, at)
            with pytest.raises(Killed):
                train(SMALL, store, progress=False)
        train(SMALL, store, progress=False)
        assert_same(store, SMALL, whole)


def test_what_the_killed_began_to_write_is_removed_later(tmp_path):
    store = Store(tmp_path)
    store.put("k", "weights", {"a": torch.ones(1)}, {})
    old, new, other = (tmp_path / "k" / f".{name}.1.tmp" for name in ("weights.a", "weights.b", "logits.c"))
    for file in (old, new, other):
        file.write_bytes(b"half")
    for file in (old, other):
        os.utime(file, (0, 0))
    store.put("k", "weights", {"a": torch.ones(1)}, {})
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


# --- damage


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content, dice = bytearray(path.read_bytes()), random.Random(path.name)
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def removed(path):
    path.unlink()


class Bomb:
    """A pickle that would leave a trace if anybody opened it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def replaced_by_a_pickle(path):
    path.write_bytes(pickle.dumps(Bomb(path.parent.parent / "opened")))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A store with SMALL, stopped after the first epoch of its second phase."""
    store = Store(tmp_path_factory.mktemp("stopped"))
    second = prefix_keys(SMALL)[1]

    def put(self, key, name, *entry):
        real(self, key, name, *entry)
        if (key, name) == (second, "partial"):
            raise Killed

    real = Store.put
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "put", put)
        with pytest.raises(Killed):
            train(SMALL, store, progress=False)
    return store


PLACES = [
    *[(i, name) for i in (0, 1) for name in ("weights", "weights-after-1")],
    *[(1, name) for name in ("logits", "partial")],
]


@pytest.mark.parametrize("damage", [truncated, flipped, removed, replaced_by_a_pickle])
@pytest.mark.parametrize("part", ["json", "safetensors"])
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_every_file_that_is_damaged_is_noticed_reported_and_made_again(
    tmp_path, caplog, whole, stopped, damage, part, place
):
    phase, name = place
    store = Store(tmp_path / "copy")
    shutil.copytree((stopped if name == "partial" else whole).folder, store.folder)
    key = prefix_keys(SMALL)[phase]
    (file,) = (store.folder / key).glob(f"{name}.json" if part == "json" else f"{name}.*.safetensors")
    damage(file)
    result = train(SMALL, store, progress=False)
    for i in (1, 2):  # weights of every moment are asked for, as an analysis does
        result.model(i)
        result.model(i, epoch=1)
    assert_same(store, SMALL, whole)
    assert not (store.folder / "opened").exists()
    told = [message for message in caplog.messages if "damaged" in message or "trained again" in message]
    assert told or (damage is removed and name in ("logits", "partial"))  # what is not there is no damage
    assert all("\n" not in message and len(message) < 400 for message in told)
    assert any(str(file) in message for message in told) or damage is removed


@pytest.mark.parametrize("folder", [".locks", ".slots"])
def test_a_lock_file_of_any_content_is_only_a_lock(tmp_path, whole, folder):
    store = Store(tmp_path / "copy")
    shutil.copytree(whole.folder, store.folder)
    for file in (store.folder / folder).iterdir():
        replaced_by_a_pickle(file)
    for key in prefix_keys(SMALL):
        shutil.rmtree(store.folder / key)
    train(SMALL, store, progress=False)
    assert_same(store, SMALL, whole)
    assert not (store.folder / "opened").exists()


# --- two processes; see also test_store: one run is trained once, and a dead process holds no lock


def test_a_process_that_waits_takes_over_from_one_that_is_killed_in_training(tmp_path, whole):
    """One trains and is killed; the other has waited for its lock, goes on from its state and ends with the same."""
    store, run = Store(tmp_path), SMALL
    holder = PROCESSES.Process(target=_train_until_stopped, args=(tmp_path, run, tmp_path / "holds"))
    holder.start()
    wait_for((tmp_path / "holds").exists)
    started = PROCESSES.Event()
    waiting = PROCESSES.Process(target=_train, args=(tmp_path, run, started))
    waiting.start()
    assert started.wait(60)
    time.sleep(0.5)
    assert progress_of(store, run) == ("partial", "nothing"), "the second one did not wait"
    holder.kill()
    holder.join()
    waiting.join(60)
    assert waiting.exitcode == 0
    assert_same(store, run, whole)


def _train_until_stopped(folder, run, sign):
    real = Store.put

    def put(self, key, name, *entry):
        real(self, key, name, *entry)
        if name == "partial":
            sign.touch()
            time.sleep(600)

    Store.put = put
    train(run, Store(folder), progress=False)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


# --- disk


def test_a_disk_that_is_full_at_any_write_is_one_line_and_loses_nothing(tmp_path, whole):
    for at in range(points(SMALL, tmp_path / "counted")):
        store = Store(tmp_path / str(at))
        with pytest.MonkeyPatch.context() as patch:
            write_points(patch, full, at)
            with pytest.raises(StoreError, match=r"^cannot write to the store .*No space left on device$") as caught:
                train(SMALL, store, progress=False)
        assert "\n" not in str(caught.value)
        assert not list(store.folder.glob("*/.*.tmp")), "a half-written file takes the space that is missing"
        train(SMALL, store, progress=False)
        assert_same(store, SMALL, whole)


# In a namespace of its own a test may mount a disk as small as it likes. Prints a line of JSON for each thing it does.
ON_A_SMALL_DISK = """
import json, subprocess, sys
from eecore.errors import EecoreError
from eecore.training import Run, Store, train
disk, run = sys.argv[1], Run(**json.loads(sys.argv[2]))
def mount(*words): subprocess.run(["mount", *words], check=True)
def attempt(title, run=run):
    try: key, said = train(run, Store(disk), progress=False).key, ""
    except EecoreError as error: key, said = None, str(error)
    print(json.dumps({"title": title, "key": key, "said": said}), flush=True)
mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", disk)
for size in ("64k", "500k", "1m", "2m", "3m"):
    mount("-o", f"remount,size={size}", disk); attempt(size)
mount("-o", "remount,size=100m", disk); attempt("room")
mount("-o", "remount,ro", disk); attempt("read-only, stored")
attempt("read-only, new", run.replace(seed=1))
mount("-o", "remount,rw", disk)
subprocess.run(["cp", "-r", f"{disk}/.", sys.argv[3]], check=True)
"""


@pytest.mark.namespaces
def test_a_disk_that_is_really_full_then_has_room_then_is_read_only(tmp_path, whole):
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    settings = {"dataset": SMALL.dataset, "model": SMALL.model, "regime": SMALL.regime, "epochs": SMALL.epochs}
    inside = [sys.executable, "-c", ON_A_SMALL_DISK, str(disk), json.dumps(settings), str(kept)]
    done = subprocess.run(["unshare", "-rm", *inside], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *small, room, stored, new = (json.loads(line) for line in done.stdout.splitlines())
    refused = [attempt for attempt in small if attempt["key"] is None]
    assert len(refused) >= 2, "the disk was never full"
    for attempt in refused:
        assert attempt["said"] == f"cannot write to the store {disk}: No space left on device"
    assert (room["key"], room["said"]) == (prefix_keys(SMALL)[-1], "")
    assert (stored["key"], stored["said"]) == (room["key"], ""), "what is stored can be read"
    assert new["said"] == f"cannot write to the store {disk}: Read-only file system"
    assert_same(Store(kept), SMALL, whole)


def bind_by_permissions():
    """Root gives up the right to ignore permissions, for this process: they bind it then as they bind anyone."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3, this process
        if library.capget(header, rights) == 0:
            rights[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, of those in effect
            if library.capset(header, rights) == 0:
                return
        raise OSError(ctypes.get_errno(), "root keeps its rights")


def _command_as_anyone(words, told):
    with open(told, "w", encoding="utf-8") as sys.stderr:
        sys.argv = ["eecore", *words]
        bind_by_permissions()
        main()


def command_as_anyone(told, *words):
    """`python -m eecore WORDS` under permissions: status and the lines of stderr."""
    process = PROCESSES.Process(target=_command_as_anyone, args=(list(map(str, words)), told))
    process.start()
    process.join()
    return process.exitcode, [line for line in told.read_text().replace("\r", "\n").splitlines() if line.strip()]


TRAIN = ["train", "--dataset", "synthetic", "--model", "mlp_nano", "--regime", "mixed", "--epochs", "2"]


@pytest.mark.parametrize(
    ("forbidden", "mode", "said"),
    [
        (".", 0o555, "cannot write to the store {store}: "),
        (".", 0o000, "cannot read {store}/"),
        ("..", 0o000, "cannot read {store}/"),
        (".locks", 0o555, "cannot write to the store {store}: "),
    ],
)
def test_no_permission_is_one_line_and_loses_nothing(tmp_path, whole, forbidden, mode, said):
    folder = tmp_path / "above" / "store"
    shutil.copytree(whole.folder, folder)
    place = folder.parent if forbidden == ".." else folder / forbidden
    place.chmod(mode)
    try:
        status, lines = command_as_anyone(tmp_path / "told", *TRAIN, "--seed", 1, "--store", folder)
    finally:
        place.chmod(0o755)
    assert status == 1
    assert lines[-1].startswith(f"eecore: {said.format(store=folder)}")
    assert lines[-1].endswith(": Permission denied")
    begun = ("store: ", "data: ", "synthetic mlp_nano")
    assert all(line.startswith(begun) for line in lines[:-1]), "more than what came in, a bar and a line"
    assert_same(Store(folder), SMALL, whole)


@pytest.mark.parametrize("part", ["json", "safetensors"])
def test_a_file_that_may_not_be_read_is_no_damage_but_one_line(tmp_path, whole, part):
    """To train for hours because of a permission would be no help."""
    folder = tmp_path / "store"
    shutil.copytree(whole.folder, folder)
    (file,) = (folder / prefix_keys(SMALL)[1]).glob(f"logits.{'*.' if part != 'json' else ''}{part}")
    file.chmod(0)
    status, lines = command_as_anyone(tmp_path / "told", *TRAIN, "--store", folder)
    file.chmod(0o644)
    assert (status, lines[-1]) == (1, f"eecore: cannot read {file}: Permission denied")
    assert [line.partition(":")[0] for line in lines[:-1]] == ["store", "data"]
    assert_same(Store(folder), SMALL, whole)


def test_a_store_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot write to the store") as caught:
        train(SMALL, Store(tmp_path / "file"), progress=False)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"
    assert Store(tmp_path / "file").stored_keys() == []


# --- the same seed


@pytest.mark.parametrize("settings", [{"model": "vit_nano"}, {"model": "resnet_nano", "regime": "disjoint"}], ids=str)
def test_the_same_seed_in_two_processes_is_the_same_bits_and_the_record_says_where(tmp_path, settings):
    run = Run(**{"dataset": "synthetic", "regime": "mixed", "epochs": 2, "recipe": Recipe(augment="shift"), **settings})
    stores = [Store(tmp_path / name) for name in ("one", "two", "three")]
    for store, seed in zip(stores, (0, 0, 1), strict=True):
        started = PROCESSES.Event()
        process = PROCESSES.Process(target=_train, args=(store.folder, run.replace(seed=seed), started))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert_same(stores[0], run, stores[1])
    one, other = (train(run.replace(seed=s), store, progress=False) for s, store in ((0, stores[0]), (1, stores[2])))
    assert not torch.equal(one.test_logits, other.test_logits)
    record = one.record
    assert record["identity"]["threads"] == run.threads
    assert record["identity"]["device"] == record["device"] == "cpu"
    assert record["identity"]["torch"] == record["versions"]["torch"] == torch.__version__
    assert set(record["versions"]) == {"python", "torch", "numpy", "safetensors"}
    assert all(record["versions"].values())
    assert record["processor"]
