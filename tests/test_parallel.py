"""One phase on two processes: the weights of one within rounding, batch norm included; what cannot be divided."""

import copy
import gc
import inspect
import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest
import torch.distributed as dist

from eecore import data, models
from eecore.errors import SettingError, TrainingError
from eecore.training import Phase, Recipe, Run, Store, loop, parallel, session, together, train
from eecore.training.identity import identity, prefix_keys
from eecore.training.loop import train_phase

RECIPE = Recipe(batch_size=30, lr=0.05, optimizer="sgd")


def network(name, dataset):
    return models.build(name, kind=dataset.kind, shape=dataset.shape, classes=dataset.classes, seed=0)


def largest_difference(a, b):
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def moved(before, after):
    return max(float((before[name].double() - after[name].double()).abs().max()) for name in before)


CASES = {
    "no batch norm, weights and a teacher": (
        "vit_nano",
        Phase("all", 2),
        RECIPE.model_copy(update={"weights": "linear", "distillation": "last"}),
        "none",
    ),
    "batch norm of images, augmentation, mixing": (
        "resnet_nano",
        Phase("all", 2),
        RECIPE.model_copy(update={"mixup": 0.4, "ema": 0.9}),
        "shift",
    ),
    "backbone alone, rows that do not divide evenly": (
        "mlp_nano",
        Phase("backbone", 3),
        RECIPE.model_copy(update={"batch_size": 25, "patience": 1}),
        "none",
    ),
    "frozen features computed once": ("mlp_nano", Phase("heads", 2), RECIPE, "none"),
    "frozen backbone in every step": ("resnet_nano", Phase("heads", 2), RECIPE, "shift"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_come_to_the_weights_of_one(case):
    name, phase, recipe, augmentation = CASES[case]
    dataset = data.load("synthetic")
    start = network(name, dataset)
    one, two = copy.deepcopy(start), copy.deepcopy(start)
    named = {"seed": 3, "augmentation": augmentation}
    alone = train_phase(one, dataset, phase, recipe, **named)
    seen = []
    both = parallel.train_phase(
        two, dataset, phase, recipe, processes=2, on_epoch=lambda progress: seen.append(progress.epoch), **named
    )
    before, a, b = start.state_dict(), one.state_dict(), two.state_dict()
    assert moved(before, a) > 1e-3  # something was learnt
    assert largest_difference(a, b) < 1e-5
    for mine, its in zip(alone.history, both.history, strict=True):
        assert its["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-5)
        assert its["validation_loss"] == pytest.approx(mine["validation_loss"], rel=1e-5)
    assert seen == list(range(1, both.epoch + 1))
    assert all("forward" not in vars(module) for module in two.modules())
    assert all(not p._post_accumulate_grad_hooks for p in two.parameters())


RUN = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=2)


def test_a_run_on_one_process_is_what_it_was_and_one_on_two_is_another():
    assert "processes" not in identity(RUN)
    two = RUN.replace(processes=2)
    assert identity(two)["processes"] == 2
    assert not set(prefix_keys(RUN)) & set(prefix_keys(two))


@pytest.mark.slow
def test_a_process_that_is_killed_is_one_line_and_the_run_goes_on_from_its_last_epoch(tmp_path):
    run, store, found = RUN.replace(processes=2, regime="joint", epochs=100), Store(tmp_path), []

    def attempt():
        try:
            train(run, store, progress=False)
        except Exception as error:
            found.append(error)

    key = prefix_keys(run)[0]
    thread = threading.Thread(target=attempt)
    thread.start()
    until = time.monotonic() + 100
    while not store.record(key, "partial") and time.monotonic() < until:
        time.sleep(0.02)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    thread.join(100)
    (error,) = found
    assert isinstance(error, TrainingError)
    assert str(error) == "processes: one of 2 died; what was stored stays"
    done = store.record(key, "partial")["epoch"]
    assert done >= 1
    result = train(run, store, progress=False)
    assert [row["epoch"] for row in result.record["phases"][0]["history"]] == list(range(100))
    assert store.record(prefix_keys(run)[0], "partial") is None


@pytest.fixture
def _disturbed():
    """Threads change places within the parser: the garbage collector runs often, and Python code with it."""
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(20)
    sys.setswitchinterval(1e-6)
    disturb = lambda *_: sum(range(50))  # noqa: E731
    gc.callbacks.append(disturb)
    yield
    gc.callbacks.remove(disturb)
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("_disturbed")
def test_threads_that_parse_sources_at_once_do_not_disturb_each_other():
    source, found = inspect.getsource(loop), []

    def attempt():
        try:
            found.extend(len(session.parse(source).body) for _ in range(40))
        except SystemError as error:
            found.append(str(error))

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [len(session.parse(source).body)] * 120


@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    [
        pytest.param(0, id="the rows of the first batch"),
        pytest.param(1, id="the first gradient, in backward"),
        pytest.param(200, id="any later step"),
        pytest.param(-1, id="the check at the end"),
    ],
)
def test_a_broken_connection_is_a_dead_process_before_the_system_says_so(tmp_path, monkeypatch, at):
    """A connection breaks a moment before the process that held it counts as ended: here it goes on running."""
    calls, whole = [], dist.all_reduce

    def all_reduce(tensor, operation=dist.ReduceOp.SUM):
        ends = operation != dist.ReduceOp.SUM
        if ends if at < 0 else len(calls) == at:
            raise RuntimeError("Connection reset by peer")
        calls.append(tensor)
        return whole(tensor, operation)

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    with pytest.raises(TrainingError) as caught:
        train(RUN.replace(processes=2, regime="joint", epochs=20), Store(tmp_path), progress=False)
    assert str(caught.value) == "processes: one of 2 died; what was stored stays"
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_an_error_of_this_process_is_not_said_to_be_a_dead_one(tmp_path, monkeypatch):
    def rows(share, samples):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(together.Share, "rows", rows)
    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        train(RUN.replace(processes=2, regime="joint"), Store(tmp_path), progress=False)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processes": 0}, "processes: .* greater than or equal to 1, got 0"),
        ({"recipe": Recipe(gradients="pcgrad")}, "processes: 2 does not fit gradients='pcgrad'"),
        ({"recipe": Recipe(weights="l2w")}, "processes: 2 does not fit weights='l2w'"),
        ({"recipe": Recipe(compile=True)}, "processes: 2 does not fit compile=True"),
    ],
)
def test_what_cannot_be_divided_is_one_line(changes, said):
    with pytest.raises(SettingError, match=said) as caught:
        Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=2, **{"processes": 2, **changes})
    assert "\n" not in str(caught.value)
