"""Every estimator of mutual information against closed forms, slow twins and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from eecore.analysis.information import (
    binned_information,
    gaussian_information,
    label_entropy,
    probe_bound,
    processing_violations,
)
from eecore.analysis.information_critic import infonce_bound, infonce_information
from eecore.analysis.information_kde import kawaguchi_information, kde_information, squared_distances
from eecore.analysis.information_knn import ksg_information, principal_components, ross_information
from eecore.errors import SettingError

RNG = np.random.default_rng


def correlated(n, rho, features=1, seed=0):
    """Two Gaussian variables whose features correlate pairwise by rho."""
    a, b = RNG(seed).standard_normal((2, n, features))
    return a, rho * a + math.sqrt(1 - rho**2) * b


def clusters(n=300, features=3, distance=2.0, seed=0):
    """Three Gaussian clusters of different size, and which one a sample is from."""
    y = np.minimum(np.arange(n) % 5, 2)
    return RNG(seed).standard_normal((n, features)) + distance * y[:, None], y


def channel(n, flip, seed=0):
    """A fair bit, and what a binary symmetric channel makes of it."""
    y = np.arange(n) % 2
    return np.where(RNG(seed).random(n) < flip, 1 - y, y).astype(float)[:, None], y


def test_binned_equals_counting_by_hand():
    z, y = clusters(n=80, features=2)
    edges = np.linspace(z.min(), z.max(), 6)
    cells = [tuple(int(np.searchsorted(edges[1:-1], v, side="right")) for v in row) for row in z]
    share = {}
    for cell, label in zip(cells, y, strict=True):
        for key in ((cell, label), cell, int(label)):
            share[key] = share.get(key, 0) + 1 / len(y)
    h_x = -sum(p * math.log(p) for key, p in share.items() if key in set(cells))
    i_y = sum(
        share[cell, label] * math.log(share[cell, label] / share[cell] / share[int(label)])
        for cell, label in set(zip(cells, y, strict=True))
    )
    assert binned_information(z, bins=5) == pytest.approx(h_x)
    assert binned_information(z, y, bins=5) == pytest.approx(i_y)
    assert binned_information(torch.tensor(z), torch.tensor(y), bins=5) == pytest.approx(i_y)


def test_binned_finds_the_capacity_of_a_discrete_channel():
    z, y = channel(20_000, flip=0.1)
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    assert binned_information(z, y, bins=2) == pytest.approx(truth, abs=0.01)
    assert binned_information(z, bins=2) == pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize("bins", [2, 300])
def test_binned_saturates_and_vanishes(bins):
    z, y = clusters(n=50, features=40)
    assert binned_information(z, bins=300) == pytest.approx(math.log(50))
    assert binned_information(z, y, bins=300) == pytest.approx(label_entropy(y))
    assert binned_information(np.ones((50, 4)), y, bins=bins) == pytest.approx(0, abs=1e-12)
    assert binned_information(z, bins=1) == 0
    assert binned_information(z, bins=2, limits=(100.0, 101.0)) == 0


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_binned_bias_on_gaussians_is_small_and_upwards_at_10000(rho):
    a, b = correlated(10_000, rho)
    quantised = np.digitize(b[:, 0], np.linspace(-2, 2, 15))
    error = binned_information(a, quantised, bins=20) - gaussian_information(rho)
    assert -0.1 < error < 0.03


def test_kde_equals_loops():
    z, y = clusters(n=30)
    s2 = 0.7

    def mixture(rows, divisor):
        terms = [-math.log(np.mean([math.exp(-((a - b) ** 2).sum() / (divisor * s2)) for b in rows])) for a in rows]
        return np.mean(terms)

    given = {d: sum((y == c).mean() * mixture(z[y == c], d) for c in range(3)) for d in (2, 8)}
    whole = kde_information(z, noise_variance=s2)
    parts = kde_information(z, y, noise_variance=s2, distances=squared_distances(z))
    assert (whole.lower, whole.upper) == (pytest.approx(mixture(z, 8)), pytest.approx(mixture(z, 2)))
    assert parts.estimate == pytest.approx(mixture(z, 2) - given[2])
    assert parts.lower == pytest.approx(max(0.0, mixture(z, 8) - given[2]))
    assert parts.upper == pytest.approx(min(label_entropy(y), mixture(z, 2) - given[8]))


@pytest.mark.parametrize("signal", [1.0, 4.0])
def test_kde_bounds_enclose_a_gaussian_channel_and_have_their_limits(signal):
    """X = Z ~ N(0, v), channel Z + N(0, s^2): I = 1/2 log(1 + v / s^2); both bounds in closed form for N -> inf."""
    s2, n = 0.5, 2000
    z = math.sqrt(signal) * RNG(1).standard_normal((n, 1))
    bounds = kde_information(z, noise_variance=s2)
    truth = gaussian_information(math.sqrt(signal / (signal + s2)))
    assert truth == pytest.approx(0.5 * math.log1p(signal / s2))
    assert bounds.lower < truth < bounds.upper
    for bound, variance in ((bounds.upper, s2), (bounds.lower, 4 * s2)):
        limit = 0.5 * math.log1p(signal / variance) + signal / (2 * (signal + variance))
        assert bound == pytest.approx(limit, abs=0.03)


def test_kde_limits_in_the_noise():
    z, y = clusters(n=60, distance=30.0)
    small, large = (kde_information(z, noise_variance=s2) for s2 in (1e-9, 1e9))
    assert small.lower == small.upper == pytest.approx(math.log(60))
    assert large.upper == pytest.approx(0, abs=1e-5)
    told = kde_information(z, y, noise_variance=1.0)
    assert told.estimate == pytest.approx(label_entropy(y), abs=1e-6)
    assert told.lower <= told.estimate <= told.upper <= label_entropy(y)
    mixed = kde_information(z, RNG(0).permutation(y), noise_variance=1e6)
    assert mixed.upper == pytest.approx(0, abs=1e-2)


def test_kde_encloses_the_information_of_labels():
    """Two clusters at -1 and +1, no spread: Z + noise is the binary Gaussian channel, integrated numerically."""
    y = np.arange(200) % 2
    z, s2 = (2.0 * y - 1)[:, None], 0.6
    grid = np.linspace(-9, 9, 20_001)
    density = [np.exp(-((grid - m) ** 2) / (2 * s2)) / math.sqrt(2 * math.pi * s2) for m in (-1, 1)]
    mixture = np.mean(density, axis=0)
    truth = np.trapezoid(np.mean([p * np.log(p / mixture) for p in density], axis=0), grid)
    bounds = kde_information(z, y, noise_variance=s2)
    assert bounds.lower < truth < bounds.upper
    assert bounds.upper - bounds.lower < 0.35


def test_kawaguchi_is_the_upper_bound_unless_it_draws():
    z, y = clusters()
    whole, parts = kde_information(z, noise_variance=0.4), kde_information(z, y, noise_variance=0.4)
    everything = kawaguchi_information(z, noise_variance=0.4)
    assert everything == pytest.approx(whole.upper)
    assert everything - kawaguchi_information(z, y, noise_variance=0.4) == pytest.approx(parts.estimate)
    drawn = [kawaguchi_information(z, noise_variance=0.4, evaluated=500, references=400, seed=s) for s in range(10)]
    assert np.mean(drawn) == pytest.approx(everything, abs=0.2)
    assert kawaguchi_information(z, noise_variance=0.4, form="jensen") > everything


def test_kawaguchi_published_form_equals_its_definition():
    """As the authors' code: normal densities, the first of one feature and the second of all D."""
    z, _ = clusters(n=25)
    s = 0.3
    normal = torch.distributions.Normal(torch.tensor(z), s)
    joint = torch.stack([normal.log_prob(torch.tensor(row)).sum(dim=1) for row in z])
    prior = joint.logsumexp(dim=1) - math.log(25)
    published = torch.distributions.Normal(0.0, s).log_prob(torch.tensor(0.0)) - prior
    ours = kawaguchi_information(z, noise_variance=s**2, offset="published")
    assert ours == pytest.approx(published.mean().item(), abs=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_ksg_equals_scikit_learn_in_one_dimension(rho):
    a, b = correlated(600, rho)
    theirs = mutual_info_regression(a, b[:, 0], n_neighbors=3, random_state=0)[0]
    assert max(0.0, ksg_information(a, b)) == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(("features", "rho", "bias"), [(1, 0.0, 0.05), (1, 0.9, 0.05), (3, 0.6, 0.12)])
def test_ksg_bias_on_gaussians_at_2000(features, rho, bias):
    a, b = correlated(2000, rho, features)
    assert ksg_information(a, b) == pytest.approx(gaussian_information([rho] * features), abs=bias)


def test_ksg_equals_loops():
    from scipy.special import digamma

    a, b = correlated(60, 0.7, 2)
    u, v = a / a.std(axis=0), b / b.std(axis=0)
    total = 0.0
    for i in range(60):
        da, db = np.abs(u - u[i]).max(axis=1), np.abs(v - v[i]).max(axis=1)
        radius = np.sort(np.maximum(da, db))[3]
        total += digamma((da < radius).sum()) + digamma((db < radius).sum())
    assert ksg_information(a, b) == pytest.approx(digamma(3) + digamma(60) - total / 60)


def test_ross_equals_scikit_learn_in_one_dimension_and_integration():
    z, y = clusters(n=1000, features=1)
    theirs = mutual_info_classif(z, y, n_neighbors=3, random_state=0)[0]
    assert ross_information(z, y) == pytest.approx(theirs, abs=2e-3)
    grid = np.linspace(-8, 12, 20_001)
    share = np.bincount(y) / len(y)
    density = [np.exp(-((grid - 2 * c) ** 2) / 2) / math.sqrt(2 * math.pi) for c in range(3)]
    mixture = sum(p * d for p, d in zip(share, density, strict=True))
    truth = np.trapezoid(sum(p * d * np.log(d / mixture) for p, d in zip(share, density, strict=True)), grid)
    assert ross_information(z, y) == pytest.approx(truth, abs=0.08)


def test_ross_in_several_dimensions():
    z, y = clusters(n=600, features=4, distance=50.0)
    assert ross_information(z, y) == pytest.approx(label_entropy(y), abs=0.02)
    assert ross_information(z, RNG(0).permutation(y)) == pytest.approx(0, abs=0.1)
    assert ross_information(np.hstack([z, np.full((600, 2), 7.3)]), y) == pytest.approx(ross_information(z, y))


@pytest.mark.parametrize("shape", [(50, 5), (20, 80)])
def test_principal_components_equal_the_singular_vectors(shape):
    z = RNG(0).standard_normal(shape)
    u, s, _ = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(principal_components(z, 3)), np.abs(u[:, :3] * s[:3]), atol=1e-9)


def test_infonce_equals_loops_and_its_ceiling():
    scores = RNG(0).standard_normal((20, 20))
    terms = [scores[i, i] - math.log(np.mean(np.exp(scores[i]))) for i in range(20)]
    assert infonce_bound(scores) == pytest.approx(np.mean(terms))
    assert infonce_bound(1e4 * np.eye(20)) == pytest.approx(math.log(20))
    assert infonce_bound(np.zeros((20, 20))) == 0


@pytest.mark.parametrize(("features", "rho"), [(1, 0.0), (1, 0.8), (4, 0.7)])
def test_infonce_bounds_gaussians_from_below_at_2000(features, rho):
    a, b = correlated(2000, rho, features)
    truth = gaussian_information([rho] * features)
    best, simple = (infonce_information(a, b, critic=critic) for critic in ("gaussian", "bilinear"))
    assert truth - 0.15 < best < truth + 0.05
    assert simple < truth + 0.05
    assert best >= simple - 0.02


def test_infonce_saturates_at_log_n():
    a, b = correlated(40, 0.999, 10)
    assert infonce_information(a, b) <= math.log(20) < gaussian_information([0.999] * 10)


def test_probe_bound_of_the_best_classifier_is_below_the_information():
    y = np.arange(4000) % 2
    z = RNG(0).standard_normal(4000) + 2.0 * y
    logit = 2.0 * z - 2.0  # the true posterior: the bound is tight
    loss = np.logaddexp(0, np.where(y == 1, -logit, logit)).mean()
    assert probe_bound(float(loss), y) == pytest.approx(ross_information(z[:, None], y), abs=0.05)
    assert probe_bound(2.0, y) < 0


def test_processing_violations_are_found():
    frame = processing_violations([3.0, 2.0, 2.5, 1.0, 1.05], tolerance=0.1)
    assert frame[["block", "lowest_block"]].to_numpy().tolist() == [[2, 1]]
    assert frame["excess"].tolist() == pytest.approx([0.5])
    assert processing_violations([3.0, 3.0, 1.0]).empty
    z, _ = clusters(n=200, features=4)
    chain = [z, z[:, :2], z[:, :1]]  # each a function of the one before
    assert processing_violations([binned_information(r, bins=8, limits=(-4.0, 9.0)) for r in chain]).empty
    assert processing_violations([kde_information(r, noise_variance=1.0).upper for r in chain]).empty


@pytest.mark.parametrize(
    "estimate",
    [
        lambda z, y: binned_information(z, y),
        lambda z, y: kde_information(z, y, noise_variance=1.0),
        lambda z, y: kawaguchi_information(z, y, noise_variance=1.0),
        lambda z, y: ross_information(z, y),
    ],
)
def test_impossible_input_of_label_estimators(estimate):
    z, y = clusters(n=20)
    broken = z.copy()
    broken[3, 1] = np.nan
    for bad_z, bad_y, message in (
        (broken, y, "NaN"),
        (z, np.zeros(20, dtype=int), "2 classes"),
        (z[:1], y[:1], "samples"),
        (z[:, :0], y, "no features"),
    ):
        with pytest.raises(SettingError, match=message):
            estimate(bad_z, bad_y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, y: kde_information(z, noise_variance=0.0), "noise_variance"),
        (lambda z, y: kawaguchi_information(z, noise_variance=-1.0), "noise_variance"),
        (lambda z, y: kawaguchi_information(z, noise_variance=1.0, references=0), "references"),
        (lambda z, y: binned_information(z, bins=0), "bins"),
        (lambda z, y: binned_information(z, limits=(1.0, 1.0)), "limits"),
        (lambda z, y: ksg_information(z[:3], z[:3]), "4 samples"),
        (lambda z, y: ksg_information(z, z, neighbours=0), "neighbours"),
        (lambda z, y: ross_information(z, y, neighbours=9), "more than 9"),
        (lambda z, y: principal_components(z, 9), "components"),
        (lambda z, y: infonce_bound(np.full((3, 3), np.nan)), "NaN"),
        (lambda z, y: infonce_bound(np.zeros((1, 1))), "square"),
        (lambda z, y: infonce_information(z, np.ones((20, 1)), ridge=0.0), "singular"),
        (lambda z, y: probe_bound(-0.1, y), "cross_entropy"),
        (lambda z, y: gaussian_information(1.0), "correlations"),
        (lambda z, y: processing_violations([1.0]), "values"),
        (lambda z, y: processing_violations([1.0, 2.0], tolerance=-1.0), "tolerance"),
    ],
)
def test_impossible_settings(call, message):
    with pytest.raises(SettingError, match=message):
        call(*clusters(n=20))


@pytest.mark.parametrize("seed", range(3))
def test_repeated_values_are_no_obstacle_to_nearest_neighbours(seed):
    """Behind a ReLU, of two values, and constant: against scikit-learn and what a table of counts says."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 1500)
    x = rng.normal(size=1500) + y - 1.5
    other = 0.7 * x + 0.7 * rng.normal(size=1500)
    behind, second = np.maximum(x, 0), np.maximum(other, 0)
    expected = mutual_info_classif(behind[:, None], y, discrete_features=False)[0]
    assert ross_information(behind, y) == pytest.approx(expected, abs=0.1)
    assert ksg_information(behind, second) == pytest.approx(mutual_info_regression(behind[:, None], second)[0], abs=0.1)
    signs = (x > 0).astype(float)
    counted = mutual_info_classif(signs[:, None], y, discrete_features=True)[0]
    assert ross_information(signs, y) == pytest.approx(counted, abs=0.1)
    assert ross_information(np.ones(1500), y) == 0.0
    assert ksg_information(np.full((1500, 2), 3.0), x) == ksg_information(x, np.zeros(1500)) == 0.0
    assert ross_information(behind, y) == ross_information(behind, y)  # the same noise every time
