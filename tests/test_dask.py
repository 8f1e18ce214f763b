"""A sweep on Dask: the graph, the same bits as without, dead schedulers, killed workers, and what stays optional."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from dask.distributed import Client, LocalCluster, WorkerPlugin

from eecore.errors import SettingError, StoreError, TrainingError
from eecore.training import Store, grid, on_dask, sweep, train
from eecore.training.identity import prefix_keys

pytestmark = [
    pytest.mark.xdist_group("dask"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of processes that were killed
]
RUNS = grid(["synthetic"], ["mlp_nano"], ["disjoint", "joint", "mixed"], [0, 1], epochs=2)


def distinct(runs):
    return {key for run in runs for key in prefix_keys(run)}


# -- the graph ------------------------------------------------------------------------------------------


def test_a_prefix_is_one_task_and_its_continuations_depend_on_it(tmp_path):
    graph = on_dask.phase_graph(RUNS, Store(tmp_path))
    kinds = Counter(task.kind for task in graph.values())
    assert kinds == {"backbone": 2, "heads": 2, "all": 4, "evaluate": 6}  # disjoint and mixed share the backbone
    order = list(graph)
    for name, task in graph.items():
        assert name == f"{task.kind}-{task.key}"
        assert (task.before is None) == (task.phases == 1 and task.kind != "evaluate")
        if task.before:
            assert order.index(task.before) < order.index(name)
            behind = graph[task.before].key
            assert behind == prefix_keys(task.run)[task.phases - (1 if task.kind == "evaluate" else 2)]


def test_what_is_stored_is_no_task(tmp_path):
    store = Store(tmp_path)
    train(RUNS[0], store, progress=False)  # disjoint of seed 0
    graph = on_dask.phase_graph([RUNS[0], RUNS[2]], store)
    assert [(task.kind, task.before) for task in graph.values()] == [("all", None), ("evaluate", next(iter(graph)))]
    store.remove(prefix_keys(RUNS[0])[-1], "logits")
    assert [task.kind for task in on_dask.phase_graph([RUNS[0]], store).values()] == ["evaluate"]


# -- the same as without --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_bits_are_those_of_one_process_and_the_address_is_said(tmp_path, capsys):
    with_dask = sweep(RUNS, Store(tmp_path / "dask"), workers=2, engine="dask")
    said = capsys.readouterr().err
    assert "Dask: 2 processes on this machine, one thread each; " in said
    assert "http://127.0.0.1:" in said
    epochs = {key: phase.epochs for run in RUNS for key, phase in zip(prefix_keys(run), run.phases, strict=True)}
    assert f"{sum(epochs.values())}/{sum(epochs.values())}" in said
    without = sweep(RUNS, Store(tmp_path / "local"), workers=1, progress=False)
    for a, b in zip(with_dask, without, strict=True):
        assert a.key == b.key
        assert torch.equal(a.test_logits, b.test_logits)
    assert set(Store(tmp_path / "dask").stored_keys()) == distinct(RUNS)


@pytest.mark.slow
def test_a_scheduler_that_somebody_else_started_is_used_and_stays(tmp_path, capsys):
    with cluster() as here:  # and no client of anybody's
        results = sweep(RUNS[:3], Store(tmp_path), engine="dask", scheduler=here.scheduler_address)
        assert f"Dask: 2 workers at {here.scheduler_address}; " in capsys.readouterr().err
        again = sweep(RUNS[:4], Store(tmp_path), engine="dask", scheduler=here.scheduler_address, progress=False)
    assert [result.key for result in again[:3]] == [result.key for result in results]
    assert set(Store(tmp_path).stored_keys()) == distinct(RUNS[:4])


# -- a worker that dies ---------------------------------------------------------------------------------


class Journal(WorkerPlugin):
    """Writes down each phase that a worker begins to train, and the epoch at which it begins."""

    def __init__(self, path):
        self.path = path

    def setup(self, worker):
        from eecore.training import chain

        plain, path = chain.train_phase, self.path

        def written_down(model, dataset, phase, recipe, *, seed, start=None, **more):
            with open(path, "a") as file:
                file.write(f"{phase.trains} {seed} {start.epoch if start else 0} {os.getpid()}\n")
            return plain(model, dataset, phase, recipe, seed=seed, start=start, **more)

        chain.train_phase = written_down


def cluster(**more):
    return LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address="localhost:0",
        silence_logs="CRITICAL",
        **more,
    )


def kill_one_in_the_middle(store, client, sweep_thread):
    """Kill the worker that trains a phase of which at least one epoch is stored; return (pid, key of the phase)."""
    until = time.monotonic() + 60
    pids = {address: pid for address, pid in client.run(os.getpid).items()}
    while time.monotonic() < until and sweep_thread.is_alive():
        for address, names in client.processing().items():
            for name in names:
                key = name.split("-")[1]
                if not name.startswith("evaluate") and store.record(key, "partial") and not store.has(key, "weights"):
                    os.kill(pids[address], signal.SIGKILL)
                    return pids[address], key
        time.sleep(0.02)
    raise AssertionError("no phase was met in the middle")


def in_thread(function, *arguments, **named):
    found = []

    def call():
        try:
            found.append(function(*arguments, **named))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, found


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_no_phase_and_doubles_none(tmp_path):
    """Every phase is begun once; the killed one twice, and it goes on at its last stored epoch."""
    store, journal = Store(tmp_path / "store"), tmp_path / "journal"
    runs = grid(["synthetic"], ["mlp_nano"], ["disjoint", "mixed"], [0, 1], epochs=40)
    with cluster() as here, Client(here) as client:
        client.register_plugin(Journal(journal))
        thread, found = in_thread(sweep, runs, store, engine="dask", scheduler=here.scheduler_address, progress=False)
        pid, _ = kill_one_in_the_middle(store, client, thread)
        thread.join(120)
        assert not thread.is_alive()
    (results,) = found
    assert not isinstance(results, Exception), results
    assert set(store.stored_keys()) == distinct(runs)
    for key in distinct(runs):
        assert store.has(key, "weights")
        assert store.record(key, "partial") is None
        phase = store.record(key, "weights")["phases"][-1]
        assert [row["epoch"] for row in phase["history"]] == list(range(40))  # no epoch missing or twice
    begun = [line.split() for line in journal.read_text().splitlines()]
    times = Counter((trains, seed) for trains, seed, _, _ in begun)
    assert len(times) == len(distinct(runs))
    assert sorted(times.values()) == [1] * (len(times) - 1) + [2]
    again = next(name for name, count in times.items() if count == 2)
    first, second = [(int(epoch), int(by)) for trains, seed, epoch, by in begun if (trains, seed) == again]
    assert first == (0, pid)
    assert second[0] >= 1
    assert second[1] != pid
    for a, b in zip(results, sweep(runs, Store(tmp_path / "whole"), workers=1, progress=False), strict=True):
        assert torch.equal(a.test_logits, b.test_logits)


@pytest.mark.slow
def test_a_task_whose_workers_all_die_is_one_line_and_what_was_finished_stays(tmp_path):
    import dask

    store = Store(tmp_path / "store")
    runs = grid(["synthetic"], ["mlp_nano"], ["mixed"], [0, 1], epochs=40)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        cluster() as here,
        Client(here) as client,
    ):
        thread, found = in_thread(sweep, runs, store, engine="dask", scheduler=here.scheduler_address, progress=False)
        _, key = kill_one_in_the_middle(store, client, thread)
        thread.join(120)
    assert isinstance(found[0], TrainingError)
    assert "\n" not in str(found[0])
    assert "each worker that took it died" in str(found[0])
    assert store.record(key, "partial")["epoch"] >= 1


# -- what a worker checks before it trains --------------------------------------------------------------


def task(**changes):
    run = RUNS[0]
    return on_dask.Task("backbone", run, 1, prefix_keys(run)[0], None)._replace(**changes)


def test_a_worker_refuses_another_folder_another_source_and_a_module_that_it_has_not(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(TrainingError, match="is not the sweep's store"):
        on_dask.work(task(), str(tmp_path), "abc", ())
    with store.marked("abc"):
        with pytest.raises(TrainingError, match="its torch, its data or its source of eecore differ"):
            on_dask.work(task(key="0" * 20), str(tmp_path), "abc", ())
        with pytest.raises(TrainingError, match="cannot import my_models, which defines a model or data"):
            on_dask.work(task(), str(tmp_path), "abc", ("my_models",))
        assert store.stored_keys() == []
        on_dask.work(task(), str(tmp_path), "abc", ("json",))
    assert store.stored_keys() == prefix_keys(RUNS[0])[:1]
    assert not store.has_mark("abc")


def test_the_mark_says_where_it_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to the store"), Store(tmp_path / "file").marked("abc"):
        pass


# -- what is wrong is one line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://127.0.0.1:9", "(Timed out|no answer)"),
        ("banana", "missing port"),
        ("http://127.0.0.1:8786", "unknown address scheme"),
    ],
)
def test_a_dead_or_wrong_scheduler_is_one_line_within_seconds(tmp_path, address, why):
    began = time.monotonic()
    with pytest.raises(SettingError, match=f"scheduler: no Dask scheduler answers at .*{why}") as caught:
        sweep(RUNS, Store(tmp_path), engine="dask", scheduler=address, progress=False)
    assert time.monotonic() - began < 20
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"engine": "dusk"}, "engine: 'dusk' is not known; did you mean 'dask'"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "scheduler: only engine='dask' has one"),
        ({"engine": "dask", "scheduler": "tcp://127.0.0.1:9", "workers": 2}, "workers: those of tcp://127.0.0.1:9"),
        ({"engine": "dask", "workers": 0}, "workers: expected an integer of at least 1, got 0"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, named, said):
    with pytest.raises(SettingError, match=said):
        sweep(RUNS, Store(tmp_path), progress=False, **named)


def test_without_dask_there_is_one_line(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else found(name))
    for scheduler in (None, "tcp://127.0.0.1:9"):
        with pytest.raises(SettingError, match=r"engine: 'dask' needs packages .*\[cluster\]"):
            sweep(RUNS, Store(tmp_path), engine="dask", scheduler=scheduler, progress=False)


def test_what_a_notebook_defines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(on_dask, "own_modules", lambda run: ("__main__",))
    with pytest.raises(SettingError, match="'dask' cannot train mlp_nano on synthetic, which this program or notebook"):
        sweep(RUNS, Store(tmp_path), engine="dask", progress=False)


def test_dask_is_not_imported_before_it_is_asked_for():
    code = "import sys, eecore, eecore.cli; print(sorted({'dask', 'distributed'} & set(sys.modules)))"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_program_without_a_guard_is_told_so(tmp_path):
    program = (
        "import eecore\n"
        "runs = eecore.grid(['synthetic'], ['mlp_nano'], ['joint'], [0], epochs=1)\n"
        "eecore.sweep(runs, engine='dask', progress=False)\n"
    )
    (tmp_path / "program.py").write_text(program)
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("eecore.errors.SettingError: engine: Dask's processes could not start")
    assert "`if __name__ == '__main__':`" in last
