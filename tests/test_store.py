"""The store's promises: whole or not at all, damage is noticed, one process at a time. What a run survives, kills and
full disks among it, is in test_survival.
"""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from eecore.errors import StoreError
from eecore.training import Phase, Run, Store, sweep, train
from eecore.training.identity import identity, prefix_keys, source_text
from eecore.training.store import default_folder, slot_names, worker_slots
from eecore.training.sweep import shared_phases

RUN = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=2)


def weights(store, run):
    return store.get(prefix_keys(run)[-1], "weights")[0]


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_put_and_get(tmp_path):
    store = Store(tmp_path / "with a space" / "runs")
    tensors = {"a": torch.arange(4), "b": torch.randn(2, 3).half()}
    store.put("k1", "weights", tensors, {"seconds": 1.5})
    got, record = store.get("k1", "weights")
    assert same(got, tensors)
    assert record["seconds"] == 1.5
    store.put("k1", "weights", {"a": torch.zeros(1)}, {"seconds": 2})
    assert len(list((store.folder / "k1").glob("*.safetensors"))) == 1
    assert store.get("k1", "missing") is None


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "record", "foreign pickle", "empty"])
@pytest.mark.parametrize("name", ["weights", "logits"])
def test_each_damage_is_noticed_reported_and_made_again(tmp_path, caplog, damage, name):
    store = Store(tmp_path)
    before = train(RUN, store, progress=False)
    folder = tmp_path / prefix_keys(RUN)[-1]
    file = next(folder.glob(f"{name}.*.safetensors"))
    content = file.read_bytes()
    if damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "remove":
        file.unlink()
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign pickle":
        file.write_bytes(pickle.dumps(_Bomb(tmp_path / "opened")))
    else:
        record = folder / f"{name}.json"
        record.write_text(record.read_text().replace('"epochs": 2', '"epochs": 3', 1))
    if name == "weights":
        (folder / "logits.json").unlink()
    again = train(RUN, store, progress=False)
    assert torch.equal(again.test_logits, before.test_logits)
    assert same(weights(store, RUN), before.model().state_dict())
    assert not (tmp_path / "opened").exists()
    assert any("damaged" in message for message in caplog.messages) or damage == "remove"


class _Bomb:
    """A pickle that would leave a trace if anybody opened it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_write_that_fails_loses_nothing_and_says_so_in_one_line(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put("k", "weights", {"a": torch.ones(3)}, {})

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("eecore.training.store.write_file", full)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        store.put("k", "weights", {"a": torch.zeros(3)}, {})
    assert "\n" not in str(caught.value)
    assert same(store.get("k", "weights")[0], {"a": torch.ones(3)})


def test_a_really_full_disk(tmp_path):
    """A limit on the size of a file is the disk that is full, without root."""
    script = (
        "import resource, signal, torch, sys; from eecore.training import Store; from eecore.errors import StoreError\n"
        "store = Store(sys.argv[1]); store.put('k', 'weights', {'a': torch.ones(3)}, {})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: store.put('k', 'weights', {'a': torch.zeros(9999)}, {})\n"
        "except StoreError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cannot write to the store")
    assert done.stdout.count("\n") == 1
    assert same(Store(tmp_path).get("k", "weights")[0], {"a": torch.ones(3)})
    assert not list((tmp_path / "k").glob(".*"))


def test_keys_follow_what_decides_the_result_and_nothing_else():
    keys = prefix_keys(RUN)
    assert prefix_keys(RUN.replace(regime="disjoint"))[0] == keys[0]
    assert prefix_keys(Run(**{**GOOD, "regime": "joint", "phases": RUN.phases})) == keys
    for change in ({"seed": 1}, {"threads": 2}, {"model": "vit_nano"}, {"dataset": "digits"}, {"exits": "every:2"}):
        assert prefix_keys(RUN.replace(**change))[0] != keys[0]
    assert {"torch", "training", "data_fingerprint", "threads", "device"} <= set(identity(RUN))


GOOD = {"dataset": "synthetic", "model": "mlp_nano", "epochs": 2}


def test_comments_and_docstrings_do_not_change_a_key(tmp_path, monkeypatch):
    import importlib.util

    def module(text):
        path = tmp_path / f"m{abs(hash(text))}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        monkeypatch.setitem(sys.modules, path.stem, loaded)
        return loaded

    plain = module("def f(x):\n    return x + 1\n")
    told = module('"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    # why\n    return x  + 1\n')
    other = module("def f(x):\n    return x + 2\n")
    assert source_text(told).replace("pass\n", "").replace("pass", "").split() == source_text(plain).split() or (
        "return x + 1" in source_text(told)
    )
    assert "Doc" not in source_text(told)
    assert source_text(other) != source_text(plain)


def test_disjoint_and_mixed_train_their_shared_phase_once(tmp_path, monkeypatch):
    import eecore.training.chain as chain

    trained = []
    real = chain.train_phase
    monkeypatch.setattr(chain, "train_phase", lambda *a, **k: trained.append(a[2]) or real(*a, **k))
    store, runs = Store(tmp_path), [RUN.replace(regime=name) for name in ("disjoint", "mixed", "joint")]
    sweep(runs, store, workers=1, progress=False)
    assert shared_phases(runs) == (5, 4)
    assert sorted(phase.trains for phase in trained) == ["all", "all", "backbone", "heads"]
    sweep(runs, store, workers=1, progress=False)
    assert len(trained) == 4


def test_a_resumed_chain_equals_one_that_ran_through(tmp_path):
    """Interrupted by an exception after every single epoch, in turn."""
    import eecore.training.chain as chain

    straight = train(RUN, Store(tmp_path / "straight"), progress=False)
    real, stops = Store.put, [0]

    class Stopped(Exception):
        pass

    def put(self, key, name, tensors, record):
        real(self, key, name, tensors, record)
        if name == "partial":
            stops[0] += 1
            raise Stopped

    store = Store(tmp_path / "stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain.Store, "put", put)
        for _ in range(10):
            try:
                resumed = train(RUN, store, progress=False)
                break
            except Stopped:
                continue
    assert stops[0] == 2
    assert torch.equal(resumed.test_logits, straight.test_logits)
    assert same(weights(store, RUN), straight.model().state_dict())


def _count_and_train(folder, counts):
    import eecore.training.chain as chain

    real = chain.train_phase

    def counting(*arguments, **settings):
        with open(counts, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {arguments[2].trains}\n")
        return real(*arguments, **settings)

    chain.train_phase = counting
    train(RUN, Store(folder), progress=False)


def test_two_processes_that_want_one_run_train_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    counts = tmp_path / "counts"
    both = [context.Process(target=_count_and_train, args=(tmp_path / "s", counts)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert sorted(line.split()[1] for line in counts.read_text().splitlines()) == ["all", "backbone"]


def _hold(folder, key, ready):
    with Store(folder).lock(key):
        ready.set()
        time.sleep(600)


def test_a_dead_lock_holder_does_not_block(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, prefix_keys(RUN)[0], ready), daemon=True)
    holder.start()
    assert ready.wait(60)
    holder.kill()
    holder.join()
    began = time.perf_counter()
    train(RUN, Store(tmp_path), progress=False)
    assert time.perf_counter() - began < 120  # it would wait for ten minutes


@pytest.mark.slow
def test_a_sweep_in_processes_equals_one_in_this_process(tmp_path):
    runs = [RUN.replace(regime=r, seed=s) for r in ("disjoint", "mixed", "joint") for s in (0, 1)]
    here = sweep(runs, Store(tmp_path / "one"), workers=1, progress=False)
    there = sweep(runs, Store(tmp_path / "two"), workers=2, progress=False)
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a.test_logits, b.test_logits)


def test_slots_are_as_many_as_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("EECORE_WORKERS", "2")
    assert worker_slots() == 2
    store = Store(tmp_path)
    with store.slot(), store.slot():
        for name in slot_names():
            with store._held("slots", name, timeout=0) as mine:
                assert not mine
    with store.slot():
        pass
    monkeypatch.setenv("EECORE_WORKERS", "many")
    with pytest.raises(StoreError, match="EECORE_WORKERS"):
        worker_slots()


def test_where_the_store_is(tmp_path, monkeypatch):
    monkeypatch.delenv("EECORE_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert default_folder() == Path.home() / ".cache" / "eecore" / "runs"
    (tmp_path / "eecore").mkdir()
    (tmp_path / "eecore" / "__init__.py").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert default_folder() == tmp_path / "runs"
    monkeypatch.setenv("EECORE_STORE", str(tmp_path / "elsewhere"))
    assert default_folder() == tmp_path / "elsewhere"


def test_the_record_says_how_it_was_made(tmp_path):
    result = train(RUN, Store(tmp_path), progress=False)
    record = result.record
    assert [phase["trains"] for phase in record["phases"]] == ["backbone", "all"]
    assert min(result.phase_macs) > 0
    assert all(phase["seconds"] > 0 and phase["steps"] > 0 for phase in record["phases"])
    assert record["versions"]["torch"] == torch.__version__
    assert record["identity"]["threads"] == 1
    assert json.dumps(record)
    assert len(result.history()) == 4
    frame = result.frame()
    assert set(frame["split"]) == {"validation", "test"}
    assert len(frame) == 2 * len(result.macs)
    assert result.test_logits.dtype == torch.float16


def test_the_model_after_each_prefix(tmp_path):
    result = train(RUN.replace(regime="disjoint"), Store(tmp_path), progress=False)
    untrained, first, last = (result.model(i).state_dict() for i in (0, 1, 2))
    assert not same(untrained, first)
    assert same({k: v for k, v in first.items() if "blocks" in k}, {k: v for k, v in last.items() if "blocks" in k})
    assert not same(first, last)
    assert Phase("heads", 2) in result.run.phases
