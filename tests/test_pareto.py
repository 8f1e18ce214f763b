"""The Pareto front of cost and value: by hand, against its definition, and drawn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from companion.pages import pareto, words_training
from companion.plotting import regime_style, value_against_training
from eecore.errors import SettingError
from eecore.evidence import interval

POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=12)


def beats(other, point):
    """`other` is as cheap and better, or cheaper and as good."""
    (cost, value), (own_cost, own_value) = other, point
    return (cost <= own_cost and value > own_value) or (cost < own_cost and value >= own_value)


@given(POINTS)
def test_the_front_is_what_nobody_beats(points):
    costs, values = zip(*points, strict=True)
    found = pareto.undominated(costs, values).tolist()
    assert found == [not any(beats(other, point) for other in points) for point in points]
    assert any(found)


@given(POINTS, st.floats(0, 1))
def test_slack_never_empties_the_front_and_keeps_the_best_value(points, slack):
    costs, values = zip(*points, strict=True)
    front = pareto.undominated(costs, values, slack)
    assert max(np.array(values)[front]) == max(values)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 50)), min_size=1, unique_by=lambda p: p[1]), st.floats(0, 1)
)
def test_slack_only_takes_away_where_no_two_values_are_equal(points, slack):
    costs, values = zip(*points, strict=True)
    assert pareto.undominated(costs, values)[pareto.undominated(costs, values, slack)].all()


@given(POINTS, st.randoms())
def test_the_order_of_points_does_not_matter(points, random):
    shuffled = random.sample(points, len(points))
    kept = {p for p, on in zip(points, pareto.undominated(*zip(*points, strict=True)), strict=True) if on}
    again = {p for p, on in zip(shuffled, pareto.undominated(*zip(*shuffled, strict=True)), strict=True) if on}
    assert kept == again


def frame():
    """Mixed for 2 epochs costs 1 % less than joint for 4; it is worse in seed 0, better in seed 1, worse on average."""
    rows = [
        ("joint", 2, 100.0, 0.50, 0.52),
        ("mixed", 2, 198.0, 0.55, 0.63),
        ("joint", 4, 200.0, 0.66, 0.62),
        ("disjoint", 4, 300.0, 0.60, 0.60),
    ]
    return pd.DataFrame(
        [
            {"regime": regime, "epochs": epochs, "training_macs": cost, "seed": seed, "value": value}
            for regime, epochs, cost, *values in rows
            for seed, value in enumerate(values)
        ]
    ).assign(dataset="d", model="m", outcome="last exit", training_seconds=1.0)


def test_fronts_by_hand():
    found = pareto.fronts(frame(), slack=0.05).set_index(["regime", "epochs"])
    assert found["front"].to_dict() == {
        ("joint", 2): True,
        ("mixed", 2): False,
        ("joint", 4): True,
        ("disjoint", 4): False,
    }
    assert found["on_front_of"].tolist() == [2, 1, 1, 0]
    assert found.loc[("joint", 4), "mean"] == pytest.approx(0.64)
    assert found.loc[("joint", 4), "high"] == pytest.approx(interval([0.66, 0.62]).high)
    strict = pareto.fronts(frame()).set_index(["regime", "epochs"])
    assert strict.loc[("mixed", 2), "front"]  # without slack, one percent cheaper is cheaper
    assert pareto.fronts(frame(), cost="training_seconds")["front"].sum() == 1


def test_a_table_and_a_sentence_of_the_front():
    points = pareto.fronts(frame().assign(training_macs=lambda f: 1e9 * f["training_macs"]), slack=0.05)
    table = pareto.front_table(points, ["last exit"])
    assert table["regime"].tolist() == ["joint", "mixed", "joint", "disjoint"]  # cheapest first
    assert table["10⁹ multiply-adds"].tolist() == ["100", "198", "200", "300"]
    assert table["front of last exit"].tolist() == ["yes, 2 of 2", "–, 1 of 2", "yes, 1 of 2", "–, 0 of 2"]
    assert table["last exit"].iloc[3] == "60.0 ± 0.0"
    said = words_training.front_in_words(points)
    assert said == "- m, last exit, points on the front: joint 2 of 2, mixed 0 of 1, disjoint 0 of 1"
    one = pareto.front_table(pareto.fronts(frame().query("seed == 0")), ["last exit"])
    assert one["last exit"].iloc[0] == "50.0"  # one seed has no interval


def test_a_drawing_has_filled_points_on_the_front_and_hollow_ones_elsewhere():
    points = pareto.fronts(frame(), slack=0.05)
    drawn = frame().merge(points[["regime", "epochs", "front"]], on=["regime", "epochs"])
    ax = Figure().subplots()
    assert value_against_training(drawn, ax) is ax
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["disjoint", "joint", "mixed"]
    joint = handles[1].lines[0]
    assert to_hex(joint.get_color()) == regime_style("joint").colour
    np.testing.assert_allclose(joint.get_xdata(), [1e-7, 2e-7])  # in 10^9
    np.testing.assert_allclose(joint.get_ydata(), [0.51, 0.64])
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert sorted(y for line in hollow for y in line.get_ydata()) == pytest.approx([0.59, 0.60])
    assert ax.get_xscale() == "log"
    assert (
        ax.get_legend().get_title().get_text() == "mean of seeds, bars: 95% interval (n = 2); hollow: not on the front"
    )
    single = value_against_training(drawn.query("seed == 0"), Figure().subplots())
    assert "one seed, no interval" in single.get_legend().get_title().get_text()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pareto.fronts(frame(), cost="macs"), "cost: 'macs' is not known.* Known: training_macs"),
        (lambda: value_against_training(frame(), Figure().subplots()), "frame: lacks front"),
        (lambda: value_against_training(frame()[:0].assign(front=True), Figure().subplots()), "frame: lacks rows"),
        (lambda: value_against_training(frame(), Figure().subplots(), cost="epochs"), "cost: 'epochs' is not known"),
    ],
)
def test_impossible_input_is_one_line(call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
