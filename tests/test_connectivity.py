"""Paths, barriers and permutations: exact where they must be, and nothing given is changed."""

import copy
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from eecore import data, models
from eecore.analysis.bezier import bezier_path
from eecore.analysis.connectivity import barrier, interpolate, path, reestimate_batch_norm, repair
from eecore.analysis.matching import align, match_weights
from eecore.analysis.permutations import permutation_groups, permute
from eecore.errors import SettingError

FAMILIES = ("mlp_nano", "resnet_nano", "vit_nano")
RESNET_MSDNET = ("resnet_nano", "msdnet")  # heads that begin with a convolution


@cache
def _trained(name, seed, head="auto"):
    """A few steps: distinct weights, statistics and norms."""
    model = models.build(name, kind="image", shape=(1, 8, 8), classes=4, seed=seed, head=head)
    split = data.load("synthetic").train
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(6):
        loss = sum(F.cross_entropy(logits, split.y) for logits in model(split.x))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def trained(name, seed=0, head="auto"):
    return copy.deepcopy(_trained(name, seed, head))


def snapshot(model):
    """Everything that an analysis must leave as it was."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    rest = [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    return state, modes, rest, [getattr(module, "momentum", None) for module in model.modules()]


def assert_same(before, after):
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1] == after[1]
    assert before[3] == after[3]
    for (flag_a, grad_a), (flag_b, grad_b) in zip(before[2], after[2], strict=True):
        assert flag_a == flag_b
        assert (grad_a is None) == (grad_b is None)
        assert grad_a is None or torch.equal(grad_a, grad_b)


def logits(model, state, x):
    clone = copy.deepcopy(model)
    clone.load_state_dict(state)
    with torch.no_grad():
        return clone.eval()(x)


def randomly(groups, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {group: torch.randperm(places[0].units, generator=generator) for group, places in groups.items()}


def test_interpolation_is_exact_at_its_ends_and_linear_between():
    a, b = (trained("resnet_nano", seed).state_dict() for seed in (0, 1))
    for t, end in ((0.0, a), (1.0, b)):
        mixed = interpolate(a, b, t)
        assert all(torch.equal(mixed[n], end[n]) for n in end if end[n].is_floating_point())
    quarter = interpolate(a, b, 0.25)
    assert all(torch.allclose(quarter[n], 0.75 * a[n] + 0.25 * b[n]) for n in a if a[n].is_floating_point())
    counters = [n for n in a if not a[n].is_floating_point()]
    assert counters
    assert all(torch.equal(quarter[n], a[n]) for n in counters)


def test_batch_norm_is_estimated_as_by_hand_and_nothing_else_moves():
    model, x = trained("mlp_nano"), data.load("synthetic").train.x
    before = snapshot(model)
    state = reestimate_batch_norm(model, x)
    assert_same(before, snapshot(model))
    first = model.blocks[0][0](model.stem(x))
    torch.testing.assert_close(state["blocks.0.1.running_mean"], first.mean(dim=0))
    torch.testing.assert_close(state["blocks.0.1.running_var"], first.var(dim=0))
    moved = {name for name in state if not torch.equal(state[name], before[0][name])}
    assert moved
    assert all("running" in name or "tracked" in name for name in moved)
    vit = trained("vit_nano")
    assert all(torch.equal(t, vit.state_dict()[n]) for n, t in reestimate_batch_norm(vit, x).items())


@pytest.mark.parametrize("name", FAMILIES)
def test_path_equals_a_plain_loop_and_changes_nothing(name):
    a, b = trained(name), trained(name, 1)
    model = trained(name, 2).train()
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    next(model.parameters()).requires_grad_(False)
    split, train = data.load("synthetic").validation, data.load("synthetic").train
    before = [snapshot(m) for m in (model, a, b)]
    frame = path(model, a.state_dict(), b.state_dict(), split.x, split.y, train.x, points=3)
    for m, s in zip((model, a, b), before, strict=True):
        assert_same(s, snapshot(m))
    assert list(frame.columns) == ["t", "exit", "loss", "accuracy"]
    assert frame["exit"].tolist() == 3 * list(range(1, a.n_exits + 1))
    for t in (0.0, 0.5, 1.0):
        point = trained(name)
        point.load_state_dict(interpolate(a.state_dict(), b.state_dict(), t))
        outputs = logits(point, reestimate_batch_norm(point, train.x), split.x)
        rows = frame[frame["t"] == t]
        slow = [F.cross_entropy(o, split.y).item() for o in outputs]
        np.testing.assert_allclose(rows["loss"], slow, rtol=1e-5)
        np.testing.assert_allclose(rows["accuracy"], [(o.argmax(1) == split.y).float().mean() for o in outputs])


def test_barrier_by_hand():
    frame = pd.DataFrame(
        {
            "t": np.repeat([0.0, 0.5, 1.0], 2),
            "exit": [1, 2] * 3,
            "loss": [1.0, 1.0, 4.0, 0.0, 2.0, 1.0],
            "accuracy": [0.9, 0.8, 0.4, 0.8, 0.7, 0.8],
        }
    )
    found = barrier(frame)
    assert found["exit"].tolist() == [1, 2, "mean"]
    np.testing.assert_allclose(found["loss"], [2.5, 0.0, 2.0 - 1.25])
    np.testing.assert_allclose(found["error"], [0.4, 0.0, 0.2], atol=1e-12)
    assert found["loss_t"].tolist() == [0.5, 0.0, 0.5]
    shuffled = barrier(frame.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(shuffled, found)


def test_no_barrier_from_a_network_to_itself():
    model, split = trained("resnet_nano"), data.load("synthetic").test
    frame = path(model, model.state_dict(), model.state_dict(), split.x, split.y, split.x, points=3)
    assert barrier(frame)[["loss", "error"]].to_numpy().max() < 1e-5


@pytest.mark.parametrize(
    ("name", "head"),
    [*((name, head) for name in FAMILIES for head in ("auto", "linear")), ("vit_nano_cls", "auto"), RESNET_MSDNET],
)
def test_permuted_networks_compute_the_same_and_are_matched_exactly(name, head):
    model, x = trained(name, head=head), data.load("synthetic").test.x
    before, state = snapshot(model), model.state_dict()
    groups = permutation_groups(model)
    known = randomly(groups)
    moved = permute(state, groups, known)
    assert sum(not torch.equal(moved[n], state[n]) for n in state) > len(groups)
    torch.testing.assert_close(logits(model, moved, x), logits(model, state, x), atol=1e-5, rtol=0)
    found = match_weights(model, state, moved)
    assert all(torch.equal(found[group], known[group].argsort()) for group in groups)
    assert all(torch.equal(tensor, state[n]) for n, tensor in align(model, state, moved).items())
    assert_same(before, snapshot(model))


def test_bottleneck_blocks_and_sequences_have_groups_too():
    model = models.build("resnet50", kind="sequence", shape=(1, 16), classes=3).eval()
    groups = permutation_groups(model)
    assert sum("inner" in group for group in groups) == 2 * len(model.blocks)
    moved = permute(model.state_dict(), groups, randomly(groups))
    x = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(0))
    expected = logits(model, model.state_dict(), x)
    torch.testing.assert_close(logits(model, moved, x), expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_alignment_shortens_the_way_between_independent_networks(name):
    model, a, b = trained(name), trained(name).state_dict(), trained(name, 1).state_dict()
    names = [n for n, _ in model.named_parameters()]

    def distance(state):
        return sum(((state[n] - a[n]) ** 2).sum().item() for n in names)

    assert distance(align(model, a, b)) < distance(b)


def test_repair_restores_the_variance_of_a_mixture():
    model, x = trained("mlp_nano"), data.load("synthetic").train.x
    middle = interpolate(model.state_dict(), trained("mlp_nano", 1).state_dict(), 0.5)
    before = snapshot(model)
    repaired = repair(model, middle, x)
    assert_same(before, snapshot(model))
    clone = trained("mlp_nano")
    clone.load_state_dict(repaired)
    with torch.no_grad():
        first = clone.blocks[0][1](clone.blocks[0][0](clone.stem(x)))
    torch.testing.assert_close(first.mean(dim=0), middle["blocks.0.1.bias"], atol=1e-4, rtol=0)
    torch.testing.assert_close(first.std(dim=0), middle["blocks.0.1.weight"].abs(), atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_bezier_starts_straight_and_gets_lower(name):
    model, a, b = trained(name, 2), trained(name).state_dict(), trained(name, 1).state_dict()
    train = data.load("synthetic").train
    before, generator = snapshot(model), torch.get_rng_state()
    arguments = (model, a, b, train.x, train.y, train.x, train.y)
    straight = bezier_path(*arguments, steps=0, points=3)
    bent = bezier_path(*arguments, steps=10, learning_rate=1e-2, points=3)
    again = bezier_path(*arguments, steps=10, learning_rate=1e-2, points=3)
    assert_same(before, snapshot(model))
    assert torch.equal(generator, torch.get_rng_state())
    pd.testing.assert_frame_equal(bent, again)
    line = path(model, a, b, train.x, train.y, train.x, points=3)
    np.testing.assert_allclose(straight["loss"], line["loss"], rtol=1e-4)
    for t in (0.0, 1.0):
        np.testing.assert_array_equal(bent[bent["t"] == t]["loss"], line[line["t"] == t]["loss"])
    middle = [f[f["t"] == 0.5]["loss"].mean() for f in (straight, bent)]
    assert middle[1] < middle[0]


STATES = ("mlp_nano", "resnet_nano")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, s, o, d: interpolate(s, s, 1.5), "t: must lie"),
        (lambda m, s, o, d: interpolate(s, o, 0.5), "one architecture"),
        (lambda m, s, o, d: reestimate_batch_norm(m, d.x[:1]), "2 samples"),
        (lambda m, s, o, d: path(m, s, s, d.x, d.y, d.x, points=1), "points"),
        (lambda m, s, o, d: path(m, s, s, d.x, d.y, d.x[:1]), "2 samples"),
        (lambda m, s, o, d: path(m, o, o, d.x, d.y, d.x), "one architecture"),
        (lambda m, s, o, d: path(m, s, s, d.x * float("nan"), d.y, d.x), "not finite"),
        (lambda m, s, o, d: path(m, s, s, d.x, d.y[:-1], d.x), "labels"),
        (lambda m, s, o, d: bezier_path(m, s, s, d.x, d.y, d.x, d.y, steps=-1), "steps"),
        (lambda m, s, o, d: bezier_path(m, s, s, d.x * float("nan"), d.y, d.x, d.y, steps=1), "not finite"),
        (lambda m, s, o, d: match_weights(m, s, o), "state_b"),
        (lambda m, s, o, d: match_weights(m, s, {n: t * float("nan") for n, t in s.items()}), "NaN"),
        (lambda m, s, o, d: match_weights(m, s, s, sweeps=0), "sweeps"),
        (lambda m, s, o, d: permute(s, permutation_groups(m), {"block 9": torch.arange(3)}), "no group"),
        (lambda m, s, o, d: permute(s, permutation_groups(m), {"block 0": torch.zeros(128).long()}), "once"),
        (lambda m, s, o, d: repair(trained("vit_nano"), s, d.x), "batch norm"),
        (lambda m, s, o, d: barrier(pd.DataFrame({"t": [0.0], "exit": [1]})), "missing"),
        (
            lambda m, s, o, d: barrier(pd.DataFrame({"t": [0, 0.5], "exit": 1, "loss": 1.0, "accuracy": 1.0})),
            "t = 0 to t = 1",
        ),
    ],
)
def test_impossible_input(call, message):
    model, other = (trained(name) for name in STATES)
    before = snapshot(model)
    with pytest.raises(SettingError, match=message):
        call(model, model.state_dict(), other.state_dict(), data.load("synthetic").test)
    assert_same(before, snapshot(model))
