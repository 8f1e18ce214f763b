"""One phase on two processes: the weights of one process within rounding, batch norm included; what cannot be divided."""

import copy
import os
import signal
import threading
import time

import pytest
import torch

from eecore import data, models
from eecore.errors import SettingError, TrainingError
from eecore.training import Phase, Recipe, Run, Store, parallel, train
from eecore.training.identity import identity, prefix_keys
from eecore.training.loop import train_phase

RECIPE = Recipe(batch_size=30, lr=1e-3)


def network(name, dataset):
    return models.build(name, kind=dataset.kind, shape=dataset.shape, classes=dataset.classes, seed=0)


def largest_difference(a, b):
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def moved(before, after):
    return max(float((before[name].double() - after[name].double()).abs().max()) for name in before)


CASES = {
    "no batch norm, all exits": ("vit_nano", Phase("all", 2), RECIPE, "none"),
    "batch norm in one axis": ("mlp_nano", Phase("all", 2), RECIPE, "none"),
    "batch norm of images, augmentation, mixing": (
        "resnet_nano",
        Phase("all", 2),
        RECIPE.model_copy(update={"mixup": 0.4, "ema": 0.9}),
        "shift",
    ),
    "backbone alone, rows that do not divide evenly": (
        "resnet_nano",
        Phase("backbone", 2),
        RECIPE.model_copy(update={"batch_size": 25, "patience": 1}),
        "none",
    ),
    "frozen features computed once": ("mlp_nano", Phase("heads", 2), RECIPE, "none"),
    "frozen backbone in every step": ("resnet_nano", Phase("heads", 2), RECIPE, "shift"),
    "weights and a teacher": (
        "vit_nano",
        Phase("all", 2),
        RECIPE.model_copy(update={"weights": "adaloss", "distillation": "last"}),
        "none",
    ),
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
    # Adam divides by the gradient's size: where that is near 0, rounding moves a weight by a part of the learning rate
    assert largest_difference(a, b) < 0.05 * moved(before, a)
    for mine, its in zip(alone.history, both.history, strict=True):
        assert its["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-4)
        assert its["validation_loss"] == pytest.approx(mine["validation_loss"], rel=1e-3)
    assert seen == list(range(1, both.epoch + 1))
    assert all("forward" not in vars(module) for module in two.modules())
    assert all(not p._post_accumulate_grad_hooks for p in two.parameters())
