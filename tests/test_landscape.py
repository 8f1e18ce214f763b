"""Loss landscapes against models rebuilt point by point.

K exits, A and B points along u and v.
"""

import copy
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_gradients import NAMES, network, same, snapshot
from torch import nn

from eecore import data, models
from eecore.analysis import landscape, planes
from eecore.errors import SettingError


@pytest.fixture(scope="module")
def batch():
    split = data.load("synthetic").train
    return split.x[:24], split.y[:24]


def two_directions(model):
    generator = torch.Generator().manual_seed(0)
    return tuple(landscape.filter_normalised_direction(model, generator) for _ in range(2))


def three(name="resnet_nano"):
    """Untrained networks whose running statistics have seen data."""
    found = []
    for seed in range(3):
        model = models.build(name, kind="image", shape=(1, 8, 8), classes=4, seed=seed)
        model(data.load("synthetic").train.x)
        found.append(model.eval())
    return found


def loss_and_accuracy(model, x, y):
    with torch.no_grad():
        logits = model(x)
    losses = [float(F.cross_entropy(one, y)) for one in logits]
    return losses, [float((one.argmax(1) == y).float().mean()) for one in logits]


@pytest.mark.parametrize("name", NAMES)
def test_filters_of_a_direction_are_as_long_as_the_models(name):
    model = network(name)
    direction = landscape.filter_normalised_direction(model, torch.Generator().manual_seed(1))
    assert list(direction) == [n for n, _ in model.named_parameters()]  # buffers never
    for n, p in model.named_parameters():
        if p.ndim < 2:
            assert not direction[n].any()
            continue
        for row, weight in zip(direction[n], p.detach(), strict=True):
            assert float(row.norm()) == pytest.approx(float(weight.norm()), rel=1e-5)
    again = landscape.filter_normalised_direction(model, torch.Generator().manual_seed(1))
    assert all(torch.equal(direction[n], again[n]) for n in direction)


def test_a_filter_of_zeros_stays():
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[0] = 0
    direction = landscape.filter_normalised_direction(layer, torch.Generator().manual_seed(0))
    assert not direction["weight"][0].any()
    assert direction["weight"].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_plane_against_rebuilt_models(name, batch):
    x, y = batch
    model = network(name)
    u, v = two_directions(model)
    found = landscape.plane(model, x, y, (u, v), radius=0.7, steps=5)
    assert found.loss.shape == found.accuracy.shape == (model.n_exits, 5, 5)
    np.testing.assert_allclose(found.a, [-0.7, -0.35, 0, 0.35, 0.7])
    for i, j in [(0, 0), (0, 4), (3, 1), (2, 4), (4, 2)]:
        twin = copy.deepcopy(model).eval()
        state = twin.state_dict()
        for n in u:
            state[n] = state[n] + found.a[j] * u[n] + found.b[i] * v[n]
        twin.load_state_dict(state)
        losses, accuracies = loss_and_accuracy(twin, x, y)
        np.testing.assert_allclose(found.loss[:, i, j], losses, rtol=1e-4)
        np.testing.assert_allclose(found.accuracy[:, i, j], accuracies, atol=1e-6)
    assert found.a[2] == found.b[2] == 0.0
    losses, _ = loss_and_accuracy(copy.deepcopy(model).eval(), x, y)
    np.testing.assert_allclose(found.loss[:, 2, 2], losses, rtol=1e-6)
    exact, _ = landscape.evaluate(copy.deepcopy(model).eval(), x, y)
    assert (found.loss[:, 2, 2] == exact).all()  # the centre is the model, not nearly
    np.testing.assert_allclose(found.training_loss, found.loss.mean(0))


def test_plane_is_symmetric_where_the_direction_is(batch):
    """Along u alone, and with u and v exchanged, the surface is transposed."""
    model = network("mlp_nano")
    u, v = two_directions(model)
    a = landscape.plane(model, *batch, (u, v), steps=3)
    b = landscape.plane(model, *batch, (v, u), steps=3)
    np.testing.assert_allclose(a.loss, b.loss.transpose(0, 2, 1), rtol=1e-4)


def test_a_convex_loss_gives_a_convex_plane():
    """Logistic regression: along every line the loss is convex, and at the minimum it is the smallest."""
    from eecore.models import MultiExit

    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] + 0.8 * torch.randn(60, generator=torch.Generator().manual_seed(1)) > 0).long()
    torch.manual_seed(0)
    model = MultiExit(nn.Identity(), [nn.Identity()], [nn.Linear(3, 2)], (0,))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x)[0], y)
        loss.backward()
        return loss

    optimizer.step(closure)
    model.zero_grad()
    surface = landscape.plane(model, x, y, two_directions(model), steps=9).loss[0]
    assert surface.min() == surface[4, 4]
    for axis in (0, 1):
        assert (np.diff(surface, 2, axis=axis) > -1e-6).all()


def test_a_plane_costs_its_evaluations():
    x, y = (torch.cat([t] * 2) for t in (data.load("synthetic").train.x, data.load("synthetic").train.y))
    model = network("resnet_nano").eval()
    directions = two_directions(model)
    landscape.evaluate(model, x, y)

    def points():
        for _ in range(25):
            landscape.evaluate(model, x, y)

    def plane():
        landscape.plane(model, x, y, directions, steps=5)

    assert min(_timed(plane) / _timed(points) for _ in range(4)) < 1.5  # in turn: other programs come and go


def _timed(call):
    start = time.process_time()
    call()
    return time.process_time() - start


# -- three models ----------------------------------------------------------------------------------------


def test_basis_of_three_models():
    a, b, c = three()
    basis = planes.three_model_plane(a, b, c)
    flat = [torch.cat([p.detach().flatten() for p in m.parameters()]).double() for m in (a, b, c)]
    u, v = (torch.cat([d.flatten() for d in part.values()]).double() for part in basis.directions)
    assert float(u.norm()) == pytest.approx(1, abs=1e-5)
    assert float(v.norm()) == pytest.approx(1, abs=1e-5)
    assert float(u @ v) == pytest.approx(0, abs=1e-5)
    for i in range(3):
        reached = flat[0] + basis.coordinates[i, 0] * u + basis.coordinates[i, 1] * v
        torch.testing.assert_close(reached, flat[i], rtol=1e-4, atol=1e-5)
        for j in range(3):
            distance = float((flat[i] - flat[j]).norm())
            assert basis.distances[i, j] == pytest.approx(distance)
            assert np.linalg.norm(basis.coordinates[i] - basis.coordinates[j]) == pytest.approx(distance)
        np.testing.assert_allclose(basis.mixture(*basis.coordinates[i]), np.eye(3)[i], atol=1e-12)


def cumulative_statistics(model, x):
    """Batch norm on all of x as one batch, by a second way: momentum 1 keeps the last batch only."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(x)
    return model.eval()


@pytest.mark.parametrize("name", ["resnet_nano", "mlp_nano", "vit_nano"])
def test_plane_of_three_against_rebuilt_models(name, batch):
    x, y = batch
    trained = three(name)
    statistics = data.load("synthetic").train.x
    basis = planes.three_model_plane(*trained)
    grid, own = planes.plane_of_three(basis, trained[1], x, y, statistics, steps=3)
    assert grid.a.min() < basis.coordinates[:, 0].min()
    assert grid.b.max() > basis.coordinates[:, 1].max()
    for i in range(3):
        losses, accuracies = loss_and_accuracy(cumulative_statistics(copy.deepcopy(trained[i]), statistics), x, y)
        rows = own[own["model"] == i + 1]
        np.testing.assert_allclose(rows["loss"], losses, rtol=2e-3)
        np.testing.assert_allclose(rows["accuracy"], accuracies, atol=0.05)
    for i, j in [(0, 0), (1, 2)]:
        shares = basis.mixture(grid.a[j], grid.b[i])
        twin = copy.deepcopy(trained[0])
        with torch.no_grad():
            for p, *parts in zip(twin.parameters(), *(m.parameters() for m in trained), strict=True):
                p.copy_(sum(s * part for s, part in zip(shares, parts, strict=True)))
        losses, _ = loss_and_accuracy(cumulative_statistics(twin, statistics), x, y)
        np.testing.assert_allclose(grid.loss[:, i, j], losses, rtol=2e-3)


def test_interpolated_statistics_are_the_models_own_at_the_models(batch):
    trained = three()
    basis = planes.three_model_plane(*trained)
    grid, own = planes.plane_of_three(basis, trained[0], *batch, batch_norm="interpolate", steps=3)
    for i in range(3):
        losses, _ = loss_and_accuracy(trained[i], *batch)
        np.testing.assert_allclose(own[own["model"] == i + 1]["loss"], losses, rtol=2e-3)
    assert np.isfinite(grid.loss).all()


def test_recomputed_statistics():
    model = three()[0]
    x = data.load("synthetic").train.x
    twin = cumulative_statistics(copy.deepcopy(model), x)
    before = [(m.training, getattr(m, "momentum", None)) for m in model.modules()]
    planes.recompute_batch_norm(model, x)
    for (name, a), b in zip(model.named_buffers(), twin.buffers(), strict=True):
        if a.is_floating_point():
            torch.testing.assert_close(a, b, msg=name)
    assert [(m.training, getattr(m, "momentum", None)) for m in model.modules()] == before


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_left_as_it_is(name, batch):
    x, y = batch
    model = network(name)
    others = [network(name) for _ in range(2)]
    with torch.no_grad():
        for seed, other in enumerate(others):
            for p in other.parameters():
                p += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
    before, random = [snapshot(m) for m in (model, *others)], torch.get_rng_state()
    directions = two_directions(model)
    landscape.plane(model, x, y, directions, steps=3)
    basis = planes.three_model_plane(model, *others)
    for batch_norm in ("recompute", "interpolate"):
        planes.plane_of_three(basis, model, x, y, x, batch_norm=batch_norm, steps=2)
    with pytest.raises(SettingError, match="labels"):
        landscape.plane(model, x, y + 9, directions, steps=3)
    assert same([snapshot(m) for m in (model, *others)], before)
    assert torch.equal(torch.get_rng_state(), random)


def test_landscape_errors(batch):
    x, y = batch
    model = network("resnet_nano")
    u, v = two_directions(model)
    for steps in (1, 4, 24):
        with pytest.raises(SettingError, match="steps: expected an odd number"):
            landscape.plane(model, x, y, (u, v), steps=steps)
    with pytest.raises(SettingError, match="radius"):
        landscape.plane(model, x, y, (u, v), radius=0.0)
    with pytest.raises(SettingError, match="one tensor for each parameter"):
        landscape.plane(model, x, y, (u, {}))
    with pytest.raises(SettingError, match="finite numbers"):
        landscape.plane(model, x, y, (u, {n: d * torch.nan for n, d in v.items()}))
    with pytest.raises(SettingError, match="not all finite"):
        landscape.plane(model, x * torch.nan, y, (u, v), steps=3)
    a, b, c = three()
    with pytest.raises(SettingError, match="same parameters"):
        planes.three_model_plane(a, a, b)
    with pytest.raises(SettingError, match="on one line"):
        planes.three_model_plane(a, b, b)
    with pytest.raises(SettingError, match="one architecture"):
        planes.three_model_plane(a, b, network("mlp_nano"))
    basis = planes.three_model_plane(a, b, c)
    with pytest.raises(SettingError, match="statistics_x"):
        planes.plane_of_three(basis, a, x, y)
    with pytest.raises(SettingError, match="batch_norm"):
        planes.plane_of_three(basis, a, x, y, x, batch_norm="keep")
    with pytest.raises(SettingError, match="margin"):
        planes.plane_of_three(basis, a, x, y, x, margin=-1.0)
