"""Intervals and paired differences against scipy and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eecore.errors import SettingError
from eecore.evidence import Estimate, half_width, interval, paired_difference, verdict

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


def runs(a, b, seeds=None):
    """A long frame of two regimes, one row per seed."""
    rows = [
        {"dataset": "d", "model": "m", "seed": seed, "regime": regime, "accuracy": value}
        for regime, values in (("mixed", a), ("joint", b))
        for seed, value in zip(seeds or range(len(values)), values, strict=True)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_interval_by_hand():
    estimate = interval([1.0, 2.0, 3.0])  # sd 1, t(0.975, 2) = 4.302653
    assert (estimate.mean, estimate.sd, estimate.n) == (2.0, 1.0, 3)
    assert estimate.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2.0 - estimate.low == pytest.approx(estimate.high - 2.0)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_interval_is_that_of_scipy(level):
    values = np.random.default_rng(0).normal(3, 2, size=9)
    estimate, test = interval(values, level), stats.ttest_1samp(values, 0.0)
    theirs = test.confidence_interval(level)
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high))
    assert estimate.p == pytest.approx(test.pvalue)


def test_one_value_has_no_interval():
    estimate = interval([0.4])
    assert estimate.mean == 0.4
    assert all(map(math.isnan, (estimate.low, estimate.high, estimate.sd, estimate.p)))
    assert verdict(estimate) == "not told apart"


def test_equal_values_need_no_warning():
    assert interval([0.5] * 4) == Estimate(0.5, 0.5, 0.5, 4, 0.0, 0.0)
    assert interval([0.0] * 4).p == 1.0
    assert np.isfinite(interval([0.1 + 0.2, 0.3, 0.3]).p)  # nearly equal: scipy warns here


def test_intervals_cover_as_often_as_they_say():
    draws = np.random.default_rng(1).normal(size=(2000, 5))
    half = half_width(draws.std(axis=1, ddof=1), 5, 0.9)
    assert np.mean(np.abs(draws.mean(axis=1)) <= half) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_interval_refuses_what_is_no_number(values):
    with pytest.raises(SettingError, match="values: "):
        interval(values)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_interval_refuses_a_level_in_percent(level):
    with pytest.raises(SettingError, match="level: "):
        interval([1.0, 2.0], level)


def test_estimates_read_well():
    estimate = Estimate(mean=1.2, low=0.4, high=2.0, n=5, sd=0.64)
    assert f"{estimate:.1f}" == "+1.2 [0.4, 2.0] (n = 5)"
    assert f"{Estimate(-0.0121, -0.0202, -0.004, 5, 0.0065):.1%}" == "-1.2% [-2.0%, -0.4%] (n = 5)"
    assert str(interval([0.4])) == "+0.4 (n = 1, no interval)"


def test_paired_difference_is_that_of_scipy():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.8, 0.05, 7), rng.normal(0.75, 0.05, 7)
    estimate, test = paired_difference(runs(a, b), "accuracy", "regime", "mixed", "joint"), stats.ttest_rel(a, b)
    assert estimate.n == 7
    assert estimate.mean == pytest.approx((a - b).mean())
    assert estimate.p == pytest.approx(test.pvalue)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(test.confidence_interval()))


def test_what_a_seed_does_to_both_cancels():
    a = [0.50, 0.70, 0.90]
    estimate = paired_difference(runs(a, [v - 0.02 for v in a]), "accuracy", "regime", "mixed", "joint")
    assert estimate.mean == pytest.approx(0.02)
    assert verdict(estimate) == "higher"
    assert interval(a).high - interval(a).low > 0.5


@given(numbers)
@settings(max_examples=30, deadline=None)
def test_exchanging_the_two_turns_the_sign(values):
    frame = runs(values, [0.0] * len(values))
    forth = paired_difference(frame, "accuracy", "regime", "mixed", "joint")
    back = paired_difference(frame, "accuracy", "regime", "joint", "mixed")
    assert forth.mean == -back.mean
    assert (forth.low, forth.high) == (-back.high, -back.low)
    assert forth.p == back.p


def test_only_complete_pairs_count():
    frame = runs([0.8, 0.9, math.nan, 0.7], [0.7, 0.7, 0.5, 0.6])
    frame = frame[~((frame["regime"] == "joint") & (frame["seed"] == 3))]
    estimate = paired_difference(frame, "accuracy", "regime", "mixed", "joint")
    assert estimate.n == 2
    assert estimate.mean == pytest.approx(0.15)


def test_pairs_are_within_data_set_and_model():
    frame = pd.concat([runs([0.8], [0.7]).assign(model=m, dataset=d) for m in "xy" for d in "pq"])
    assert paired_difference(frame, "accuracy", "regime", "mixed", "joint").n == 4


def test_one_pair_has_a_difference_but_no_interval():
    estimate = paired_difference(runs([0.8], [0.7]), "accuracy", "regime", "mixed", "joint", pair=["seed"])
    assert estimate.n == 1
    assert estimate.mean == pytest.approx(0.1)
    assert math.isnan(estimate.low)


def test_paired_difference_says_what_is_wrong():
    frame = runs([0.8, 0.9], [0.7, 0.7])
    with pytest.raises(SettingError, match="lacks the columns loss, fold"):
        paired_difference(frame, "loss", "regime", "mixed", "joint", pair=["fold"])
    with pytest.raises(SettingError, match="'disjoint' does not occur in the frame, which has joint, mixed"):
        paired_difference(frame, "accuracy", "regime", "mixed", "disjoint")
    with pytest.raises(SettingError, match="several rows for one dataset, model, seed of 'mixed'"):
        paired_difference(pd.concat([frame, frame]), "accuracy", "regime", "mixed", "joint")
    apart = frame.assign(seed=frame["seed"] + 10 * (frame["regime"] == "joint"))
    with pytest.raises(SettingError, match="no dataset, model, seed has accuracy for both 'mixed' and 'joint'"):
        paired_difference(apart, "accuracy", "regime", "mixed", "joint")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.3, "higher"), (-0.3, -0.1, "lower"), (-0.1, 0.1, "not told apart"), (0.0, 0.2, "not told apart")],
)
def test_verdict(low, high, word):
    assert verdict(Estimate((low + high) / 2, low, high, 5, 0.1)) == word
