"""Figures carry the right data, the same colours everywhere, and touch nothing but the ax."""

import inspect
import itertools
import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from companion import plotting
from companion.plotting import (
    accuracy_cost,
    accuracy_per_exit,
    budget_bars,
    differences,
    regime_order,
    regime_style,
    use_style,
)
from eecore.errors import SettingError
from eecore.evidence import interval

REGIMES = ["mixed", "disjoint", "joint_long", "joint"]


@pytest.fixture
def ax():
    return Figure().subplots()


def make(keys, values, seeds=3, regimes=REGIMES, column="exit"):
    """One row per regime, seed and key; accuracies differ by regime, seed and key."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"regime": regime, "seed": seed, column: key, "accuracy": value + 0.02 * r + 0.01 * rng.normal()}
        for r, regime in enumerate(regimes)
        for seed in range(seeds)
        for key, value in zip(keys, values, strict=True)
    )


def cost_frame(seeds=3, regimes=REGIMES):
    frame = make([0.0, 0.5, 1.0], [0.5, 0.7, 0.8], seeds, regimes, column="threshold")
    return frame.assign(macs_fraction=0.2 + 0.9 * frame["threshold"] + 0.01 * frame["seed"])


def budget_frame(seeds=3):
    frame = make([0.5, 1.0, math.inf], [0.6, 0.7, 0.8], seeds, column="budget")
    return pd.concat([frame.assign(choice="validation"), frame.assign(choice="oracle", accuracy=0.99)])


def colours(ax):
    """{label: (colour, marker)} of what the legend shows."""
    handles, labels = ax.get_legend_handles_labels()
    lines = [handle[0] if isinstance(handle, tuple) else handle for handle in handles]
    return {label: (to_hex(line.get_color()), line.get_marker()) for label, line in zip(labels, lines, strict=True)}


DRAWN = {
    accuracy_cost: cost_frame,
    accuracy_per_exit: lambda: make([1, 2, 3], [0.5, 0.6, 0.7]),
    budget_bars: budget_frame,
}


# --- style


def test_colours_are_those_of_seaborn_and_all_differ():
    palette = seaborn.color_palette("colorblind").as_hex()
    styles = [regime_style(regime) for regime in ("disjoint", "joint", "mixed", "joint_long")]
    assert [style.colour for style in styles[:3]] == palette[:3]
    assert {style.colour for style in styles} <= set(palette)
    assert len({style.colour for style in styles}) == len({style.marker for style in styles}) == 4


def test_a_new_regime_has_a_style_of_its_name_alone():
    style = regime_style("branch_wise")
    assert style == regime_style("branch_wise")
    assert style.label == "branch wise"
    assert style.colour not in {regime_style(regime).colour for regime in REGIMES}
    assert len({regime_style(f"regime_{i}") for i in range(20)}) == 20


def test_order_of_regimes():
    assert regime_order(["zeta", "mixed", "alpha", "joint", "mixed"]) == ["joint", "mixed", "alpha", "zeta"]


def test_use_style_sets_what_makes_svg_reproducible():
    with matplotlib.rc_context():
        use_style()
        assert matplotlib.rcParams["svg.fonttype"] == "path"
        assert matplotlib.rcParams["svg.hashsalt"] == "eecore"
        assert matplotlib.rcParams["figure.constrained_layout.use"]


# --- every figure


@pytest.mark.parametrize("draw", DRAWN)
def test_regimes_look_the_same_in_every_figure(draw, ax):
    draw(DRAWN[draw](), ax)
    expected = {regime_style(regime).label: regime_style(regime) for regime in REGIMES}
    assert colours(ax) == {label: (style.colour, style.marker) for label, style in expected.items()}
    assert list(colours(ax)) == [regime_style(regime).label for regime in regime_order(REGIMES)]


@pytest.mark.parametrize("draw", DRAWN)
def test_figures_say_units_and_what_bars_are(draw, ax):
    assert draw(DRAWN[draw](), ax) is ax
    assert "95% interval (n = 3)" in ax.get_legend().get_title().get_text()
    assert ax.get_ylabel() == "test accuracy (%)"
    assert ax.yaxis.get_major_formatter()(0.5) in ("50%", "50.0%")  # decimals as the ticks need them
    assert ax.get_xlabel()


@pytest.mark.parametrize("draw", DRAWN)
def test_one_seed_has_no_interval_and_says_so(draw, ax):
    frame = DRAWN[draw]()
    draw(frame[frame["seed"] == 0], ax)
    assert ax.get_legend().get_title().get_text() == "one seed, no interval"
    assert not ax.collections


@pytest.mark.parametrize("draw", [*DRAWN, differences])
def test_missing_columns_are_listed(draw, ax):
    with pytest.raises(SettingError, match=r"lacks the columns .*, .*; it has colour"):
        draw(pd.DataFrame({"colour": [1]}), ax)
    with pytest.raises(SettingError, match="it has none"):
        draw(pd.DataFrame(), ax)


@pytest.mark.parametrize("draw", DRAWN)
def test_rows_of_two_data_sets_are_not_averaged_in_silence(draw, ax):
    frame = DRAWN[draw]()
    with pytest.raises(SettingError, match="several rows for one regime, seed"):
        draw(pd.concat([frame, frame]), ax)
    with pytest.raises(SettingError, match="has no rows"):
        draw(frame.head(0), ax)


@pytest.mark.parametrize("draw", DRAWN)
def test_nothing_global_is_touched(draw, ax):
    before, open_figures, frame = dict(matplotlib.rcParams), plt.get_fignums(), DRAWN[draw]()
    copy = frame.copy()
    draw(frame, ax)
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == open_figures
    pd.testing.assert_frame_equal(frame, copy)
    assert "pyplot" not in inspect.getsource(inspect.getmodule(draw))


@pytest.mark.parametrize("draw", DRAWN)
def test_figures_can_be_written_without_warnings(draw, ax, tmp_path):
    draw(DRAWN[draw](), ax)
    ax.figure.savefig(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size > 1000


# --- one by one


def test_accuracy_cost_is_the_mean_of_the_seeds_steps(ax):
    frame = pd.DataFrame(
        {
            "regime": "joint",
            "seed": [0, 0, 0, 1, 1],
            "threshold": [0.0, 0.5, 1.0, 0.0, 1.0],
            "accuracy": [0.5, 0.7, 0.6, 0.4, 0.9],
            "macs_fraction": [0.2, 0.5, 1.1, 0.3, 0.8],
        }
    )
    accuracy_cost(frame, ax, points=201)
    line = next(line for line in ax.lines if line.get_label() == "joint")
    cost, mean = line.get_data()
    assert (cost[0], cost[-1]) == pytest.approx((0.3, 1.1))
    expected = [(np.where(c < 0.5, 0.5, 0.7 if c < 1.1 else 0.6) + np.where(c < 0.8, 0.4, 0.9)) / 2 for c in cost]
    np.testing.assert_allclose(mean[[0, 20, 90, 110, 200]], np.array(expected)[[0, 20, 90, 110, 200]])
    band = next(c for c in ax.collections if isinstance(c, PolyCollection)).get_paths()[0].vertices
    at_start = band[np.isclose(band[:, 0], 0.3), 1]
    seeds = interval([0.5, 0.4])
    assert (at_start.min(), at_start.max()) == pytest.approx((seeds.low, seeds.high))


def test_accuracy_cost_axis_is_the_backbones_percent(ax):
    accuracy_cost(cost_frame(), ax)
    assert "% of the backbone's MACs" in ax.get_xlabel()
    assert ax.xaxis.get_major_formatter()(0.25) == "25%"


def test_accuracy_per_exit_has_means_and_intervals(ax):
    frame = make([1, 2, 3], [0.5, 0.6, 0.7])
    accuracy_per_exit(frame, ax)
    bars = {container.get_label(): container for container in ax.containers}
    joint = frame[frame["regime"] == "joint"]
    estimates = [interval(joint.loc[joint["exit"] == k, "accuracy"]) for k in (1, 2, 3)]
    line, _, (segments,) = bars["joint"].lines
    np.testing.assert_allclose(line.get_ydata(), [e.mean for e in estimates])
    np.testing.assert_allclose(
        [s[:, 1] for s in segments.get_segments()], [[e.low, e.high] for e in estimates], rtol=1e-12
    )
    assert np.abs(line.get_xdata() - [1, 2, 3]).max() < 0.35
    assert len({container.lines[0].get_xdata()[0] for container in ax.containers}) == len(REGIMES)


def test_budget_bars_draw_the_choice_that_is_asked_for(ax):
    budget_bars(budget_frame(), ax, choice="oracle")
    assert all(container.lines[0].get_ydata() == pytest.approx(0.99) for container in ax.containers)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50%", "100%", "unlimited"]


def test_budget_bars_refuse_an_unknown_choice(ax):
    with pytest.raises(SettingError, match="did you mean 'validation'"):
        budget_bars(budget_frame(), ax, choice="validaton")


def test_a_budget_that_nothing_fits_has_no_point(ax):
    frame = budget_frame()
    frame.loc[frame["budget"] == 0.5, "accuracy"] = np.nan
    budget_bars(frame, ax)
    line = ax.containers[0].lines[0]
    assert np.isnan(line.get_ydata()[0])
    assert np.isfinite(line.get_ydata()[1:]).all()
    assert "n = 3)" in ax.get_legend().get_title().get_text()


def test_differences_is_a_forest(ax):
    frame = pd.DataFrame(
        {
            "label": ["mixed - joint", "mixed - disjoint", "one seed"],
            "mean": [0.01, 0.05, 0.02],
            "low": [-0.01, 0.03, np.nan],
            "high": [0.03, 0.07, np.nan],
        }
    )
    assert differences(frame, ax) is ax
    points = [container.lines[0] for container in ax.containers]
    assert [float(p.get_xdata()[0]) for p in points] == [0.01, 0.05, 0.02]
    assert [to_hex(p.get_markerfacecolor()) for p in points] == ["#ffffff", "#333333", "#ffffff"]
    reach = [c.lines[2][0].get_segments()[0][:, 0].tolist() for c in ax.containers if c.has_xerr]
    np.testing.assert_allclose(reach, [[-0.01, 0.03], [0.03, 0.07]], atol=1e-12)
    assert [label.get_text() for label in ax.get_yticklabels()] == frame["label"].tolist()
    assert ax.get_ylim() == (2.5, -0.5)
    assert ax.lines[0].get_xdata() == [0.0, 0.0]
    assert "percentage points" in ax.get_xlabel()
    assert ax.xaxis.get_major_formatter()(0.02) == "+2"


def test_facets_have_a_scale_of_their_own_and_one_legend_below():
    rows = [
        (dataset, model, regime, seed, exit_, base + 0.01 * exit_ + 0.001 * seed)
        for dataset, base in (("a", 0.9), ("b", 0.3))
        for model in ("m", "n")
        for regime in ("joint", "mixed")
        for seed in (0, 1)
        for exit_ in (1, 2)
    ]
    frame = pd.DataFrame(rows, columns=["dataset", "model", "regime", "seed", "exit", "accuracy"])
    frame.loc[frame["model"] == "n", "accuracy"] -= 0.2
    figure = plotting.facets(frame, plotting.accuracy_per_exit)
    figure.canvas.draw()
    for ax in figure.axes:
        dataset, model = ax.get_title().split(", ")
        values = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]["accuracy"]
        bottom, top = ax.get_ylim()
        assert bottom < values.min() < values.max() < top
        assert ax.get_legend() is None
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["joint", "mixed"]


def test_many_facets_go_over_lines_and_no_two_names_of_axes_meet():
    rows = [
        (f"data{i}", "m", r, s, e, 0.5 + 0.01 * e + 0.001 * s)
        for i in range(6)
        for r in ("joint", "mixed")
        for s in (0, 1)
        for e in (1, 2)
    ]
    frame = pd.DataFrame(rows, columns=["dataset", "model", "regime", "seed", "exit", "accuracy"])
    for count, lines in ((4, [4]), (5, [3, 2]), (6, [3, 3])):
        some = frame[frame["dataset"].isin([f"data{i}" for i in range(count)])].assign(cost=1.0)
        figure = plotting.facets(some, plotting.accuracy_per_exit)
        figure.canvas.draw()
        drawn = [ax for ax in figure.axes if ax.axison]
        heights = pd.Series([round(ax.get_position().y0, 2) for ax in drawn])
        assert sorted(heights.value_counts(), reverse=True) == lines
        for ax in drawn:
            ax.set_xlabel("mean cost per sample\n(% of the backbone's MACs)")
        figure.canvas.draw()
        boxes = [ax.xaxis.label.get_window_extent() for ax in drawn]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_forests_have_the_rows_once():
    frame = pd.DataFrame({"label": ["x", "y"], "mean": [0.1, -0.1], "low": [0.0, -0.2], "high": [0.2, 0.0]})
    figure = plotting.forests({"first exit": frame, "last exit": frame})
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["x", "y"]
    assert not any(text.get_text() for text in right.get_yticklabels())


# --- single samples and reliability


def gallery_frame():
    rows = [("easiest", 3, 0, 0.0), ("easiest", 7, 1, 0.1), ("hardest", 3, 2, 0.9), ("hardest", 3, 2, 0.7)]
    return pd.DataFrame(rows, columns=["kind", "label", "sample", "difficulty"])


def test_gallery_shows_each_sample_in_its_place():
    x = np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 1, 2, 2) - 5
    figure = plotting.gallery(gallery_frame(), x)
    axes = np.array(figure.axes).reshape(2, 2)
    for (row, column), sample in {(0, 0): 0, (0, 1): 1, (1, 0): 2}.items():
        shown = axes[row, column].images[0].get_array()
        np.testing.assert_allclose(shown, (x[sample, 0] - x[sample].min()) / np.ptp(x[sample]))
    assert [ax.get_title() for ax in axes[0]] == ["3", "7"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["easiest", "hardest"]
    assert axes[1, 0].get_xlabel() == "0.80"
    plt.close(figure)


def test_gallery_draws_sequences_as_lines_and_constant_pictures_as_white():
    x = np.random.default_rng(0).normal(size=(3, 2, 40))
    figure = plotting.gallery(gallery_frame(), x)
    lines = figure.axes[0].lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], x[0])
    plt.close(figure)
    figure = plotting.gallery(gallery_frame(), np.ones((3, 3, 4, 4)))
    assert not figure.axes[0].images[0].get_array().any()
    plt.close(figure)


@pytest.mark.parametrize(
    ("frame", "x", "said"),
    [
        (gallery_frame(), np.zeros((3, 5)), r"x: expected images .* got \(3, 5\)"),
        (gallery_frame().drop(columns="label"), np.zeros((3, 1, 5)), "frame: lacks label"),
        (gallery_frame().head(0), np.zeros((3, 1, 5)), "frame: lacks rows"),
    ],
)
def test_gallery_refuses_what_it_cannot_draw(frame, x, said):
    with pytest.raises(SettingError, match=said):
        plotting.gallery(frame, x)


def test_reliability_has_a_diagonal_and_the_means(ax):
    frame = make([0.25, 0.75], [0.3, 0.9], column="centre")
    assert plotting.reliability(frame, ax, band=True) is ax
    diagonal = ax.lines[-1]
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines[:-1]}
    means = frame[frame["regime"] == "mixed"].groupby("centre")["accuracy"].mean()
    np.testing.assert_allclose(drawn["mixed"], means)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence", "accuracy")


def test_a_band_is_the_interval_that_bars_show(ax):
    frame = make([1, 2], [0.3, 0.9], regimes=["joint"], column="block")
    plotting.profile(frame, ax, y="accuracy", band=True)
    [band] = [c for c in ax.collections if isinstance(c, PolyCollection)]
    own = interval(frame.loc[frame["block"] == 1, "accuracy"])
    heights = band.get_paths()[0].vertices
    ends = sorted({round(y, 9) for x, y in heights if x == 1})
    np.testing.assert_allclose(ends, [own.low, own.high], atol=1e-8)
    assert "band: 95% interval (n = 3)" in ax.get_legend().get_title().get_text()
