"""L2W: allotment against a loop, the look ahead against one gradient a sample, and what it may not touch."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_objectives import SYNTHETIC, make, state
from torch.utils.flop_counter import FlopCounterMode

from eecore import data, models
from eecore.training import Phase, Recipe
from eecore.training.costs import phase_macs
from eecore.training.loop import train_phase
from eecore.training.moving import Moving
from eecore.training.objectives.objective import Objective
from eecore.training.objectives.sample_weights import SampleWeights, allotted, around_one

BATCH = 16


def begun(model, trains="all", dataset=SYNTHETIC, **recipe):
    """Moving and the weights of its samples, after one forward pass."""
    wanted = Recipe(batch_size=BATCH, weights="l2w", **recipe)
    moving = Moving(model, Phase(trains, 1), wanted, "none", dataset, "cpu")
    moving.train_mode(0)
    logits, target = moving.forward(torch.arange(BATCH), torch.Generator())
    return moving, SampleWeights(moving, rate=0.1), moving.losses(logits.float(), target)


def slowly_allotted(logits, late):
    """A loop over exits and samples."""
    exits, batch, _ = logits.shape
    total = sum(late ** (k + 1) for k in range(exits))
    left, taken = list(range(batch)), [exits - 1] * batch
    for k in range(exits - 1):
        sure = logits[k].softmax(dim=1).amax(dim=1)
        left.sort(key=lambda i: -sure[i].item())
        for _ in range(math.floor(late ** (k + 1) / total * batch)):
            taken[left.pop(0)] = k
    return taken


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 40), st.sampled_from([0.5, 1.0, 1.5]), st.integers(0, 99))
def test_samples_are_allotted_as_in_a_loop(exits, batch, late, seed):
    logits = torch.randn(exits, batch, 3, generator=torch.Generator().manual_seed(seed))
    assert allotted(logits, late).tolist() == slowly_allotted(logits, late)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 99))
def test_weights_of_a_sample_have_mean_one_and_stay_positive_enough(exits, seed):
    raw = torch.rand(9, exits, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    weights = around_one(raw)
    torch.testing.assert_close(weights.mean(dim=1), torch.ones(9))
    assert weights.min() > 1 - 2 * 0.8


@pytest.mark.parametrize("trains", ["all", "heads"])
def test_the_slope_of_a_weight_is_minus_the_product_of_two_gradients(trains):
    """By the chain rule: a step along a sample's gradient helps as far as it points along that of the loss ahead."""
    model = make()
    moving, samples, _ = begun(model, trains)
    exits, half = len(moving.exits), BATCH // 2
    given = torch.rand(exits, half, generator=torch.Generator().manual_seed(1)) + 0.5
    given.requires_grad_(True)
    samples.weights = lambda each: given
    ahead = samples.ahead(slice(0, half), slice(half, None))
    (found,) = torch.autograd.grad(ahead, given)
    moves = [p for p in model.parameters() if p.requires_grad]

    def gradient(loss, network):
        over = [p for p in network.parameters() if p.requires_grad]
        parts = torch.autograd.grad(loss, over, retain_graph=True, allow_unused=True)
        return torch.cat(
            [torch.zeros(p.numel()) if g is None else g.flatten() for g, p in zip(parts, over, strict=True)]
        )

    logits, target = moving.again(slice(0, half))
    each = moving.losses(logits, target)
    step = gradient((given.detach() * each).mean(), model)
    singly = torch.stack([torch.stack([gradient(loss, model) for loss in row]) for row in each])
    with torch.no_grad():
        for parameter, part in zip(moves, step.split([p.numel() for p in moves]), strict=True):
            parameter -= 0.1 * part.view(parameter.shape)
    logits, target = moving.again(slice(half, None))
    after = moving.losses(logits, target).gather(0, allotted(logits)[None]).mean()
    torch.testing.assert_close(ahead, after, rtol=1e-4, atol=1e-6)
    expected = -0.1 * singly @ gradient(after, model) / (exits * half)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


def test_looking_ahead_leaves_the_network_as_it_is():
    dataset = data.load("digits")
    model = models.build("resnet_nano", kind=dataset.kind, shape=dataset.shape, classes=dataset.classes)
    _, samples, each = begun(model, dataset=dataset)
    before = state(model)
    weights = samples.step(each, 0)
    assert weights.shape == each.shape
    assert not weights.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())  # batch norm's too
    assert all(parameter.grad is None for parameter in model.parameters())


def test_weights_learn_to_make_the_next_step_a_better_one():
    _, samples, each = begun(make())
    halves = slice(0, BATCH // 2), slice(BATCH // 2, None)
    with torch.no_grad():
        uniform = around_one(torch.zeros(BATCH // 2, 5)).T
    plain, learned = copy.copy(samples), samples
    plain.weights = lambda each: uniform
    for _ in range(200):
        samples.step(each, 0)
    assert learned.ahead(*halves).item() < plain.ahead(*halves).item()


@pytest.mark.parametrize("name", ["mlp_nano", "vit_nano", "resnet_nano"])
def test_every_family_has_second_derivatives(name):
    dataset = data.load("mnist1d")
    model = models.build(name, kind=dataset.kind, shape=dataset.shape, classes=dataset.classes)
    _, samples, each = begun(model, dataset=dataset)
    first = samples.step(each, 0)
    assert not torch.equal(first, samples.step(each, 1))


def test_mixed_samples_and_batches_too_small_to_look_ahead():
    for recipe in ({"mixup": 1.0}, {"batch_size": 3}):
        model = make()
        wanted = Recipe(**{"batch_size": BATCH, **recipe}, weights="l2w")
        done = train_phase(model, SYNTHETIC, Phase("all", 1), wanted, seed=0)
        assert math.isfinite(done.history[0]["train_loss"])


@pytest.mark.parametrize("trains", ["all", "heads"])
@pytest.mark.parametrize("name", ["mlp_nano", "resnet_nano"])
def test_what_it_costs_is_about_what_torch_counts(name, trains):
    dataset = data.load("mnist1d")
    counted = {}
    for weights in ("uniform", "l2w"):
        model = models.build(name, kind=dataset.kind, shape=dataset.shape, classes=dataset.classes)
        recipe = Recipe(batch_size=100, weights=weights)
        moving = Moving(model, Phase(trains, 1), recipe, "none", dataset, "cpu")
        objective = Objective(moving, recipe, dataset, 10)
        moving.train_mode(0)
        with FlopCounterMode(display=False) as counter:
            logits, target = moving.forward(torch.arange(100), torch.Generator())
            objective.backward(moving.losses(logits, target), logits, target, 0)
        counted[weights] = counter.get_total_flops() / 2
    about = {"phase": Phase(trains, 1), "epochs": 1, "steps": 1, "batch": 100, "cached_samples": 0}
    with_, without = (phase_macs(model, dataset.shape, dataset.kind, **about, weighed=w) for w in (True, False))
    more = (with_ - without) / (counted["l2w"] - counted["uniform"])
    assert 0.8 < more < (1.25 if trains == "all" else 1.6)  # a linear head needs no derivative for its features
