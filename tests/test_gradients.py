"""Gradient dominance and sharpness: by hand, against plain loops, and on quadratics.

K exits, N samples, C classes.
"""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eecore import data, models
from eecore.analysis import gradient_summaries, gradients, hessian, measures
from eecore.errors import SettingError
from eecore.models import MultiExit

NAMES = ["mlp_nano", "resnet_nano", "vit_nano"]


@pytest.fixture(scope="module")
def batch():
    split = data.load("synthetic").train
    return split.x[:16], split.y[:16]


def network(name: str) -> MultiExit:
    """Running statistics that are neither 0 nor 1, one frozen parameter, one gradient, and modes of every kind."""
    model = models.build(name, kind="image", shape=(1, 8, 8), classes=4, seed=3)
    model(data.load("synthetic").train.x[:32])
    model.eval()
    model.blocks[0].train()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    return model


def snapshot(model: nn.Module) -> list:
    state = [t.clone() for t in model.state_dict().values()]
    modes = [(m.training, getattr(m, "momentum", None)) for m in model.modules()]
    return [state, modes, [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]]


def same(a: object, b: object) -> bool:
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(i, j) for i, j in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def linear_two_exits() -> MultiExit:
    """One weight per block: h1 = u x, h2 = v h1; logits of both heads are (h, -h)."""
    blocks = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    heads = [nn.Linear(1, 2, bias=False) for _ in range(2)]
    model = MultiExit(nn.Identity(), blocks, heads, (0, 1))
    with torch.no_grad():
        blocks[0].weight.fill_(0.5)
        blocks[1].weight.fill_(-2.0)
        for head in heads:
            head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    return model


def by_hand():
    """x = 1, label 0: loss = log(1 + exp(-2 h)), so d loss / d h = -2 sigmoid(-2 h); h1 = 0.5, h2 = -1."""
    slope1, slope2 = (-2 / (1 + np.exp(2 * h)) for h in (0.5, -1.0))
    return 0.5 * slope1, 0.5 * slope2 * -2.0, 0.5 * slope2 * 0.5  # first block from both exits, second block


def test_dominance_by_hand():
    first, second, deep = by_hand()
    table = gradients.dominance(linear_two_exits(), torch.ones(1, 1), torch.tensor([0]))
    assert table[["block", "exit"]].to_numpy().tolist() == [[1, 1], [1, 2], [2, 2]]
    np.testing.assert_allclose(table["norm"], np.abs([first, second, deep]), rtol=1e-6)
    whole = abs(first) + abs(second)
    np.testing.assert_allclose(table["share"], [abs(first) / whole, abs(second) / whole, 1], rtol=1e-6)
    total = first + second
    np.testing.assert_allclose(table["signed_share"], [first / total, second / total, 1], rtol=1e-5)
    np.testing.assert_allclose(table["total_norm"], np.abs([total, total, deep]), rtol=1e-5)
    angles = gradients.conflicts(linear_two_exits(), torch.ones(1, 1), torch.tensor([0]))
    assert angles.to_numpy().tolist() == [[1, 1, 2, pytest.approx(-1)]]
    negative = gradient_summaries.fraction_negative(angles)
    assert negative[["block", "pairs", "fraction_negative"]].to_numpy().tolist() == [[1, 1, 1]]
    top = gradient_summaries.dominant_exit(table)
    assert top["exit"].tolist() == [2, 2]
    np.testing.assert_allclose(top["position"], [abs(second) / whole, 1], rtol=1e-6)
    assert top["expected"].tolist() == [0.5, 1]
    exits = gradient_summaries.by_exit(table)
    assert exits["blocks"].tolist() == [1, 1]
    np.testing.assert_allclose(exits["ratio"], np.abs([first, second]) / whole * 2, rtol=1e-6)
    middle = gradient_summaries.middle_share(table)
    assert middle["position"] == pytest.approx(abs(second) / whole)
    assert (middle["position_expected"], middle["middle"], middle["middle_expected"]) == (0.5, 0, 0)
    assert middle["position_excess"] == pytest.approx(abs(second) / whole - 0.5)
    backbone = gradient_summaries.of_backbone(table)
    norms = [np.linalg.norm(table.query(f"exit == {k}")["norm"]) for k in (1, 2)]
    np.testing.assert_allclose(backbone["share"], norms / np.sum(norms))
    np.testing.assert_allclose(backbone["relative"], 2 * np.array(norms) / np.sum(norms))


def test_many_samples_are_worked_on_in_parts_and_give_the_mean_over_all(monkeypatch):
    model = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=3, seed=0)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 1, 8, 8, generator=generator), torch.arange(50) % 3
    once = {training: gradients.exit_gradients(model, x, y, training=training) for training in (False, True)}
    monkeypatch.setattr(gradients, "PART", 16)  # the last part is shorter
    for training, whole in once.items():
        for block, rows in gradients.exit_gradients(model, x, y, training=training).items():
            torch.testing.assert_close(rows, whole[block], rtol=1e-4, atol=1e-6, equal_nan=True)
    with pytest.raises(SettingError, match="labels"):
        gradients.exit_gradients(model, x, y[:-1])


def test_shares_of_the_loss_are_not_those_of_a_few_samples():
    """Two exits at one block: one gradient is 3 times the other in the mean, hidden in noise that is alike for both."""
    rng = np.random.default_rng(0)
    each = rng.normal(size=(2, 4000, 30)) * 5 + np.array([3.0, 1.0])[:, None, None]
    each += np.array([3.0, 1.0])[:, None, None] - each.mean(axis=1, keepdims=True)
    few, all_ = (
        gradients.shares(gradients.products({1: torch.tensor(each[:, :n].mean(axis=1))}))["share"][0]
        for n in (10, 4000)
    )
    assert all_ == pytest.approx(0.75)
    assert few < 0.7
    dataset = data.load("digits")
    model = models.build("mlp_nano", kind="image", shape=dataset.shape, classes=10, seed=0)
    assert len(dataset.train) > gradients.PART
    found = measures.gradient_shares(model, dataset)
    pd.testing.assert_frame_equal(found, gradients.dominance(model, dataset.train.x, dataset.train.y))
    stored = pd.DataFrame(json.loads(json.dumps(measures.gradient_products(model, dataset).to_dict("list"))))
    pd.testing.assert_frame_equal(gradients.shares(stored), found, check_exact=True)  # one pass serves both
    angles = gradients.conflicts(model, dataset.train.x, dataset.train.y)
    pd.testing.assert_frame_equal(gradients.cosines(stored), angles, check_exact=True)
    assert not np.allclose(found["norm"], measures.gradient_shares(model, dataset, samples=250)["norm"], rtol=1e-3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_exit_gradients_against_backward(name, training, batch):
    x, y = batch
    model = network(name)
    a = [0.1 * (k + 1) for k in range(model.n_exits)]
    found = gradients.exit_gradients(model, x, y, a, training)
    assert (0 in found) == (name != "mlp_nano")  # its stem only flattens
    for k in range(model.n_exits):
        twin = copy.deepcopy(model).train(training)
        twin.requires_grad_(True)
        twin.zero_grad()
        (a[k] * F.cross_entropy(twin(x)[k], y)).backward()
        for block, rows in found.items():
            expected = torch.cat([p.grad.flatten() for p in twin.backbone_modules()[block].parameters()])
            if block > model.exits[k] + 1:
                assert rows[k].isnan().all()
                assert not expected.any()
            else:
                torch.testing.assert_close(rows[k], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up(name, batch):
    x, y = batch
    model = network(name)
    found = gradients.exit_gradients(model, x, y)
    twin = copy.deepcopy(model).eval().requires_grad_(True)
    twin.zero_grad()
    sum(F.cross_entropy(logits, y) for logits in twin(x)).div(model.n_exits).backward()
    for block, rows in found.items():
        expected = torch.cat([p.grad.flatten() for p in twin.backbone_modules()[block].parameters()])
        torch.testing.assert_close(rows.nansum(0), expected, rtol=1e-4, atol=1e-7)
    table = gradients.shares(gradients.products(found))
    for column in ("share", "signed_share"):
        np.testing.assert_allclose(table.groupby("block")[column].sum(), 1, rtol=1e-6)
    table = table.set_index(["block", "exit"])
    for block, rows in found.items():  # the definitions, written out
        reaching = [k for k in range(model.n_exits) if not rows[k].isnan().any()]
        total = sum(rows[k].double() for k in reaching)
        for k in reaching:
            share = rows[k].norm() / sum(rows[j].norm() for j in reaching)
            assert table.loc[(block, k + 1), "share"] == pytest.approx(float(share), rel=1e-5)
            signed = float(rows[k].double() @ total / (total @ total))
            assert table.loc[(block, k + 1), "signed_share"] == pytest.approx(signed, rel=1e-6, abs=1e-9)
    pairs = gradients.cosines(gradients.products(found))
    for row in pairs.sample(10, random_state=0).itertuples():
        a, b = found[row.block][row.exit_a - 1], found[row.block][row.exit_b - 1]
        assert row.cosine == pytest.approx(float(F.cosine_similarity(a, b, dim=0)), abs=1e-5)


def test_scale_invariance(batch):
    model = network("vit_nano")
    a = gradients.dominance(model, *batch, weights=[1, 2, 3, 4, 5, 6])
    b = gradients.dominance(model, *batch, weights=[100, 200, 300, 400, 500, 600])
    np.testing.assert_allclose(b["norm"], 100 * a["norm"], rtol=1e-4)
    for column in ("share", "signed_share"):
        np.testing.assert_allclose(a[column], b[column], rtol=1e-3, atol=1e-6)


def test_summaries_of_equal_shares_are_their_expectations(batch):
    table = gradients.dominance(network("vit_nano"), *batch)
    equal = table.assign(share=1 / table.groupby("block")["exit"].transform("size"))
    top = gradient_summaries.dominant_exit(equal)
    np.testing.assert_allclose(top["position"], top["expected"])
    assert top["reaching"].tolist() == [6, 6, 5, 4, 3, 2, 1]
    exits = gradient_summaries.by_exit(equal)
    np.testing.assert_allclose(exits["ratio"], 1)
    assert exits["blocks"].tolist() == [2, 3, 4, 5, 6, 6]
    middle = gradient_summaries.middle_share(equal)
    assert middle["position"] == pytest.approx(middle["position_expected"])
    assert middle["middle"] == pytest.approx(middle["middle_expected"])
    assert middle["middle"] == pytest.approx(np.mean([2 / 6, 2 / 6, 2 / 5, 2 / 4, 1 / 3, 0]))


def test_an_exit_of_weight_zero_has_no_share(batch):
    table = gradients.dominance(network("mlp_nano"), *batch, weights=[0, 0, 0, 0, 1])
    assert (table.query("exit < 5")["share"] == 0).all()
    np.testing.assert_allclose(table.query("exit == 5")[["share", "signed_share"]], 1)


def test_gradients_errors(batch):
    x, y = batch
    model = network("mlp_nano")
    single = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=4, exits=[])
    with pytest.raises(SettingError, match="compares exits"):
        gradients.dominance(single, x, y)
    with pytest.raises(SettingError, match="labels: expected 0 to 3"):
        gradients.dominance(model, x, y + 4)
    with pytest.raises(SettingError, match="not all finite"):
        gradients.conflicts(model, x * torch.nan, y)
    with pytest.raises(SettingError, match="at least one sample"):
        gradients.dominance(model, x[:0], y[:0])
    with pytest.raises(SettingError, match="at least 2 samples"):
        gradients.dominance(model, x[:1], y[:1], training=True)
    for weights in ([1, 1], [0] * 5, [1, 1, 1, 1, -1], [1, 1, 1, 1, torch.nan]):
        with pytest.raises(SettingError, match="weights: expected 5"):
            gradients.dominance(model, x, y, weights)


# -- sharpness -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spectrum", [[4.0, 3.9, 1.0, 0.0, -2.0], [1.0, 0.5, -7.0, -7.0, 0.2], [-1.0, -2.0, -3.0, -4.0, -9.0]]
)
def test_lanczos_on_a_known_spectrum(spectrum):
    q, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    matrix = q @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ q.T
    found = hessian.lanczos(lambda v: matrix @ v, torch.ones(5, dtype=torch.float64), 5, 1e-10)
    assert found.value == pytest.approx(max(spectrum), abs=1e-8)
    assert found.residual < 1e-6


def test_lanczos_of_nothing():
    found = hessian.lanczos(torch.zeros_like, torch.ones(4), 4, 1e-3)
    assert (found.value, found.residual) == (0.0, 0.0)
    with pytest.raises(SettingError, match="iterations"):
        hessian.lanczos(torch.zeros_like, torch.ones(4), 0, 1e-3)


def tiny() -> MultiExit:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Sequential(nn.Linear(4, 4), nn.Tanh())]
    return MultiExit(nn.Identity(), blocks, [nn.Linear(4, 3), nn.Linear(4, 3)], (0, 1)).double()


@pytest.mark.parametrize("part", ["all", "backbone"])
@pytest.mark.parametrize("k", [0, 1, None])
def test_eigenvalue_and_trace_against_the_full_hessian(k, part):
    model, generator = tiny(), torch.Generator().manual_seed(1)
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (20,), generator=generator)
    names = [n for n, _ in model.named_parameters() if part == "all" or not n.startswith("heads")]
    values = dict(model.named_parameters())
    sizes = [values[n].numel() for n in names]

    def loss(flat):
        new = {n: v.view_as(values[n]) for n, v in zip(names, flat.split(sizes), strict=True)}
        logits = torch.func.functional_call(model, new, (x,))
        each = torch.stack([F.cross_entropy(one, y) for one in logits])
        return each.mean() if k is None else each[k]

    # torch.func.hessian goes forward over reverse, which in torch 2.13 warns of its own use of torch.jit
    full = torch.func.jacrev(torch.func.grad(loss))(torch.cat([values[n].detach().flatten() for n in names])).detach()
    found = hessian.largest_eigenvalue(model, x, y, k, parameters=part, tolerance=1e-6)
    assert found.value == pytest.approx(float(torch.linalg.eigvalsh(full)[-1]), rel=1e-5)
    assert found.residual < 1e-4
    estimate, error = hessian.hessian_trace(model, x, y, k, parameters=part, draws=200)
    assert abs(estimate - float(full.trace())) < 4 * error
    spread = 2 * (full.square().sum() - full.diagonal().square().sum())  # variance of one draw of signs
    assert error == pytest.approx(float((spread / 200).sqrt()), rel=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_sharpness_of_every_family(name, batch):
    model = network(name)
    table = hessian.sharpness(model, *batch, iterations=15, tolerance=0.01)
    assert table["exit"].tolist() == list(range(1, model.n_exits + 1))
    assert (table["eigenvalue"] > 0).all()
    assert (table["residual"] < 0.05).all()
    again = hessian.largest_eigenvalue(model, *batch, 0, iterations=15, tolerance=0.01, seed=1)
    assert again.value == pytest.approx(table["eigenvalue"][0], rel=0.01)


def test_hessian_errors(batch):
    x, y = batch
    model = network("mlp_nano")
    for wrong, message in [((x, y, 9), "exit 9"), ((x, y - 1, 0), "labels"), ((x * torch.inf, y, 0), "finite")]:
        with pytest.raises(SettingError, match=message):
            hessian.largest_eigenvalue(model, *wrong)
    with pytest.raises(SettingError, match="parameters"):
        hessian.largest_eigenvalue(model, x, y, parameters="heads")
    with pytest.raises(SettingError, match="draws"):
        hessian.hessian_trace(model, x, y, draws=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "measure",
    [
        lambda m, x, y: (gradients.conflicts(m, x, y), gradients.dominance(m, x, y)),
        lambda m, x, y: gradients.dominance(m, x, y, training=True),
        lambda m, x, y: hessian.largest_eigenvalue(m, x, y, iterations=2),
        lambda m, x, y: hessian.hessian_trace(m, x, y, draws=2),
    ],
    ids=["dominance", "training", "sharpness", "trace"],
)
def test_the_model_is_left_as_it_is(name, measure, batch):
    model = network(name)
    before, random = snapshot(model), torch.get_rng_state()
    measure(model, *batch)
    assert same(snapshot(model), before)
    assert torch.equal(torch.get_rng_state(), random)
    with pytest.raises(SettingError):
        measure(model, batch[0], batch[1] + 9)
    assert same(snapshot(model), before)
