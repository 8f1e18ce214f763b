"""The loop on a device: the host never waits inside an epoch, and compiled networks come from one place."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eecore import data
from eecore.training import Phase, Recipe, Run, initial_model
from eecore.training.compiled import compiled
from eecore.training.loop import train_phase

# What makes the host wait for a GPU: a value is read, or a shape depends on values.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim", "bincount"}


class Waits(TorchDispatchMode):
    """Counts operations after which a host would wait for its GPU, copies between devices among them."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        settings = settings or {}
        name = function._schema.name.split("::")[1]
        masked = name in ("index", "index_put_") and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in arguments[1]
        )
        moved = name == "_to_copy" and settings.get("device") not in (None, arguments[0].device)
        if name in WAITS or masked or moved:
            self.seen.append(name)
        return function(*arguments, **settings)


def waits(steps, trains, **recipe):
    """How often the host would wait in two epochs of so many steps."""
    run = Run(dataset="digits", model="resnet_nano", regime="joint")
    size = len(data.load("digits").train) // steps
    settings = Recipe(batch_size=size, precision="bf16", channels_last=True, **recipe)
    with Waits() as counted:
        train_phase(
            initial_model(run),
            data.load("digits"),
            Phase(trains, 2),
            settings,
            augmentation=settings.augment or "none",
            seed=0,
            keeps=lambda epochs: False,
        )
    return counted.seen


def test_the_counter_sees_what_it_is_for():
    with Waits() as counted:
        x = torch.arange(4.0)
        x.sum().item()
        x[x > 1]
        x.nonzero()
        if x.sum() > 3:
            x.to(torch.float16)
    assert counted.seen == ["_local_scalar_dense", "index", "nonzero", "_local_scalar_dense"]


@pytest.mark.parametrize(
    ("trains", "recipe"),
    [
        ("all", {"augment": "crop_flip", "label_smoothing": 0.1, "ema": 0.9}),
        ("backbone", {"optimizer": "sgd", "lr": 0.05}),
        ("heads", {}),
        ("heads", {"augment": "shift"}),
    ],
)
def test_the_host_waits_as_often_in_an_epoch_of_many_steps_as_in_one_of_few(trains, recipe):
    few, many = waits(2, trains, **recipe), waits(8, trains, **recipe)
    assert few.count("_local_scalar_dense") > 0, "an epoch's loss is read at its end"
    assert sorted(many) == sorted(few)


@pytest.mark.parametrize(("wanted", "times"), [(True, 2), (False, 0)])
def test_compile_is_a_setting_and_each_phase_begins_anew(monkeypatch, wanted, times):
    calls = []
    monkeypatch.setattr(torch, "compile", lambda f, **_: calls.append("compile") or f)
    monkeypatch.setattr(torch.compiler, "reset", lambda: calls.append("reset"))
    run = Run(dataset="synthetic", model="mlp_nano", regime="joint")
    for trains in ("backbone", "all"):
        train_phase(
            initial_model(run),
            data.load("synthetic"),
            Phase(trains, 1),
            Recipe(batch_size=16, compile=wanted),
            seed=0,
        )
    assert calls == ["reset", "compile"] * times


def test_on_a_gpu_a_step_is_replayed_and_what_came_out_of_one_call_outlives_the_next(monkeypatch):
    asked, shared = {}, torch.zeros(2)

    def replayed(forward, **options):
        asked.update(options)
        return lambda x: shared.copy_(forward(x))  # as a CUDA graph: always the same memory

    monkeypatch.setattr(torch, "compile", replayed)
    doubled = compiled(lambda x: 2 * x, "cuda:0")
    first, second = doubled(torch.ones(2)), doubled(torch.zeros(2))
    assert asked == {"dynamic": False, "mode": "reduce-overhead"}
    assert first.tolist() == [2, 2]
    assert second.tolist() == [0, 0]
