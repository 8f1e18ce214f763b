"""Activations of blocks, and their ranks against explicit decompositions and known spectra."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from eecore import data, models
from eecore.analysis.activations import activations, block_names
from eecore.analysis.rank import (
    READINGS,
    effective_rank,
    gram_floor,
    numerical_rank,
    singular_values,
    stable_rank,
)
from eecore.analysis.rank_tables import rank_by_samples, rank_profile, rank_table
from eecore.errors import SettingError

SHAPES = [(40, 15), (15, 40), (30, 30)]


def network(name):
    return models.build(name, kind="image", shape=(1, 8, 8), classes=4)


def with_spectrum(spectrum, n, d, seed=0, mean=0.0):
    """A matrix (n, d) of known singular values, whose columns sum to `mean` times n."""
    rng = np.random.default_rng(seed)
    k = len(spectrum)
    left = np.linalg.qr(np.hstack([np.ones((n, 1)), rng.normal(size=(n, k))]))[0][:, 1:]  # orthogonal to constants
    right = np.linalg.qr(rng.normal(size=(d, k)))[0]
    return torch.from_numpy(left * np.asarray(spectrum) @ right.T + mean)


def low_rank(n, d, rank, noise, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) + 3.0
    return torch.from_numpy(signal + noise * rng.normal(size=(n, d))).float()


def slow_rank(x, rtol, of, centre):
    """The definition, one number after the other."""
    x = x.double().numpy()
    x = x - x.mean(0) if centre else x
    values = np.linalg.eigvalsh(x.T @ x / (len(x) - 1)) if of == READINGS[1] else scipy.linalg.svdvals(x)
    count = 0
    for value in values:
        count += bool(value > rtol * values.max())
    return count


# --- activations


@pytest.mark.parametrize("name", ["mlp_nano", "resnet_nano", "vit_nano"])
@pytest.mark.parametrize("pooling", ["flatten", "mean"])
def test_activations_are_what_the_model_gives(name, pooling):
    model, x = network(name).eval(), data.load("synthetic").train.x[:21]
    found = activations(model, x, pooling, batch=8)
    with torch.no_grad():
        outputs, logits = model.block_outputs(x), model(x)
    assert list(found.blocks) == block_names(model)
    assert found.exits == tuple(f"block {b}" for b in model.exits)
    torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-5)
    for matrix, output in zip(found.blocks.values(), outputs, strict=True):
        if pooling == "flatten" or output.ndim == 2:
            expected = output.reshape(21, -1)
        else:
            expected = output.mean(1) if name == "vit_nano" else output.mean((2, 3))
        assert matrix.dtype == torch.float32
        torch.testing.assert_close(matrix, expected, rtol=1e-4, atol=1e-5)


def test_tokens_and_maps_of_a_sequence_are_told_apart():
    x = torch.randn(5, 1, 40)
    for name, width in (("resnet_nano", 1), ("vit_nano", 2)):
        model = models.build(name, kind="sequence", shape=(1, 40), classes=3).eval()
        with torch.no_grad():
            expected = [output.shape[width] for output in model.block_outputs(x)]
        assert [m.shape[1] for m in activations(model, x, "mean").blocks.values()] == expected


def test_nothing_of_the_model_changes():
    model, x = network("resnet_nano").train(), data.load("synthetic").train.x
    model(x[:4]).sum().backward()
    next(model.parameters()).requires_grad_(False)
    state = {name: t.clone() for name, t in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    flags = [p.requires_grad for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    random = torch.get_rng_state()
    rank_profile(model, x, batch=10)
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert (p.grad is None and grad is None) or torch.equal(p.grad, grad)
    assert flags == [p.requires_grad for p in model.parameters()]
    assert modes == [m.training for m in model.modules()]
    assert torch.equal(random, torch.get_rng_state())


def test_impossible_activations_are_refused():
    model, x = network("mlp_nano"), data.load("synthetic").train.x
    with pytest.raises(SettingError, match="pooling"):
        activations(model, x, "sum")
    with pytest.raises(SettingError, match="layout"):
        activations(model, x, layout="rows")
    with pytest.raises(SettingError, match="batch"):
        activations(model, x, batch=0)
    with pytest.raises(SettingError, match="at least one"):
        activations(model, x[:0])


# --- ranks


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("centre", [True, False])
def test_gram_and_direct_agree_with_scipy(n, d, centre):
    x = low_rank(n, d, rank=6, noise=1e-3)
    plain = x.double().numpy()
    expected = scipy.linalg.svdvals(plain - plain.mean(0) * centre)
    floor = gram_floor(n, d) * expected[0]
    np.testing.assert_allclose(singular_values(x, centre, "direct"), expected, rtol=1e-9, atol=1e-12 * expected[0])
    gram = singular_values(x, centre, "gram")
    above = expected > 10 * floor
    np.testing.assert_allclose(gram[above], expected[above], rtol=1e-4)
    assert (gram[expected < 1e-9 * expected[0]] == 0).all()


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("of", READINGS)
@pytest.mark.parametrize("centre", [True, False])
def test_rank_equals_the_definition(n, d, of, centre):
    for noise in (0.0, 1e-4, 1e-2):
        x = low_rank(n, d, rank=6, noise=noise)
        for rtol in (1e-1, 1e-2, 1e-3, 1e-5):
            expected = slow_rank(x, rtol, of, centre)
            found = {numerical_rank(x, rtol, of, centre, route) for route in ("auto", "gram", "direct")}
            assert found == {expected}, (noise, rtol)


@pytest.mark.parametrize(("n", "d"), [(60, 20), (20, 60)])
def test_known_spectrum(n, d):
    spectrum = [1.0, 0.5, 0.02, 0.005, 0.0005]
    x = with_spectrum(spectrum, n, d, mean=7.0)
    np.testing.assert_allclose(singular_values(x)[:5], spectrum, rtol=1e-6)
    assert numerical_rank(x) == 4
    assert numerical_rank(x, of="covariance eigenvalues") == 2  # 0.02^2 = 4e-4
    assert numerical_rank(x, 1e-3**2, of="covariance eigenvalues") == 4
    assert numerical_rank(x, 1e-4) == np.linalg.matrix_rank((x - x.mean(0)).numpy(), tol=1e-4) == 5


def test_a_tolerance_below_the_floor_takes_the_direct_route():
    x = with_spectrum([1.0, 1e-5, 1e-7, 1e-9], 12, 50)
    assert gram_floor(12, 50) > 1e-8
    assert numerical_rank(x, 1e-8) == 3
    assert numerical_rank(x, 1e-10) == 4
    assert numerical_rank(x, 1e-20, of="covariance eigenvalues") == 4
    with pytest.raises(SettingError, match="Gram matrix resolves"):
        numerical_rank(x, 1e-10, route="gram")


def test_effective_and_stable_rank():
    rng = np.random.default_rng(0)
    spectrum = rng.random(9)
    entropy = 0.0
    for value in spectrum:
        entropy -= value / sum(spectrum) * math.log(value / sum(spectrum))
    assert effective_rank(spectrum) == pytest.approx(math.exp(entropy))
    assert stable_rank(spectrum) == pytest.approx(sum(v * v for v in spectrum) / max(spectrum) ** 2)
    x = torch.from_numpy(rng.normal(size=(12, 7)))
    norms = np.linalg.norm(x, "fro") ** 2 / np.linalg.norm(x, 2) ** 2
    assert stable_rank(singular_values(x, centre=False)) == pytest.approx(norms)
    for equal in (1, 4):
        assert effective_rank([2.0] * equal + [0.0]) == pytest.approx(equal)
        assert stable_rank([2.0] * equal + [0.0]) == pytest.approx(equal)


def test_profile_of_a_model():
    model, x = network("resnet_nano"), data.load("synthetic").train.x
    table = rank_profile(model, x, rtol=(1e-3, 1e-2))
    blocks = activations(model, x).blocks
    assert list(table["block"].unique()) == list(blocks)
    assert len(table) == len(blocks) * 2 * 2
    for row in table.itertuples():
        matrix = blocks[row.block]
        assert (row.n, row.d) == tuple(matrix.shape)
        assert row.rank == slow_rank(matrix, row.rtol, row.reading, True)
        assert row.limit == min(row.n - 1, row.d)
        assert row.saturated == (row.rank == row.limit)
        assert 1 <= row.stable_rank <= row.effective_rank <= row.limit + 1e-9
    assert table["saturated"].any()  # 64 samples are too few for these widths


def test_samples_are_nested_and_seeded():
    x = low_rank(80, 30, rank=8, noise=1e-5)
    table = rank_by_samples(x, [5, 20, 80], of="singular values", seed=3)
    assert table["n"].tolist() == [5, 20, 80]
    assert table["rank"].tolist() == [4, 8, 8]
    assert table["saturated"].tolist() == [True, False, False]
    order = np.random.default_rng(3).permutation(80)
    values = singular_values(x[torch.from_numpy(order[:20])])
    assert table["effective_rank"][1] == pytest.approx(effective_rank(values))
    assert rank_by_samples(x, [80], seed=4)["stable_rank"][0] == pytest.approx(table["stable_rank"][2])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.randn(2, 5), "at least 3 samples"),
        (torch.full((9, 5), 0.1), "same for all"),
        (torch.tensor([[1.0, 2.0], [float("nan"), 1.0], [0.0, 1.0]]), "not finite"),
        (torch.tensor([[1.0, 2.0], [float("inf"), -float("inf")], [0.0, 1.0]]), "not finite"),
        (torch.empty(5, 0), "expected"),
    ],
)
def test_impossible_matrices_are_refused(x, message):
    for call in (numerical_rank, singular_values, lambda x: rank_table({"block 3": x})):
        with pytest.raises(SettingError, match=message):
            call(x)
    with pytest.raises(SettingError, match="block 3"):
        rank_table({"block 3": x})


def test_impossible_settings_are_refused():
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    for rtol in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(SettingError, match="rtol"):
            numerical_rank(x, rtol)
    with pytest.raises(SettingError, match="did you mean"):
        numerical_rank(x, of="singular value")
    with pytest.raises(SettingError, match="route"):
        singular_values(x, route="fast")
    with pytest.raises(SettingError, match="at least one"):
        rank_table({"a": x}, of=[])
    for sizes in ([], [2, 5], [10]):
        with pytest.raises(SettingError, match="sizes"):
            rank_by_samples(x, sizes)
    for spectrum in ([], [0.0], [1.0, -1.0], [float("nan")]):
        with pytest.raises(SettingError, match="spectrum"):
            effective_rank(spectrum)
