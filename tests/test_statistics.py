"""Bootstrap, sign flips, correction, effect sizes, power and analysis of variance: by hand and against others."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from companion.pages import significance
from eecore.errors import SettingError
from eecore.evidence import (
    between_cells,
    bootstrap_interval,
    corrected,
    detectable,
    hedges_g,
    interval,
    least_sign_flip,
    power,
    seeds_needed,
    sign_flip,
    variance_table,
)

few = st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=8)


def slow_sign_flip(values):
    """Every pattern of signs, one after the other."""
    seen = abs(np.mean(values))
    means = [
        abs(np.mean([s * v for s, v in zip(signs, values, strict=True)]))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    return np.mean([mean >= seen - 1e-12 for mean in means])


@given(few)
@settings(max_examples=60, deadline=None)
def test_sign_flips_are_those_of_a_loop_over_all_patterns(values):
    assert sign_flip(values) == pytest.approx(slow_sign_flip(values))
    assert sign_flip(values) >= least_sign_flip(len(values)) - 1e-12


def test_sign_flips_of_many_values_are_drawn_and_agree_with_the_t_test():
    values = np.random.default_rng(3).normal(0.5, 1, size=30)
    assert sign_flip(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)
    assert sign_flip(values) == sign_flip(values)


def test_five_seeds_can_never_reach_five_percent_by_sign_flips():
    assert sign_flip([1.0, 1.1, 0.9, 1.0, 1.2]) == least_sign_flip(5) == 0.0625
    assert math.isnan(sign_flip([1.0]))
    with pytest.raises(SettingError, match="n: "):
        least_sign_flip(0)


def test_the_bootstrap_is_too_short_for_few_values_and_right_for_many():
    rng = np.random.default_rng(0)
    covered = {}
    for n in (5, 40):
        ends = [bootstrap_interval(rng.normal(size=n), draws=300) for _ in range(150)]
        covered[n] = np.mean([low <= 0 <= high for low, high in ends])
    assert covered[5] < 0.91 < covered[40]


def test_a_bootstrap_of_equal_values_has_no_width_and_no_warning():
    assert bootstrap_interval([0.5] * 4) == (0.5, 0.5)
    assert all(map(math.isnan, bootstrap_interval([0.5])))


@pytest.mark.parametrize(("options", "named"), [({"level": 95}, "level"), ({"draws": 10}, "draws")])
def test_a_bootstrap_refuses(options, named):
    with pytest.raises(SettingError, match=f"{named}: "):
        bootstrap_interval([1.0, 2.0], **options)


def test_holm_by_hand():
    p = pd.Series([0.01, 0.04, np.nan, 0.03])  # times 3, 1, 2 in the order of size, never falling
    assert corrected(p).tolist()[:2] == pytest.approx([0.03, 0.06])
    assert corrected(p)[3] == pytest.approx(0.06)
    assert math.isnan(corrected(p)[2])
    assert corrected(p, "none").equals(p)
    with pytest.raises(SettingError, match="holm"):
        corrected(p, "home")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p):
    assert corrected(pd.Series(p)).tolist() == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_holm_keeps_false_alarms_rare_where_nothing_differs():
    rng = np.random.default_rng(5)
    alarms = plain = 0
    for _ in range(400):
        p = pd.Series([interval(rng.normal(size=5)).p for _ in range(9)])
        alarms += bool((corrected(p) < 0.05).any())
        plain += bool((p < 0.05).any())
    assert alarms / 400 < 0.08  # 0.05 and noise
    assert plain / 400 > 0.25


def test_hedges_g_by_hand():
    assert hedges_g([1.0, 2.0, 3.0]) == pytest.approx(4 / 7 * 2)  # 1 - 3 / 7
    assert hedges_g([2.0, 2.0]) == math.inf
    assert hedges_g([0.0, 0.0]) == 0.0
    assert math.isnan(hedges_g([2.0]))


def test_power_is_what_a_simulation_finds():
    rng = np.random.default_rng(1)
    told = [interval(rng.normal(1.0, 1.0, size=8)).p < 0.05 for _ in range(1500)]
    assert power(1.0, 1.0, 8) == pytest.approx(np.mean(told), abs=0.04)


@given(st.floats(0.2, 3.0), st.floats(0.5, 0.95))
@settings(max_examples=25, deadline=None)
def test_seeds_needed_are_the_fewest(size, chance):
    n = int(seeds_needed(size, 1.0, chance))
    assert power(size, 1.0, n) >= chance
    assert n == 2 or power(size, 1.0, n - 1) < chance


def test_detectable_and_seeds_needed_are_inverse():
    least = detectable(sd=0.5, n=10)
    assert seeds_needed(least * 1.001, 0.5) == 10
    assert seeds_needed(least * 0.97, 0.5) == 11
    assert seeds_needed(0.0, 1.0) == math.inf


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: power(1, 0, 5), "sd"),
        (lambda: power(1, 1, 1), "n"),
        (lambda: seeds_needed(1, 1, chance=80), "chance"),
        (lambda: seeds_needed(1, 1, level=95), "level"),
        (lambda: detectable(float("nan"), 5), "sd"),
    ],
)
def test_power_refuses(call, named):
    with pytest.raises(SettingError, match=f"^{named}: "):
        call()


def grid(seeds=3, effect=0.0, noise=0.1):
    rng = np.random.default_rng(0)
    rows = []
    for i, dataset in enumerate("pq"):
        for j, model in enumerate("mno"):
            for seed in range(seeds):
                luck = rng.normal(0, 0.2)
                for k, regime in enumerate(("disjoint", "joint", "mixed")):
                    value = i + 0.5 * j + effect * k + 0.3 * effect * k * j + luck + rng.normal(0, noise)
                    rows.append({"dataset": dataset, "model": model, "seed": seed, "regime": regime, "accuracy": value})
    return pd.DataFrame(rows)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")  # cells and blocks overlap
def test_the_analysis_of_variance_is_that_of_statsmodels_on_a_balanced_grid():
    frame = grid(effect=0.1)
    ours = variance_table(frame, "accuracy").set_index("term")
    frame["block"] = frame["dataset"] + frame["model"] + frame["seed"].astype(str)
    theirs = anova_lm(ols("accuracy ~ C(dataset) * C(model) * C(regime)", frame).fit(), typ=1)
    names = {"dataset": "C(dataset)", "model": "C(model)", "regime": "C(regime)"}
    names |= {"model × regime": "C(model):C(regime)", "dataset × model": "C(dataset):C(model)"}
    names |= {"dataset × regime": "C(dataset):C(regime)", "dataset × model × regime": "C(dataset):C(model):C(regime)"}
    for term, name in names.items():
        assert ours["sum_sq"][term] == pytest.approx(theirs["sum_sq"][name], abs=1e-9)
        assert ours["df"][term] == theirs["df"][name]
    rest = anova_lm(ols("accuracy ~ C(block) + C(dataset) * C(model) * C(regime)", frame).fit(), typ=1)
    assert ours["sum_sq"]["what is left"] == pytest.approx(rest["sum_sq"]["Residual"])
    f = theirs["sum_sq"]["C(regime)"] / 2 / (rest["sum_sq"]["Residual"] / rest["df"]["Residual"])
    assert ours["F"]["regime"] == pytest.approx(f)
    assert ours["share"].sum() == pytest.approx(1.0)


def test_the_analysis_of_variance_sees_an_effect_and_no_more():
    plain, moved = variance_table(grid(), "accuracy"), variance_table(grid(effect=0.3), "accuracy")
    assert plain.set_index("term")["p"]["regime"] > 0.05
    assert moved.set_index("term")["p"][["regime", "model × regime"]].max() < 0.001
    assert moved.set_index("term")["p"]["dataset × regime"] > 0.01


def test_more_seeds_of_one_data_set_and_incomplete_seeds_are_taken():
    frame = grid(effect=0.3)
    fewer = frame[(frame["dataset"] == "p") | (frame["seed"] < 2)]
    lacking = fewer.drop(fewer.index[-1])  # one run: its seed is left out
    table = variance_table(lacking, "accuracy")
    assert table["df"].sum() == len(fewer) - 3 - 1
    one = variance_table(frame[frame["seed"] == 0], "accuracy").set_index("term")
    assert one["df"]["seed, within data and model"] == 0
    assert math.isnan(one["F"]["regime"])


@pytest.mark.parametrize("wrong", ["column", "twice", "empty"])
def test_the_analysis_of_variance_refuses(wrong):
    frame = grid()
    frame = {"column": frame.drop(columns="seed"), "twice": pd.concat([frame, frame])}.get(wrong, frame)
    if wrong == "empty":
        frame = frame[(frame["regime"] != "mixed") == (frame["seed"] == 0)]
    with pytest.raises(SettingError, match="frame: "):
        variance_table(frame, "accuracy")


def test_between_cells_by_hand():
    cells = pd.DataFrame({"mean": [1.0, 2.0, 3.0], "sd": [0.5, 0.5, 0.5], "n": [5, 5, 5]})
    found = between_cells(cells)
    assert found.mean == interval([1.0, 2.0, 3.0])
    assert found.spread == pytest.approx(math.sqrt(1 - 0.05))  # variance of means less 0.25 / 5
    assert found.new_high - 2 == pytest.approx(4.302653 * math.sqrt(4 / 3))
    assert math.isnan(between_cells(cells[:1]).new_low)
    with pytest.raises(SettingError, match="rows"):
        between_cells(cells[:0])


def test_every_comparison_is_tested_as_by_hand():
    frame = grid(effect=0.3).assign(dataset=lambda f: f["dataset"].astype(str))
    pairs = [("mixed", "joint"), ("mixed", "refit")]
    table = significance.compared(frame, "accuracy", pairs, ["dataset", "model"])
    assert len(table) == 6  # a regime that is not there is left out
    row = table.iloc[0]
    part = frame[(frame["dataset"] == "p") & (frame["model"] == "m")].pivot(
        index="seed", columns="regime", values="accuracy"
    )
    values = part["mixed"] - part["joint"]
    assert (row["mean"], row["low"], row["p"]) == (interval(values).mean, interval(values).low, interval(values).p)
    assert row["p_flip"] == sign_flip(values)
    assert row["p_corrected"] >= row["p"]
    assert "6 comparisons" in significance.survivors_in_words(table)
    assert list(significance.compared_table(table)["n"]) == ["3"] * 6
    assert significance.across_cells(table)["combinations"].tolist() == ["6"]
    with pytest.raises(SettingError, match="pairs: "):
        significance.compared(frame, "accuracy", [("refit", "full")], ["dataset", "model"])


def test_seeds_needed_come_from_the_spread_over_seeds():
    frame = grid(seeds=6, effect=0.3)
    table = significance.compared(frame, "accuracy", [("mixed", "joint")], ["dataset", "model"])
    found = significance.needed(table, [0.05, 0.5])
    sd = math.sqrt((table["sd"] ** 2).mean())
    assert found["seeds"].tolist() == [seeds_needed(0.05, sd), seeds_needed(0.5, sd)]
    assert found["detectable"][0] == pytest.approx(detectable(sd, 6))
