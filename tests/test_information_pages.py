"""Information on pages: data of which it is known, who may be believed, blocks of a network, words, figures."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from companion.pages import words_information
from companion.plotting import information as figures
from eecore import data, models
from eecore.analysis import information_checks as checks
from eecore.analysis import information_known as known
from eecore.analysis import information_measures as measures
from eecore.analysis.activations import activations
from eecore.analysis.information import binned_information, entropy, label_entropy
from eecore.analysis.information_kde import kawaguchi_information, kde_information
from eecore.analysis.information_knn import ksg_information, principal_components, ross_information
from eecore.analysis.over_runs import NETWORK
from eecore.analysis.similarity import linear_probe
from eecore.errors import SettingError
from eecore.evidence import interval

# --- data of which the information is known


@pytest.mark.parametrize(("d", "information"), [(1, 0.5), (4, 2.0), (16, 6.0)])
def test_gaussians_correlate_as_the_information_asks(d, information):
    x, z = known.correlated_gaussians(20_000, d, information, seed=0)
    rho = [np.corrcoef(x[:, i], z[:, i])[0, 1] for i in range(d)]
    np.testing.assert_allclose(-0.5 * np.log(1 - np.square(rho)).sum(), information, rtol=0.03)
    assert x.std() == pytest.approx(1, abs=0.02)
    assert (z - x).var() == pytest.approx(known.noise_of(information, d), rel=0.03)
    if d > 1:
        assert abs(np.corrcoef(x[:, 0], z[:, 1])[0, 1]) < 0.03
    again = known.correlated_gaussians(20_000, d, information, seed=0)
    other = known.correlated_gaussians(20_000, d, information, seed=1)
    assert np.array_equal(z, again[1])
    assert not np.array_equal(z, other[1])


def test_clouds_lie_on_the_corners_of_a_cube():
    z, y = known.class_mixture(16_000, 5, 3.0, seed=0)
    assert np.bincount(y).tolist() == [2000] * 8
    for c in range(8):
        corner = [3.0 * (c // 2**axis % 2) for axis in range(3)] + [0.0, 0.0]
        np.testing.assert_allclose(z[y == c].mean(axis=0), corner, atol=0.1)
        np.testing.assert_allclose(z[y == c].std(axis=0), 1.0, atol=0.06)


@pytest.mark.parametrize(
    ("distance", "variance", "axes"), [(2.0, 1.0, 3), (1.0, 0.25, 1), (3.0, 4.0, 2), (0.5, 1.0, 3)]
)
def test_information_of_clouds_is_that_of_the_true_posterior(distance, variance, axes):
    """E log p(y|z) / p(y) over a large sample, with the posterior of all 2^axes clouds written out."""
    generator = np.random.default_rng(0)
    corners = distance * np.array(np.meshgrid(*[[0, 1]] * axes)).reshape(axes, -1).T
    y = generator.integers(len(corners), size=40_000)
    z = corners[y] + math.sqrt(variance) * generator.standard_normal((len(y), axes))
    log_density = -((z[:, None] - corners) ** 2).sum(axis=2) / (2 * variance)
    own = log_density[np.arange(len(y)), y]
    sampled = (own - np.log(np.exp(log_density).mean(axis=1))).mean()
    assert known.mixture_information(distance, variance, axes) == pytest.approx(sampled, abs=0.015)


def test_information_of_clouds_has_its_limits():
    assert known.mixture_information(0.0) == pytest.approx(0, abs=1e-9)
    assert known.mixture_information(1e12, 1e-12, 2) == pytest.approx(2 * math.log(2))
    values = [known.mixture_information(distance) for distance in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values)
    assert known.mixture_information(2.0, 4.0) == pytest.approx(known.mixture_information(1.0))


@pytest.mark.parametrize(("classes", "flip"), [(2, 0.1), (10, 0.5), (10, 0.0), (3, 1.0)])
def test_channel_against_its_table_and_against_a_draw(classes, flip):
    table = np.full((classes, classes), flip / (classes - 1) / classes)
    np.fill_diagonal(table, (1 - flip) / classes)
    cells = table[table > 0]
    expected = 2 * math.log(classes) + float((cells * np.log(cells)).sum())
    assert known.channel_information(classes, flip) == pytest.approx(expected, abs=1e-12)
    z, y = known.symmetric_channel(20_000, classes, flip, seed=0)
    drawn = np.zeros((classes, classes))
    np.add.at(drawn, (y, z), 1 / len(y))
    np.testing.assert_allclose(drawn, table, atol=0.01)


def test_one_hot():
    assert known.one_hot(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


# --- who may be believed


def hand_made(kind="estimate", estimator="E", bias=(0.0, 0.05, 0.5), sd=0.0, truth=(0.0, 1.0, 2.0), draws=4):
    """A summary as of bias_and_spread, one row per truth; in falling order, to be sorted."""
    frame = pd.DataFrame({"truth": truth, "bias": bias, "sd": sd, "draws": draws})
    about = {"quantity": "I(Y;Z)", "estimator": estimator, "kind": kind, "n": 100, "d": 2}
    return frame.assign(**about, estimate=frame["truth"] + frame["bias"]).iloc[::-1]


def test_bias_and_spread_by_hand():
    rows = [("I(Y;Z)", "E", "estimate", 1.0, 50, 2, 0, 1.5), ("I(Y;Z)", "E", "estimate", 1.0, 50, 2, 1, 0.9)]
    rows += [("I(Y;Z)", "E", "estimate", 2.0, 50, 2, 0, 1.0), ("I(X;Z)", "E", "estimate", 1.0, 50, 2, 0, 0.0)]
    found = checks.bias_and_spread(pd.DataFrame(rows, columns=checks.COLUMNS))
    assert found[["quantity", "truth", "draws"]].to_numpy().tolist() == [
        ["I(Y;Z)", 1.0, 2], ["I(Y;Z)", 2.0, 1], ["I(X;Z)", 1.0, 1],
    ]  # fmt: skip
    np.testing.assert_allclose(found["estimate"], [1.2, 1.0, 0.0])
    np.testing.assert_allclose(found["bias"], [0.2, -1.0, -1.0])
    np.testing.assert_allclose(found["sd"], [0.6 / math.sqrt(2), np.nan, np.nan])


def test_usable_up_to_the_last_truth_before_the_first_miss():
    def reach(bias, sd=0.0, tolerance=0.1):
        row = checks.usable_ranges(hand_made(bias=bias, sd=sd), tolerance).iloc[0]
        return row["up_to"], row["tested"]

    assert reach((0.0, 0.1, 0.5)) == (1.0, 2.0)
    assert reach((0.0, -0.1, -0.25)) == (2.0, 2.0)  # 0.1 x (1 + 2) are allowed at the last
    assert reach((0.0, 0.21, 0.0)) == (0.0, 2.0)  # what fits again beyond a miss does not count
    assert reach((0.2, 0.0, 0.0)) == (0.0, 2.0)
    assert reach((0.0, 0.1, 0.0), sd=0.15) == (0.0, 2.0)
    assert reach((0.0, 0.1, 0.5), tolerance=0.2) == (2.0, 2.0)
    assert reach((0.0, np.nan, 0.0)) == (0.0, 2.0)
    assert reach((0.0, 0.1, 0.0), sd=np.nan) == (2.0, 2.0)  # one draw


def test_bounds_hold_within_two_standard_errors():
    """sd 0.2, 4 draws: two standard errors are 0.2."""
    bias = (-0.5, 0.19, 0.21)
    assert checks.usable_ranges(hand_made("lower bound", bias=bias, sd=0.2))["holds"].item() == pytest.approx(2 / 3)
    assert checks.usable_ranges(hand_made("upper bound", bias=bias, sd=0.2))["holds"].item() == pytest.approx(2 / 3)
    one_draw = hand_made("upper bound", bias=(0.1, 0.0, -0.1), sd=np.nan, draws=1)
    assert checks.usable_ranges(one_draw)["holds"].item() == pytest.approx(2 / 3)
    assert np.isnan(checks.usable_ranges(hand_made())["holds"].item())
    row = checks.usable_ranges(hand_made(bias=bias, sd=(0.1, 0.3, 0.2))).iloc[0]
    assert row[["bias_low", "bias_high", "spread"]].tolist() == [-0.5, 0.21, 0.3]


def test_checks_of_gaussians_hold_what_the_estimators_give():
    frame = checks.check_gaussians([1.0], [60], [1, 2], draws=2)
    assert len(frame) == 2 * 2 * 7
    assert (frame["truth"] == 1.0).all()
    for d, draw in ((1, 0), (2, 1)):
        row = frame[(frame["d"] == d) & (frame["draw"] == draw)].set_index("estimator")["estimate"]
        x, z = known.correlated_gaussians(60, d, 1.0, draw)
        bounds = kde_information(x, noise_variance=known.noise_of(1.0, d))
        assert row["KSG"] == ksg_information(x, z)
        assert row["KDE lower"] == bounds.lower
        assert row["KDE upper"] == bounds.upper == pytest.approx(row["Kawaguchi"])
        assert row["binning"] == binned_information(z, bins=checks.BINS)
        assert row["InfoNCE"] <= math.log(30)
    assert (checks.bias_and_spread(frame)["draws"] == 2).all()


def test_checks_of_classes_know_the_truth_with_and_without_noise():
    frame = checks.check_classes([2.0], [80], [4], draws=1, noise=0.1)
    truth = frame.set_index("estimator")["truth"]
    variance = 0.1 * (4 + 3 * 2.0**2 / 4)
    assert truth[["binning", "Ross", "InfoNCE", "probe"]].unique() == pytest.approx(known.mixture_information(2.0))
    assert truth[["KDE", "KDE lower", "KDE upper"]].unique() == pytest.approx(
        known.mixture_information(2.0, 1 + variance)
    )
    assert truth["Kawaguchi"] == pytest.approx(4 / 2 * math.log(1 + 1 / variance))
    z, y = known.class_mixture(80, 4, 2.0, 0)
    found = frame.set_index("estimator")["estimate"]
    assert found["Ross"] == ross_information(z, y)
    assert found["KDE"] == kde_information(z, y, noise_variance=variance).estimate
    total = known.class_mixture(50_000, 4, 2.0, 0)[0].var(axis=0).sum()
    assert 0.1 * total == pytest.approx(variance, rel=0.02)  # the share of Z's total variance


def test_checks_of_the_channel_count_what_was_drawn():
    frame = checks.check_channel([0.0, 0.5], [100], classes=4, draws=2)
    assert sorted(frame["truth"].unique()) == pytest.approx([known.channel_information(4, 0.5), math.log(4)])
    clean = frame[frame["truth"] > 1.3].set_index(["estimator", "draw"])["estimate"]
    assert clean[("binning", 0)] == pytest.approx(math.log(4))
    assert 1.0 < clean[("probe", 1)] <= math.log(4)
    z, y = known.symmetric_channel(100, 4, 0.5, 1)
    counts = np.bincount(4 * y + z)
    by_hand = entropy(np.bincount(z)) + entropy(np.bincount(y)) - entropy(counts)
    noisy = frame[(frame["truth"] < 1.3) & (frame["draw"] == 1)].set_index("estimator")["estimate"]
    assert noisy["binning"] == pytest.approx(by_hand)


# --- every block of a network


@pytest.fixture(scope="module")
def network():
    model = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=4, seed=0)
    model(data.load("synthetic").train.x)  # statistics of batch norm that have seen data
    return model


@pytest.fixture(scope="module")
def measured(network):
    return measures.information(network, data.load("synthetic"), samples=60)


def test_information_is_what_each_estimator_says_of_each_output(network, measured):
    dataset = data.load("synthetic")
    x, y = dataset.test.x[:60], dataset.test.y[:60]
    found = activations(network, x)
    table = measured.set_index(["place", "block", "quantity", "estimator"])["value"]
    assert table.index.is_unique
    assert set(measured["block"]) == set(range(len(network.blocks)))
    for place, outputs in (("block", list(found.blocks.values())), ("exit", list(found.logits))):
        for block, z in enumerate(outputs):
            rows = table[place, block]
            variance = 0.1 * sum(float(z[:, j].double().var(correction=0)) for j in range(z.shape[1]))
            whole, parts = (kde_information(z, of, noise_variance=variance) for of in (None, y))
            assert rows["I(X;Z)", "KDE upper"] == pytest.approx(whole.upper, rel=1e-6)
            assert rows["I(X;Z)", "KDE lower"] == pytest.approx(whole.lower, rel=1e-6)
            assert rows["I(Y;Z)", "KDE"] == pytest.approx(parts.estimate, rel=1e-6)
            assert rows["I(X;Z|Y)", "Kawaguchi"] == pytest.approx(
                kawaguchi_information(z, y, noise_variance=variance), rel=1e-6
            )
            few = principal_components(z, 4)
            assert rows["I(Y;Z)", "binning"] == pytest.approx(binned_information(few, y, bins=8))
            assert rows["I(Y;Z)", "Ross"] == pytest.approx(ross_information(few, y))
            inputs = principal_components(x.flatten(1), 4)
            assert rows["I(X;Z)", "KSG"] == pytest.approx(ksg_information(inputs, few))


def test_the_probe_learns_on_training_samples_and_the_head_is_the_exits_own(network, measured):
    dataset = data.load("synthetic")
    train, test = (activations(network, split.x[:60]) for split in (dataset.train, dataset.test))
    table = measured.set_index(["estimator", "place", "block"])["value"]
    for block, name in enumerate(test.blocks):  # an MLP's blocks give vectors: pooling changes nothing
        probe = linear_probe(train.blocks[name], dataset.train.y[:60], test.blocks[name], dataset.test.y[:60])
        assert table["probe", "block", block] == pytest.approx(probe.information, abs=1e-6)
    for k, logits in enumerate(test.logits):
        own = [-math.log(float(row.softmax(0)[y])) for row, y in zip(logits.double(), dataset.test.y[:60], strict=True)]
        expected = label_entropy(dataset.test.y[:60]) - np.mean(own)
        assert table["head", "exit", k] == pytest.approx(expected)
    assert "head" not in measured[measured["place"] == "block"]["estimator"].to_numpy()


def test_no_value_is_above_the_most_that_is_possible(measured):
    told = label_entropy(data.load("synthetic").test.y[:60])
    most = measured.groupby(["quantity", "estimator"])["most"].agg(lambda most: most.drop_duplicates().item())
    assert most["I(X;Z)", "KDE upper"] == pytest.approx(math.log(60))
    assert most["I(X;Z)", "InfoNCE"] == pytest.approx(math.log(30))
    assert most["I(Y;Z)", "Ross"] == pytest.approx(told)
    assert most["I(X;Z|Y)", "Kawaguchi"] == pytest.approx(math.log(60) - told)
    capped = measured[~measured["estimator"].isin(["KSG", "Ross"])]  # neighbours count otherwise than a plug-in
    assert (capped["value"] <= capped["most"] + 1e-9).all()
    assert (measured["n"] == 60).all()
    assert measured[measured["estimator"] == "KDE"].query("place == 'exit'")["d"].tolist() == [4] * 5


def test_a_plane_holds_the_same_kde_as_the_table(network, measured):
    plane = measures.information_plane(network, data.load("synthetic"), samples=60)
    table = measured[measured["place"] == "block"].set_index(["quantity", "estimator", "block"])["value"].sort_index()
    assert plane["block"].tolist() == list(range(len(network.blocks)))
    np.testing.assert_array_equal(plane["input"], table["I(X;Z)", "KDE upper"])
    np.testing.assert_array_equal(plane["label"], table["I(Y;Z)", "KDE"])


def test_measuring_leaves_the_network_as_it_was():
    model = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=4, seed=0)
    model(data.load("synthetic").train.x)
    model.blocks[0].eval()
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    measures.information(model, data.load("synthetic"), samples=40)
    measures.information_plane(model, data.load("synthetic"), samples=40)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert bool((next(model.parameters()).grad == 1).all())


def of_networks(values, quantity="I(Y;Z)", estimator="Ross"):
    """A frame of `information` over runs: one network for each list of values, one value for each block."""
    rows = []
    for seed, blocks in enumerate(values):
        about = dict(zip(NETWORK, ("d", "m", "joint", seed, 1, 3, 3), strict=True))
        for block, value in enumerate(blocks):
            row = {"place": "block", "block": block, "quantity": quantity, "estimator": estimator, "value": value}
            rows.append(about | row)
        rows.append(rows[-1] | {"place": "exit", "value": 99.0})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_violations_by_hand():
    frame = pd.concat([
        of_networks([[2.0, 1.5, 1.8, 1.2], [2.0, 1.9, 1.8, 1.8], [1.0, 1.04, 1.3, 1.2]]),
        of_networks([[1.0, 2.0]], "I(X;Z|Y)", "Kawaguchi"),
        of_networks([[1.0, 2.0]], "I(X;Z)", "KDE upper"),
    ])  # fmt: skip
    found = measures.violations(frame)
    assert set(found["quantity"]) == {"I(Y;Z)", "I(X;Z)"}
    ross = found[found["estimator"] == "Ross"].sort_values("seed")
    assert ross["bad"].tolist() == [1, 0, 2]
    assert ross["blocks"].tolist() == [3, 3, 3]
    assert ross["share"].tolist() == pytest.approx([1 / 3, 0, 2 / 3])
    assert ross["excess"].tolist() == pytest.approx([0.3, 0.0, 0.3])
    assert not ross["whole"].any()
    assert found[found["estimator"] == "KDE upper"]["whole"].all()
    assert measures.violations(frame, 0.01).query("seed == 2")["bad"].tolist() == [3]
    assert measures.violations(of_networks([[1.0, 1.04]]), 0.01)["bad"].item() == 1


def of_training(trained=(0, 1, 2, 4), seeds=2, blocks=2):
    """Points of a plane in training: input falls by 0.1 x (block + 1) an epoch, label rises by 0.2."""
    rows = []
    for seed in range(seeds):
        for t in trained:
            for block in range(blocks):
                at = {"input": 3 - 0.1 * (block + 1) * t + seed, "label": 0.2 * t - seed}
                about = {"dataset": "d", "model": "m", "regime": "mixed", "seed": seed, "block": block}
                rows.append(about | {"phase": 1 if t and t < 3 else 2 * (t > 0), "epoch": t, "trained": t} | at)
    return pd.DataFrame(rows)


def test_since_the_first_epoch_by_hand():
    found = measures.since_first_epoch(of_training().sample(frac=1, random_state=1))
    assert len(found) == 4
    np.testing.assert_allclose(found["input"], -0.3 * (found["block"] + 1))
    np.testing.assert_allclose(found["label"], 0.6)


# --- sentences and tables


def test_usable_in_words_and_as_a_table():
    summary = pd.concat([
        hand_made(bias=(0.0, 0.0, 0.0), estimator="whole"),
        hand_made(bias=(0.0, 0.0, 0.9), estimator="part", sd=(0.1, 0.0, np.nan)),
        hand_made("upper bound", bias=(0.5, 0.5, -0.5), estimator="none", sd=np.nan, draws=1),
    ])  # fmt: skip
    ranges = checks.usable_ranges(summary)
    said = words_information.usable_in_words(ranges, 0.1).splitlines()
    assert said[0] == "With N = 100, an error of 0.1 nats plus 10% of the truth being accepted:"
    assert said[2] == "- I(Y;Z), whole: **usable in the whole range** (D = 2 up to 2 nats (all tested))"
    assert said[3] == "- I(Y;Z), part: **usable in a part** (D = 2 up to 1 nats of 2)"
    assert said[4].startswith(
        "- I(Y;Z), none: **not usable as a value** (D = 2 nowhere; as an upper bound it held in 67%"
    )
    table = words_information.usable_table(ranges).set_index("estimator")
    assert table.loc["part", ["bias (nats)", "largest sd", "kept as a bound"]].tolist() == [
        "+0.00 to +0.90",
        "0.10",
        "–",
    ]
    assert table.loc["none", ["largest sd", "within tolerance up to"]].tolist() == ["–", "nowhere"]
    assert table.loc["none", "kept as a bound"] == "67% of cases"


def test_violations_in_words_and_as_a_table():
    frame = pd.concat([of_networks([[2.0, 1.5, 1.9], [2.0, 1.0, 0.5]]), of_networks([[2.0, 1.0]], "I(X;Z)", "KDE")])
    found = measures.violations(frame)
    said = words_information.violations_in_words(found).splitlines()
    assert any("I(Y;Z), Ross: violated in 50% of 2 networks, there by 0.40 nats in the mean" in line for line in said)
    assert any("I(X;Z), KDE: no violation in 1 networks" in line for line in said)
    table = words_information.violation_table(found).set_index("estimator")
    shown = ["networks with a violation", "blocks", "largest excess, mean (nats)", "largest excess of all"]
    assert table.loc["Ross", shown].tolist() == ["50% of 2", "25%", "0.20", "0.40"]
    assert table["sees"].to_dict() == {"Ross": "a part of Z", "KDE": "all of Z"}


# --- figures


def bars(summary, **settings):
    figure = figures.errors(summary, **settings)
    plt.close(figure)
    return figure


def test_errors_have_a_panel_for_each_width_and_the_bias_of_each_estimator():
    summary = pd.concat([hand_made(estimator="KSG", sd=0.1), hand_made(estimator="KSG", sd=0.1).assign(d=7)])
    figure = bars(pd.concat([summary, hand_made(estimator="mine", bias=(0.0, 20.0, 0.0))]))
    assert [ax.get_title() for ax in figure.axes] == ["D = 2", "D = 7"]
    line = next(line for line in figure.axes[1].lines if line.get_label() == "KSG")
    np.testing.assert_allclose(line.get_data(), [[0, 1, 2], [0, 0.05, 0.5]])
    assert to_hex(line.get_color()) == "#0173b2"
    band = figure.axes[1].collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((-0.1, 0.6))
    assert figure.axes[0].get_ylim() == (-9.0, 9.0)  # cut: an error of 20 nats needs no more room than one of 9
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["KSG", "mine"]
    small = bars(summary)
    assert small.axes[0].get_ylim() == pytest.approx((-0.6, 0.6))
    assert [label.get_text() for label in small.axes[0].get_yticklabels()] == ["-0.5", "0", "+0.5"]


def test_bands_are_means_and_intervals():
    frame = pd.DataFrame([
        {"regime": regime, "block": block, "seed": seed, "value": block + seed / 10 + (regime == "mixed")}
        for regime in ("mixed", "joint") for block in (0, 1) for seed in range(3)
    ])  # fmt: skip
    ax = figures.bands(frame, Figure().subplots())
    assert [line.get_label() for line in ax.lines] == ["joint", "mixed"]
    np.testing.assert_allclose(ax.lines[1].get_data(), [[0, 1], [1.1, 2.1]])
    expected = interval([1.0, 1.1, 1.2])
    band = ax.collections[1].get_paths()[0].vertices
    at_start = band[band[:, 0] == 0, 1]
    assert (at_start.min(), at_start.max()) == pytest.approx((expected.low, expected.high))
    assert "n = 3" in ax.get_legend().get_title().get_text()
    one = figures.bands(frame[frame["seed"] == 0], Figure().subplots())
    assert one.get_legend().get_title().get_text() == "one seed, no interval"
    fewer = figures.bands(frame[(frame["seed"] < 2) | (frame["block"] == 0)], Figure().subplots())
    assert "n = 2 to 3" in fewer.get_legend().get_title().get_text()


def test_a_plane_follows_the_mean_of_the_seeds_from_start_to_end():
    ax = figures.plane(of_training(), Figure().subplots())
    lines, rest = [line for line in ax.lines if len(line.get_xdata()) == 4], ax.lines
    assert len(lines) == 2
    np.testing.assert_allclose(lines[1].get_xdata(), [3.5 - 0.2 * t for t in (0, 1, 2, 4)])
    np.testing.assert_allclose(lines[1].get_ydata(), [0.2 * t - 0.5 for t in (0, 1, 2, 4)])
    hollow, cross, end = rest[5:8]
    assert hollow.get_markerfacecolor() == "white"
    assert (hollow.get_xdata()[0], end.get_xdata()[0]) == pytest.approx((3.5, 2.7))
    assert (cross.get_marker(), list(cross.get_xdata())) == ("x", pytest.approx([3.1]))  # phase 1 ends after epoch 2
    assert end.get_label() == "block 1"


def test_planes_give_a_block_one_colour_and_the_legend_names_the_deepest_network():
    deep = of_training(blocks=4).assign(model="deep", dataset="e")
    figure = figures.planes(pd.concat([of_training(blocks=2), deep]))
    plt.close(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"block {i}" for i in range(4)]
    first, second = ({line.get_label(): line.get_color() for line in ax.lines} for ax in figure.axes)
    assert first["block 1"] == second["block 1"]
    assert len({second[f"block {i}"] for i in range(4)}) == 4
    assert [ax.get_ylabel().splitlines()[0] for ax in figure.axes] == ["d, m", "e, deep"]


def test_difference_panels_have_the_rows_once():
    frame = pd.DataFrame({"label": ["x", "y"], "mean": [0.1, -0.1], "low": [0.0, -0.2], "high": [0.2, 0.0]})
    figure = figures.difference_panels({"KDE": frame, "Ross": frame.assign(mean=0.5, low=0.4, high=0.6)}, "difference")
    plt.close(figure)
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["x", "y"]
    assert not any(text.get_text() for text in right.get_yticklabels())
    assert (left.get_title(), right.get_xlabel()) == ("KDE", "difference (nats)")
    assert left.get_xlim() != right.get_xlim()


# --- impossible input


def small(**settings):
    model = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=4, seed=0)
    return measures.information(model, data.load("synthetic"), **settings)


def constant():
    model = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=4, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return measures.information(model, data.load("synthetic"), samples=40)


FRAME = pd.DataFrame({"label": ["x"], "mean": [0.1], "low": [0.0], "high": [0.2]})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: known.correlated_gaussians(1, 1, 1.0, 0), "n: at least 2"),
        (lambda: known.correlated_gaussians(9, 1, 0.0, 0), "information: above 0"),
        (lambda: known.noise_of(math.inf, 1), "information: above 0"),
        (lambda: known.noise_of(math.nan, 1), "information: above 0"),
        (lambda: known.noise_of(400.0, 1), "at most 300 nats"),
        (lambda: known.noise_of(5e-324, 16), "information: above 0"),
        (lambda: known.noise_of(1.0, 0), "d: at least 1"),
        (lambda: known.class_mixture(9, 2, 1.0, 0), "d: at least 3"),
        (lambda: known.class_mixture(9, 2, 1.0, 0, axes=0), "axes: at least 1"),
        (lambda: known.mixture_information(-1.0), "distance, variance"),
        (lambda: known.mixture_information(1.0, 0.0), "distance, variance"),
        (lambda: known.mixture_information(math.nan), "distance, variance"),
        (lambda: known.channel_information(1, 0.5), "classes: at least 2"),
        (lambda: known.symmetric_channel(9, 3, 1.5, 0), "flip: a probability"),
        (lambda: checks.check_gaussians(draws=0), "draws: at least 1"),
        (lambda: checks.check_channel(sizes=[1]), "n: at least 2"),
        (lambda: checks.bias_and_spread(FRAME), "checks: lacks the columns d, draw, estimate"),
        (lambda: checks.usable_ranges(FRAME), "summary: lacks the columns bias, d, draws"),
        (lambda: checks.usable_ranges(hand_made(), 0.0), "tolerance: a number above 0"),
        (lambda: checks.usable_ranges(hand_made(), math.nan), "tolerance: a number above 0"),
        (lambda: small(samples=0), "samples: at least 1"),
        (lambda: small(samples=12), "at least 2 classes with more than 3 samples each"),
        (lambda: small(noise=0.0), "noise: a share"),
        (lambda: small(noise=1.0), "noise: a share"),
        (lambda: small(components=0), "components: at least 1"),
        (constant, "block 0: Z is the same for all 40 samples"),
        (lambda: measures.violations(of_networks([[1.0]])), "at least 2 finite numbers"),
        (lambda: measures.violations(of_networks([[1.0, np.nan]])), "at least 2 finite numbers"),
        (lambda: measures.violations(of_networks([[1.0, 2.0]]), -1.0), "tolerance"),
        (lambda: measures.since_first_epoch(of_training([0])), "not measured after its first epoch"),
        (lambda: measures.since_first_epoch(of_training([0, 2, 4])), "not measured after its first epoch"),
        (lambda: words_information.violations_in_words(pd.DataFrame()), "violations: there are no rows"),
        (lambda: figures.errors(hand_made().drop(columns="sd")), "frame: lacks sd"),
        (lambda: figures.bands(of_training()[:0].assign(value=0.0), Figure().subplots()), "frame: lacks rows"),
        (lambda: figures.plane(FRAME, Figure().subplots()), "frame: lacks block, epoch, input"),
        (lambda: figures.planes(FRAME), "frame: lacks block, dataset, model, regime"),
        (lambda: figures.difference_panels({}, "q"), "parts: at least one"),
        (lambda: figures.difference_panels({"a": FRAME, "b": FRAME.assign(label="z")}, "q"), "same labels"),
    ],
)
def test_impossible_input_is_one_line(call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
