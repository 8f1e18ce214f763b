"""Landscapes on pages: sharpness against the whole Hessian, surfaces with an exact centre, the plane of three networks.

K exits.
"""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from test_gradients import NAMES, network, same, snapshot
from torch import nn

from eecore import data, models
from eecore.analysis import landscape_measures as measures
from eecore.analysis import synthesis
from eecore.analysis.landscape import filter_normalised_direction
from eecore.errors import SettingError
from eecore.models import MultiExit

SYNTHETIC = data.load("synthetic")


def tiny():
    """Two exits, no ReLU: 64 -> 3 -> 3 with tanh, small enough for a Hessian as a matrix."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh())
    blocks = [nn.Identity(), nn.Sequential(nn.Linear(3, 3), nn.Tanh())]
    return MultiExit(stem, blocks, [nn.Linear(3, 4), nn.Linear(3, 4)], (0, 1)).eval()


def whole_hessian(model, loss_of, samples):
    """The Hessian of a loss in all parameters as a matrix, by torch's own."""
    names, values = zip(*model.named_parameters(), strict=True)
    sizes = [value.numel() for value in values]

    def loss(flat):
        parts = {n: piece.view_as(v) for n, piece, v in zip(names, flat.split(sizes), values, strict=True)}
        return loss_of(torch.func.functional_call(model, parts, (SYNTHETIC.train.x[:samples],)))

    return torch.autograd.functional.hessian(loss, torch.cat([v.detach().flatten() for v in values]))


def mean_loss(logits, samples):
    return torch.stack([F.cross_entropy(one, SYNTHETIC.train.y[:samples]) for one in logits]).mean()


def test_sharpness_is_the_largest_eigenvalue_of_the_whole_hessian():
    model = tiny()
    found = measures.sharpness_by_exit(model, SYNTHETIC, samples=30, iterations=60, tolerance=1e-4)
    assert list(found) == ["exit", "eigenvalue", "iterations", "residual"]
    assert found["exit"].tolist() == [1, 2, "mean"]
    losses = [lambda z, k=k: F.cross_entropy(z[k], SYNTHETIC.train.y[:30]) for k in (0, 1)]
    losses.append(lambda z: mean_loss(z, 30))
    for row, loss in zip(found.itertuples(), losses, strict=True):
        values = torch.linalg.eigvalsh(whole_hessian(model, loss, 30).double())
        assert row.eigenvalue == pytest.approx(float(values[-1]), rel=1e-3)
        assert row.residual < 1e-3
    whole = synthesis.training_sharpness(model, SYNTHETIC, samples=30)
    assert whole["eigenvalue"].item() == pytest.approx(found["eigenvalue"].iloc[-1], rel=0.02)


@pytest.mark.parametrize("name", ["mlp_nano", "resnet_nano"])
def test_the_centre_of_a_surface_is_the_network_itself(name):
    model = network(name)
    found = measures.surfaces(model, SYNTHETIC, samples=30, steps=3, radius=0.5)
    own = measures.own_loss(model, SYNTHETIC, samples=30)
    centre = found[(found["a"] == 0) & (found["b"] == 0)]
    assert centre["exit"].tolist() == [*own["exit"], "mean"]
    assert (centre["loss"].to_numpy()[:-1] == own["loss"].to_numpy()).all()  # bit for bit
    with torch.no_grad():
        logits = copy.deepcopy(model).eval()(SYNTHETIC.train.x[:30])
    slow = [F.cross_entropy(one, SYNTHETIC.train.y[:30]).item() for one in logits]
    np.testing.assert_allclose(own["loss"], slow, rtol=1e-6)
    assert centre["loss"].iloc[-1] == pytest.approx(np.mean(slow))


def moved(model, a, b, seed, samples):
    """Losses of a rebuilt model at a u + b v, directions drawn one after the other."""
    generator = torch.Generator().manual_seed(seed)
    u, v = (filter_normalised_direction(model, generator) for _ in range(2))
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.add_(a * u[name] + b * v[name])
        logits = twin(SYNTHETIC.train.x[:samples])
    return np.array([F.cross_entropy(one, SYNTHETIC.train.y[:samples]).item() for one in logits])


def test_surfaces_against_rebuilt_networks():
    """a and b would be exchanged by a wrong order of the grid's axes."""
    model = network("mlp_nano")
    found = measures.surfaces(model, SYNTHETIC, samples=30, steps=5, radius=0.8, seed=3)
    assert len(found) == 25 * (model.n_exits + 1)
    for a, b in ((0.8, -0.4), (-0.8, 0.0), (0.0, 0.4)):
        losses = moved(model, a, b, 3, 30)
        here = found[np.isclose(found["a"], a) & np.isclose(found["b"], b)]
        np.testing.assert_allclose(here["loss"], [*losses, losses.mean()], rtol=1e-4)
    other = measures.surfaces(model, SYNTHETIC, samples=30, steps=3, seed=4)
    again = measures.surfaces(model, SYNTHETIC, samples=30, steps=3, seed=4)
    pd.testing.assert_frame_equal(other, again)


@pytest.mark.parametrize("name", ["mlp_nano", "resnet_nano"])
def test_rise_equals_a_plain_loop(name):
    model = network(name)
    found = measures.rise(model, SYNTHETIC, samples=30, radius=0.3, planes=2)
    centre, rises = moved(model, 0, 0, 0, 30), []
    for seed in (0, 1):
        for a, b in ((0.3, 0), (-0.3, 0), (0, 0.3), (0, -0.3)):
            rises.append(moved(model, a, b, seed, 30) - centre)
    expected = np.mean(rises, axis=0)
    np.testing.assert_allclose(found["rise"].to_numpy(dtype=float), [*expected, expected.mean()], rtol=1e-3, atol=1e-5)
    assert found["exit"].tolist() == [*range(1, model.n_exits + 1), "mean"]


@pytest.mark.parametrize(
    ("exits", "wanted"),
    [
        (1, ["exit 1"]),
        (2, ["exit 1", "exit 2"]),
        (3, ["exit 1", "exit 2", "exit 3"]),
        (4, ["exit 1", "exit 2", "exit 4"]),
        (5, ["exit 1", "exit 3", "exit 5"]),
        (6, ["exit 1", "exit 3", "exit 6"]),
    ],
)
def test_chosen_surfaces_are_first_middle_last_and_training_loss(exits, wanted):
    frame = pd.DataFrame({"exit": [*range(1, exits + 1), "mean"], "loss": range(exits + 1)})
    found = measures.chosen_surfaces(frame.iloc[::-1])
    assert found["surface"].tolist() == [*wanted, "training loss"]
    assert found["loss"].tolist() == [int(name[5:]) - 1 for name in wanted] + [exits]


def three(name):
    found = []
    for seed in range(3):
        model = models.build(name, kind="image", shape=(1, 8, 8), classes=4, seed=seed)
        model(SYNTHETIC.train.x)
        found.append(model.eval())
    return found


def test_the_plane_of_three_networks_holds_their_own_losses():
    """Without batch norm there is nothing to estimate: at its marks the plane is the networks as they are."""
    trio = three("vit_nano")
    grid, marks, distances = measures.plane_of_models(trio, SYNTHETIC, samples=24, steps=3)
    flat = [torch.cat([p.detach().double().flatten() for p in model.parameters()]) for model in trio]
    for i in range(3):
        with torch.no_grad():
            logits = trio[i](SYNTHETIC.test.x[:24])
        slow = [F.cross_entropy(one, SYNTHETIC.test.y[:24]).item() for one in logits]
        own = marks[marks["model"] == i]
        assert own["exit"].tolist() == [*range(1, trio[i].n_exits + 1), "mean"]
        np.testing.assert_allclose(own["loss"], [*slow, np.mean(slow)], rtol=1e-4)
        for j in range(3):
            distance = float((flat[i] - flat[j]).norm())
            assert distances[i, j] == pytest.approx(distance)
            places = [marks[marks["model"] == k][["a", "b"]].iloc[0] for k in (i, j)]
            assert np.linalg.norm(places[0] - places[1]) == pytest.approx(distance)
    assert len(grid) == 9 * (trio[0].n_exits + 1)
    by_point = grid[grid["exit"] != "mean"].groupby(["a", "b"])["loss"].mean()
    whole = grid[grid["exit"] == "mean"].set_index(["a", "b"])["loss"]
    np.testing.assert_allclose(by_point, whole.loc[by_point.index])


def test_a_point_of_the_grid_is_the_mixture_of_the_networks_there():
    """On the grid, a changes fastest: a point off the diagonal tells."""
    trio = three("mlp_nano")
    grid, marks, _ = measures.plane_of_models(trio, SYNTHETIC, samples=24, steps=3)
    places = np.array([[*marks[marks["model"] == i][["a", "b"]].iloc[0], 1.0] for i in range(3)])
    a, b = grid["a"].max(), grid["b"].min()
    shares = np.linalg.solve(places.T, [a, b, 1.0])
    twin = copy.deepcopy(trio[0])
    with torch.no_grad():
        for p, *parts in zip(twin.parameters(), *(model.parameters() for model in trio), strict=True):
            p.copy_(sum(float(s) * part for s, part in zip(shares, parts, strict=True)))
        for module in twin.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = 1.0
        twin.train()(SYNTHETIC.train.x)
        logits = twin.eval()(SYNTHETIC.test.x[:24])
    slow = [F.cross_entropy(one, SYNTHETIC.test.y[:24]).item() for one in logits]
    here = grid[(grid["a"] == a) & (grid["b"] == b)]
    np.testing.assert_allclose(here["loss"], [*slow, np.mean(slow)], rtol=2e-3)


MEASURES = {
    "sharpness_by_exit": {"iterations": 2},
    "surfaces": {"steps": 3},
    "rise": {"planes": 1},
    "own_loss": {},
}


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_left_as_it_is(name):
    model = network(name)
    trio = [model, *three(name)[1:]]
    before, random = [snapshot(m) for m in trio], torch.get_rng_state()
    for measure, settings in MEASURES.items():
        getattr(measures, measure)(model, SYNTHETIC, samples=12, **settings)
    measures.plane_of_models(trio, SYNTHETIC, samples=12, steps=2, statistics=12)
    assert same([snapshot(m) for m in trio], before)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_network_with_one_exit():
    model = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=4, exits=[4]).eval()
    found = measures.rise(model, SYNTHETIC, samples=20)
    assert found["exit"].tolist() == [1, "mean"]
    assert found["rise"].nunique() == 1
    sharp = measures.sharpness_by_exit(model, SYNTHETIC, samples=20)["eigenvalue"]
    assert sharp[0] == pytest.approx(sharp[1], rel=1e-3)


def broken():
    model = network("mlp_nano")
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    return model


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: measures.surfaces(m, SYNTHETIC, samples=0), "samples: at least 1"),
        (lambda m: measures.surfaces(m, SYNTHETIC, steps=4), "steps: expected an odd number"),
        (lambda m: measures.surfaces(m, SYNTHETIC, radius=0.0), "radius: expected a number above 0"),
        (lambda m: measures.rise(m, SYNTHETIC, planes=0), "radius, planes: expected both above 0"),
        (lambda m: measures.rise(m, SYNTHETIC, radius=-1.0), "radius, planes: expected both above 0"),
        (lambda m: measures.rise(m, SYNTHETIC, radius=float("nan")), "radius, planes: expected both above 0"),
        (lambda m: measures.sharpness_by_exit(m, SYNTHETIC, iterations=0), "iterations, tolerance"),
        (lambda m: measures.sharpness_by_exit(m, SYNTHETIC, tolerance=0.0), "iterations, tolerance"),
        (lambda m: measures.own_loss(broken(), SYNTHETIC), "not all finite"),
        (lambda m: measures.rise(broken(), SYNTHETIC), "not all finite"),
        (lambda m: measures.sharpness_by_exit(broken(), SYNTHETIC), "not all finite"),
        (lambda m: measures.chosen_surfaces(pd.DataFrame({"exit": ["mean"]})), "expected rows of exits 1 to K"),
        (lambda m: measures.plane_of_models([m, m], SYNTHETIC), "models: three are needed for a plane, 2 came"),
        (lambda m: measures.plane_of_models([m, m, m], SYNTHETIC), "same parameters"),
        (lambda m: measures.plane_of_models(three("mlp_nano"), SYNTHETIC, statistics=1), "2 samples or more"),
        (lambda m: measures.plane_of_models(three("mlp_nano"), SYNTHETIC, steps=1), "steps, margin"),
    ],
)
def test_impossible_input_is_one_line(call, said):
    model = network("mlp_nano")
    before = snapshot(model)
    with pytest.raises(SettingError, match=said) as caught:
        call(model)
    assert "\n" not in str(caught.value)
    assert same(snapshot(model), before)
