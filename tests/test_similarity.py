"""CKA against loops and closed cases; probes and their bound where the information is known."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from eecore import data, models
from eecore.analysis.activations import activations
from eecore.analysis.information import label_entropy
from eecore.analysis.similarity import (
    cka_matrix,
    linear_cka,
    linear_probe,
    probe_profile,
    probe_table,
)
from eecore.errors import SettingError


def normal(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def slow_cka(a, b, debiased):
    """HSIC by its sums over samples, written out."""

    def hsic(x, y):
        n = len(x)
        k = [[sum(p * q for p, q in zip(r, s, strict=True)) for s in x] for r in x]
        m = [[sum(p * q for p, q in zip(r, s, strict=True)) for s in y] for r in y]
        if not debiased:
            h = [[(i == j) - 1 / n for j in range(n)] for i in range(n)]
            return float(np.trace(np.array(k) @ h @ np.array(m) @ h)) / (n - 1) ** 2
        trace = sum(k[i][j] * m[i][j] for i in range(n) for j in range(n) if i != j)
        total_k = sum(k[i][j] for i in range(n) for j in range(n) if i != j)
        total_m = sum(m[i][j] for i in range(n) for j in range(n) if i != j)
        cross = sum(k[i][j] * m[j][q] for i in range(n) for j in range(n) for q in range(n) if i != j and j != q)
        return (trace + total_k * total_m / ((n - 1) * (n - 2)) - 2 * cross / (n - 2)) / (n * (n - 3))

    a, b = a.double().tolist(), b.double().tolist()
    return hsic(a, b) / math.sqrt(hsic(a, a) * hsic(b, b))


# --- CKA


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_equals_the_sums_over_samples(debiased):
    a, b, c = normal(0, 7, 3) + 2.0, normal(1, 7, 9), normal(2, 7, 1)
    b[:, :3] += a
    expected = [[slow_cka(p, q, debiased) for q in (a, b, c)] for p in (a, b)]
    found = cka_matrix([a, b], [a, b, c], debiased)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert linear_cka(a, b, debiased) == pytest.approx(expected[0][1])


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_ignores_rotation_scale_and_shift(debiased):
    x = normal(0, 30, 6)
    rotation = torch.linalg.qr(normal(1, 6, 6))[0]
    assert linear_cka(x, -0.01 * x @ rotation + 5.0, debiased) == pytest.approx(1.0, abs=1e-6)
    assert linear_cka(x, torch.cat([x, x], dim=1), debiased) == pytest.approx(1.0, abs=1e-6)
    stretched = x * torch.tensor([10.0, 1, 1, 1, 1, 1])
    assert linear_cka(x, stretched, debiased) < 0.9  # not invariant to maps that are not orthogonal


def test_only_the_debiased_form_is_0_for_unrelated_noise():
    pairs = [(normal(2 * s, 40, 200), normal(2 * s + 1, 40, 200)) for s in range(40)]
    debiased = np.array([linear_cka(a, b) for a, b in pairs])
    biased = np.array([linear_cka(a, b, debiased=False) for a, b in pairs])
    assert abs(debiased.mean()) < 4 * debiased.std(ddof=1) / math.sqrt(40)
    assert abs(debiased.mean()) < 0.02
    assert biased.mean() > 0.7


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_matrix_is_symmetric_and_blind_to_the_order_of_samples(debiased):
    blocks = list(
        activations(
            models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=4), data.load("synthetic").train.x
        ).blocks.values()
    )
    table = cka_matrix(blocks, debiased=debiased)
    assert table.shape == (len(blocks), len(blocks))
    np.testing.assert_allclose(table, table.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(table), 1.0)
    assert table.max() <= 1 + 1e-12
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(blocks[0])))
    np.testing.assert_allclose(cka_matrix([b[order] for b in blocks], debiased=debiased), table, atol=1e-9)


def test_impossible_cka_is_refused():
    x = normal(0, 6, 2)
    for bad, message in (
        ([x[:3]], "at least 4"),
        ([x, x[:5]], "same samples"),
        ([], "same samples"),
        ([x, torch.ones(6, 2)], r"list_a\[1\].*same for all"),
        ([x.clone().fill_(float("nan"))], "not finite"),
    ):
        with pytest.raises(SettingError, match=message):
            cka_matrix(bad)
    with pytest.raises(SettingError, match="list_b"):
        cka_matrix([x], [x[:5]])


# --- probes


def gaussian_classes(seed, n, distance):
    """Two classes, one useful feature and one of noise; labels are 3 and 8."""
    rng = np.random.default_rng(seed)
    sign = rng.permutation(np.arange(n) % 2) * 2 - 1
    z = np.stack([sign * distance + rng.normal(size=n), rng.normal(size=n)], axis=1)
    return torch.from_numpy(z).float(), torch.from_numpy(np.where(sign > 0, 8, 3))


def test_bound_meets_the_known_information():
    """Classes at +-d: the best classifier is logistic, so the bound is tight up to sampling."""
    distance = 1.0

    def integrand(z):
        p, q = norm.pdf(z, distance), norm.pdf(z, -distance)
        return 0.5 * (p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q)))

    information = quad(integrand, -9, 9)[0]
    probe = linear_probe(*gaussian_classes(0, 20_000, distance), *gaussian_classes(1, 20_000, distance))
    assert probe.information == pytest.approx(information, abs=0.015)
    assert probe.accuracy == pytest.approx(norm.cdf(distance), abs=0.01)
    assert probe.label_entropy == pytest.approx(math.log(2))
    assert probe.information == pytest.approx(probe.label_entropy - probe.cross_entropy)
    assert probe.converged


def test_probe_equals_scikit_learn_and_a_loop():
    split = data.load("synthetic")
    train, test = split.train.x.flatten(1), split.test.x.flatten(1)
    probe = linear_probe(train, split.train.y, test, split.test.y, penalty=10.0)
    mean, std = train.double().mean(0).numpy(), train.double().numpy().std(0)
    twin = LogisticRegression(C=0.1, max_iter=1000).fit((train.numpy() - mean) / std, split.train.y.numpy())
    q = twin.predict_proba((test.numpy() - mean) / std)
    loss = right = 0.0
    for row, label in zip(q, split.test.y.tolist(), strict=True):
        loss -= math.log(row[label]) / len(q)
        right += row.argmax() == label
    assert probe.cross_entropy == pytest.approx(loss, rel=1e-2)
    assert probe.accuracy == pytest.approx(right / len(q))
    assert (probe.d, probe.n_train, probe.n_test) == (64, 64, 64)


def test_noise_gives_no_information():
    labels = torch.arange(200) % 4
    probe = linear_probe(normal(0, 200, 5), labels, normal(1, 200, 5), labels)
    assert probe.information < 0.0  # reported as it is
    assert label_entropy(labels) == pytest.approx(math.log(4))


def test_constant_features_and_early_ends():
    z, y = gaussian_classes(0, 200, 1.0)
    padded = torch.cat([z, torch.full((200, 1), 0.1)], dim=1)
    moved = torch.cat([z, torch.full((200, 1), 9.0)], dim=1)
    assert linear_probe(padded, y, moved, y).cross_entropy == pytest.approx(linear_probe(z, y, z, y).cross_entropy)
    assert not linear_probe(z, y, z, y, penalty=1e-6, iterations=1).converged


def test_probes_of_a_model():
    model, split = models.build("vit_nano", kind="image", shape=(1, 8, 8), classes=4), data.load("synthetic")
    table = probe_profile(model, split.train.x, split.train.y, split.test.x, split.test.y)
    train, test = (activations(model, part.x, "mean").blocks for part in (split.train, split.test))
    assert table["block"].tolist() == list(train)
    assert table["accuracy"].between(0, 1).all()
    pd_twin = probe_table(train, split.train.y, test, split.test.y)
    assert table.equals(pd_twin)
    one = linear_probe(train["block 1"], split.train.y, test["block 1"], split.test.y)
    assert table["cross_entropy"][1] == pytest.approx(one.cross_entropy)


def test_impossible_probes_are_refused():
    z, y = gaussian_classes(0, 40, 1.0)
    bad = z.clone()
    bad[0, 0] = float("nan")
    for args, message in (
        ((z, torch.zeros(40, dtype=torch.int64), z, y), "two classes"),
        ((z, y, z, y + 1), "do not occur"),
        ((bad, y, z, y), "train: .*not finite"),
        ((z, y, bad, y), "test: .*not finite"),
        ((z, y, z[:0], y[:0]), "one per sample"),
        ((torch.ones(40, 2), y, z, y), "same for all"),
        ((z, y, z, y, 0.0), "penalty"),
    ):
        with pytest.raises(SettingError, match=message):
            linear_probe(*args)
    with pytest.raises(SettingError, match="block 0: train"):
        probe_table({"block 0": bad}, y, {"block 0": z}, y)
    with pytest.raises(SettingError, match="expected the blocks"):
        probe_table({"a": z}, y, {"b": z}, y)
