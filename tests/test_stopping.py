"""Ctrl-C and a polite end: one line, within seconds, nothing begins afterwards, and what was stored stays."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from eecore.training import Store

SWEEP = ["sweep", "--datasets", "synthetic", "--models", "mlp_nano", "--regimes", "joint", "--seeds", "0,1,2,3,4,5"]
LONG = ["--epochs", "100000"]
PLAN = """[[entry]]
name = "tiny"
title = "Tiny"
dataset = "synthetic"
model = "mlp_nano"
epochs = 100000
size = "small"
regimes = ["joint", "mixed"]
seeds = [0, 1]
"""
TRAIN = ["train", "--dataset", "synthetic", "--model", "mlp_nano", "--regime", "joint"]
STOPPED = "eecore: stopped; what was finished is stored and is not done again"


def started(store, words, **more):
    """The command in a group of its own, as in a terminal; it returns when it has stored a state of each training."""
    environment = {**os.environ, "EECORE_STORE": str(store), "EECORE_WORKERS": "2", "OMP_NUM_THREADS": "1", **more}
    process = subprocess.Popen(
        [sys.executable, "-m", "eecore", *words, *(LONG if words[0] != "lab" else [])],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while len(begun(store)) < (2 if words[0] == "sweep" else 1):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.1)
    return process


def begun(store):
    """Keys that have a state of a phase that is not finished."""
    there = Store(store)
    return {key for key in there.stored_keys() if there.record(key, "partial") is not None}


def alive(group):
    """Whether a process of a group is left that still runs: one that ended may wait for whoever counts the dead."""
    states = [line.split() for line in subprocess.check_output(["ps", "-eo", "pgid=,stat="], text=True).splitlines()]
    return any(int(pgid) == group and not state.startswith("Z") for pgid, state in states)


def ends_at_once(process, store, send):
    before, began = begun(store), time.monotonic()
    send()
    _, said = process.communicate(timeout=30)
    took = time.monotonic() - began
    epochs = {key: Store(store).record(key, "partial")["epoch"] for key in begun(store)}
    time.sleep(2)
    assert not alive(process.pid)
    assert took < 5
    assert begun(store) == before
    assert {key: Store(store).record(key, "partial")["epoch"] for key in begun(store)} == epochs
    assert all(epoch > 0 for epoch in epochs.values())
    assert "Traceback" not in said
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("eecore:")]
    assert lines == [STOPPED]
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [SWEEP, [*SWEEP, "--engine", "dask"], TRAIN], ids=["local", "dask", "train"])
def test_a_stop_from_the_keyboard_or_from_outside(tmp_path, words, number):
    process = started(tmp_path, words)
    send = (lambda: os.killpg(process.pid, number)) if number == signal.SIGINT else process.terminate
    assert ends_at_once(process, tmp_path, send) == 128 + number


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_of_the_lab(tmp_path, number):
    (tmp_path / "plan.toml").write_text(PLAN)
    words = ["lab", "--records", str(tmp_path), "--checkpoint-seconds", "0.1"]
    process = started(tmp_path / "store", words)
    assert ends_at_once(process, tmp_path / "store", lambda: os.killpg(process.pid, number)) == 128 + number
    assert not list(tmp_path.rglob("*seed*.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_before_torch_is_there(tmp_path, number):
    """Which takes seconds to import, here for ever."""
    (tmp_path / "torch.py").write_text("import sys, time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    way = os.pathsep.join([str(tmp_path), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-m", "eecore", *TRAIN],
        env={**os.environ, "PYTHONPATH": way},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=5)
    assert said == "eecore: stopped; nothing was begun\n"
    assert process.returncode == 128 + number


@pytest.mark.slow
def test_a_stop_of_the_first_process_alone(tmp_path):
    process = started(tmp_path, SWEEP)
    assert ends_at_once(process, tmp_path, lambda: process.send_signal(signal.SIGINT)) == 130


@pytest.mark.slow
def test_who_loses_the_process_that_started_it_ends_too(tmp_path):
    process = started(tmp_path, SWEEP)
    process.kill()
    process.communicate()
    end = time.monotonic() + 5
    while alive(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(process.pid)


@pytest.mark.slow
def test_several_workers_say_epoch_loss_and_time_left(tmp_path):
    process = started(tmp_path, SWEEP)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    bars = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("training:")]
    assert "/600000" in bars[-1]
    assert "synthetic mlp_nano joint seed 0: epoch " in bars[-1]
    assert ", loss " in bars[-1]


def limited():
    """No file of more than 4 kB: a disk that is full, for what a training stores."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


SHORT = [*SWEEP, "--epochs", "2"]
FULL = {
    "one": [*SHORT, "--workers", "1"],
    "several": [*SHORT, "--workers", "2"],
    "dask": [*SHORT, "--workers", "2", "--engine", "dask"],
    "lab": ["lab"],
}


@pytest.mark.slow
@pytest.mark.parametrize("store", ["full", "file"])
@pytest.mark.parametrize("words", FULL.values(), ids=FULL)
def test_a_store_that_takes_nothing_ends_everything_with_one_line(tmp_path, words, store):
    (tmp_path / "plan.toml").write_text(PLAN.replace("100000", "2"))
    (tmp_path / "file").touch()
    more = ["--records", str(tmp_path)] if words == ["lab"] else []
    done = subprocess.run(
        [sys.executable, "-m", "eecore", *words, *more, "--store", str(tmp_path / store)],
        preexec_fn=limited if store == "full" else None,
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stderr.replace("\r", "\n").splitlines()
    assert done.returncode == 1
    assert [line for line in lines if line.startswith("eecore:")] == [lines[-1]]
    assert lines[-1].startswith(f"eecore: cannot write to the store {tmp_path / store}: ")
    assert "Traceback" not in done.stderr
    assert "seed" not in done.stdout  # no result, and no other run that is tried
