"""Ctrl-C and a polite end: one line, within seconds, nothing begins afterwards, and what was stored stays."""

import os
import signal
import subprocess
import sys
import time

import pytest

from eecore.training import Store

SWEEP = ["sweep", "--datasets", "synthetic", "--models", "mlp_nano", "--regimes", "joint", "--seeds", "0,1,2,3,4,5"]
LONG = ["--epochs", "100000"]
TRAIN = ["train", "--dataset", "synthetic", "--model", "mlp_nano", "--regime", "joint"]
STOPPED = "eecore: stopped; what was finished is stored and is not done again"


def started(store, words, **more):
    """The command in a group of its own, as in a terminal; it returns when it has stored a state of each training."""
    environment = {**os.environ, "EECORE_STORE": str(store), "EECORE_WORKERS": "2", "OMP_NUM_THREADS": "1", **more}
    process = subprocess.Popen(
        [sys.executable, "-m", "eecore", *words, *LONG],
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
    assert ends_at_once(process, tmp_path, send) == 130


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
