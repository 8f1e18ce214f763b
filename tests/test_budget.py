"""Budgets: the four readings against plain loops, thresholds that never see test, MSDNet's budgeted batch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eecore.errors import SettingError
from eecore.inference import (
    budget_table,
    budget_thresholds,
    choose_threshold,
    curve,
    exit_taken,
    outcome,
    resampled_budgets,
    score,
    solve,
    threshold_for_macs,
)

MACS, BACKBONE = [20.0, 50.0, 110.0], 100.0
BUDGETS = (0.1, 0.25, 0.5, 0.75, 1.0, math.inf)


def make(seed, samples=50, classes=4, exits=3):
    """Logits whose later exits know more, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=generator)
    signal = torch.nn.functional.one_hot(labels, classes) * torch.arange(1.0, exits + 1)[:, None, None]
    return (signal + torch.randn(exits, samples, classes, generator=generator)).half(), labels


def slow_point(logits, labels, threshold):
    """Accuracy and mean cost at one threshold, sample by sample."""
    scores, right, cost = score(logits), 0, 0.0
    for n in range(len(labels)):
        k = next((k for k in range(2) if scores[k, n].numpy() > np.float32(threshold)), 2)
        right, cost = right + int(logits[k, n].float().argmax() == labels[n]), cost + MACS[k]
    return right / len(labels), cost / len(labels)


def slow_table(validation, test, budgets):
    """{(budget, choice): (threshold, accuracy, macs)} in plain loops."""
    scores = sorted(score(validation[0])[:-1].flatten().tolist())
    spread = [np.interp(p, range(len(scores)), scores) for p in np.linspace(0, len(scores) - 1, 1000)[1:-1]]
    thresholds = sorted({float(t) for t in (*np.linspace(0, 1, 100), *spread)})
    on_validation = [slow_point(*validation, t) for t in thresholds]
    on_test = [slow_point(*test, t) for t in thresholds]
    table = {}
    for budget in budgets:
        chosen = {"validation": None, "test sweep": None, "oracle": None}
        for i in range(len(thresholds)):
            if on_validation[i][1] <= budget * BACKBONE:
                chosen["validation"] = i
            if on_test[i][1] <= budget * BACKBONE:
                chosen["test sweep"] = i
                if chosen["oracle"] is None or on_test[i][0] > on_test[chosen["oracle"]][0]:
                    chosen["oracle"] = i
        for choice, i in chosen.items():
            table[budget, choice] = (math.nan,) * 3 if i is None else (thresholds[i], *on_test[i])
        table[budget, "final exit"] = (1.0, on_test[-1][0], BACKBONE)
    return table


@pytest.mark.parametrize("seed", range(4))
def test_budget_table_equals_its_slow_twin(seed):
    validation, test = make(seed), make(seed + 100, samples=40)
    frame = budget_table(*validation, *test, MACS, BACKBONE, budgets=BUDGETS)
    expected = slow_table(validation, test, BUDGETS)
    assert list(frame.columns) == ["budget", "choice", "threshold", "accuracy", "macs"]
    assert len(frame) == len(expected)
    for row in frame.itertuples(index=False):
        np.testing.assert_array_equal([row.threshold, row.accuracy, row.macs], expected[row.budget, row.choice])


@given(seed=st.integers(0, 1000), other=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_thresholds_from_validation_never_see_test(seed, other):
    validation = make(seed)
    tables = [budget_table(*validation, *make(s), MACS, BACKBONE) for s in (other, other + 1)]
    thresholds = [t.loc[t["choice"] == "validation", "threshold"].tolist() for t in tables]
    np.testing.assert_array_equal(*thresholds)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_readings_that_look_at_test_keep_to_the_budget_and_the_oracle_is_best(seed):
    frame = budget_table(*make(seed), *make(seed + 1), MACS, BACKBONE, budgets=BUDGETS)
    wide = frame.pivot(index="budget", columns="choice", values="accuracy").drop(index=0.1)
    assert (wide["oracle"] >= wide["test sweep"]).all()
    assert wide["oracle"].is_monotonic_increasing
    looks = frame[frame["choice"].isin(["test sweep", "oracle"])].dropna()
    assert (looks["macs"] <= looks["budget"] * BACKBONE).all()


def test_same_data_for_both_makes_validation_and_sweep_equal():
    data = make(5)
    frame = budget_table(*data, *data, MACS, BACKBONE)
    of = {choice: rows.drop(columns="choice").to_numpy() for choice, rows in frame.groupby("choice")}
    np.testing.assert_array_equal(of["validation"], of["test sweep"])


def test_nothing_fits_a_budget_below_the_first_exit_and_the_final_exit_stands_apart():
    frame = budget_table(*make(0), *make(1), MACS, BACKBONE, budgets=(0.1, math.inf)).set_index(["budget", "choice"])
    assert frame.loc[0.1].drop("final exit").isna().all(axis=None)
    assert frame.loc[(0.1, "final exit"), "macs"] == BACKBONE
    unlimited = frame.loc[(math.inf, "test sweep")]
    assert unlimited["threshold"] == 1.0
    assert unlimited["macs"] == MACS[-1]
    assert unlimited["accuracy"] == frame.loc[(math.inf, "final exit"), "accuracy"]


def test_choose_threshold_by_hand():
    frame = curve(*make(2), MACS, thresholds=[0.0, 1.0])
    assert choose_threshold(frame, 20.0) == 0.0
    assert choose_threshold(frame, 109.9) == 0.0
    assert choose_threshold(frame, 110.0) == 1.0
    assert math.isnan(choose_threshold(frame, 19.9))


# --- a budget is spent where scores crowd


def sure(seed, samples=500, classes=4, exits=4, sharpness=12.0, half=True):
    """Logits of networks that are nearly always certain, as after a long training: most scores lie above 0.99."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=generator)
    hard = torch.rand(samples, generator=generator)[:, None]
    signal = torch.nn.functional.one_hot(labels, classes) * sharpness * (1 - hard / 2)
    noise = torch.randn(exits, samples, classes, generator=generator)
    logits = signal * (torch.arange(1.0, exits + 1)[:, None, None] / exits + 0.4) + noise
    return logits.half() if half else logits, labels


@pytest.mark.parametrize("rule", ["confidence", "entropy", "margin"])
@pytest.mark.parametrize("sharpness", [10.0, 12.0, 14.0])
def test_a_budget_is_spent_where_scores_crowd_below_one(rule, sharpness):
    validation, test, macs = sure(1, sharpness=sharpness), sure(2, sharpness=sharpness), [20.0, 45.0, 70.0, 110.0]
    even = curve(*validation, macs, rule)
    assert even.loc[even["macs"] <= BACKBONE, "macs"].max() < 0.75 * BACKBONE  # as far as 100 even thresholds come
    frame = budget_table(*validation, *test, macs, BACKBONE, rule, (0.5, 0.75, 1.0)).set_index(["choice", "budget"])
    drawn = resampled_budgets(validation[0], *test, macs, BACKBONE, [500], 1, rule, (0.5, 0.75, 1.0))
    assert drawn.loc[drawn["method"] == "one threshold", "macs"].tolist() == frame.loc["validation", "macs"].tolist()
    for budget in (0.5, 0.75, 1.0):
        threshold = frame.loc[("validation", budget), "threshold"]
        spent = outcome(*validation, macs, threshold, rule)["macs"]
        exactly = outcome(*validation, macs, threshold_for_macs(score(validation[0], rule), macs, 100 * budget), rule)
        assert 0.95 * budget * BACKBONE <= spent <= budget * BACKBONE
        assert exactly["macs"] - 0.01 * BACKBONE <= spent <= exactly["macs"]  # no threshold spends much more
        assert 0.9 * budget * BACKBONE <= frame.loc[("validation", budget), "macs"] <= 1.1 * budget * BACKBONE


@given(
    seed=st.integers(0, 1000),
    sharpness=st.floats(0.0, 40.0),
    samples=st.integers(1, 80),
    exits=st.integers(1, 5),
    half=st.booleans(),
    levels=st.sampled_from([0, 1, 3]),
    budget=st.floats(0.1, 1.2),
)
@settings(max_examples=60, deadline=None)
def test_no_threshold_from_validation_passes_the_budget_there(seed, sharpness, samples, exits, half, levels, budget):
    logits, labels = sure(seed, samples, exits=exits, sharpness=sharpness, half=half)
    logits = (logits * levels).round() / levels if levels else logits  # many equal scores; 40: scores of exactly 1
    macs = np.linspace(20.0, 110.0, exits)
    frame = budget_table(logits, labels, logits, labels, macs, BACKBONE, budgets=[budget]).set_index("choice")
    if budget * BACKBONE < macs[0]:
        assert math.isnan(frame.loc["validation", "threshold"])
        return
    exact = threshold_for_macs(score(logits), macs, budget * BACKBONE)
    most = outcome(logits, labels, macs, exact)["macs"]
    spent = frame.loc["validation", "macs"]
    assert spent <= budget * BACKBONE
    # from one spread threshold to the next a thousandth of the scores is passed; equals move together
    assert spent >= most - 90.0 * (exits - 1) / 1000 * 2 - 1e-9


def test_thresholds_for_budgets_are_the_even_ones_and_those_spread_over_the_scores():
    logits = sure(3)[0]
    found = budget_thresholds(logits)
    assert set(np.linspace(0, 1, 100)) <= set(found)
    assert (np.diff(found) > 0).all()
    assert (found > 0.9899).sum() > 100
    np.testing.assert_array_equal(
        budget_thresholds(logits[:1]), np.union1d(np.linspace(0, 1, 100), np.linspace(0, 1, 1000))
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_are_refused_on_either_side(value):
    whole, labels = make(0)
    broken = whole.clone()
    broken[0, 3, 1] = value
    for validation, test in ((broken, whole), (whole, broken)):
        with pytest.raises(SettingError, match="logits"):
            budget_table(validation, labels, test, labels, MACS, BACKBONE)


def test_one_exit_costs_what_it_costs():
    logits, labels = make(1, exits=1)
    frame = budget_table(logits, labels, logits, labels, [100.0], BACKBONE, budgets=[0.5, 1.0]).set_index("choice")
    assert frame.loc["validation", "macs"].tolist()[1:] == [100.0]
    assert math.isnan(frame.loc["validation", "macs"].iloc[0])


# --- solve: MSDNet's budgeted batch


def test_solve_by_hand():
    # cost 1, 2, 3 and budget 2 give q = 1: a third at each exit. Six samples: two leave at each.
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.1, 0.1, 0.2, 0.3, 0.4, 0.5], [0.0] * 6])
    thresholds = solve(scores, [1, 2, 3], 2.0)
    assert thresholds.tolist() == pytest.approx([0.7, 0.3, 0.0])
    assert exit_taken(scores, thresholds).tolist() == [0, 0, 2, 2, 1, 1]


@given(seed=st.integers(0, 1000), budget=st.floats(20, 120), ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_solved_thresholds_keep_to_the_budget_on_validation(seed, budget, ties):
    scores = torch.rand(3, 57, generator=torch.Generator().manual_seed(seed)) * 0.98 + 0.01
    scores = (scores * 8).ceil() / 8 if ties else scores
    taken = exit_taken(scores, solve(scores, MACS, budget))
    cost = np.array(MACS)[taken].mean()
    assert cost <= budget * (1 + 1e-9)
    if not ties:  # one sample more at each exit would have been too many
        assert cost >= min(budget, MACS[-1]) - 2 * (MACS[-1] - MACS[0]) / 57


def slow_solve(scores, shares):
    """Thresholds by sorting and counting, for given shares and scores without ties."""
    samples = scores.shape[1]
    inside, thresholds, left = list(range(samples)), [], 0
    for k in range(len(shares) - 1):
        number = math.ceil(sum(shares[: k + 1]) * samples - 1e-9) - left
        ranked = sorted(inside, key=lambda n: -scores[k, n].item())
        thresholds.append(scores[k, ranked[number]].item() if number else 1.0)
        inside, left = ranked[number:], left + number
    return [*thresholds, 0.0]


@pytest.mark.parametrize("q", [0.3, 1.0, 2.5])
def test_solve_equals_its_slow_twin(q):
    shares = np.array([1, q, q**2]) / (1 + q + q**2)
    scores = torch.rand(3, 200, generator=torch.Generator().manual_seed(1))
    assert solve(scores, MACS, float(shares @ np.array(MACS))).tolist() == slow_solve(scores, shares.tolist())


def test_solve_at_the_ends():
    scores = torch.rand(3, 20) * 0.9 + 0.05
    assert exit_taken(scores, solve(scores, MACS, math.inf)).tolist() == [2] * 20
    assert exit_taken(scores, solve(scores, MACS, MACS[0])).tolist() == [0] * 20
    assert solve(scores[:1], [5.0], 5.0).tolist() == [0.0]
    with pytest.raises(SettingError, match="at least the first exit's 20, got 10"):
        solve(scores, MACS, 10.0)
    with pytest.raises(SettingError, match="NaN"):
        solve(scores * float("nan"), MACS, 50.0)


def test_solved_thresholds_apply_to_test():
    validation, test = make(7, samples=2000), make(8, samples=2000)
    result = outcome(*test, MACS, solve(score(validation[0]), MACS, 60.0))
    assert result["macs"] == pytest.approx(60.0, rel=0.05)
    assert 0.5 < result["accuracy"] <= 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone_macs": 0.0}, "backbone_macs: "),
        ({"budgets": ()}, "budgets: "),
        ({"budgets": (0.5, -1.0)}, "budgets: "),
        ({"budgets": (math.nan,)}, "budgets: "),
        ({"macs": [3, 2, 1]}, "macs: "),
        ({"rule": "patience"}, "rule: 'patience' is not known"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    with pytest.raises(SettingError, match=message):
        budget_table(*make(0), *make(1), **({"macs": MACS, "backbone_macs": BACKBONE} | change))


def test_choose_threshold_names_what_is_wrong():
    with pytest.raises(SettingError, match="budget_macs"):
        choose_threshold(curve(*make(0), MACS), 0.0)
    with pytest.raises(SettingError, match="lacks the columns threshold"):
        choose_threshold(curve(*make(0), MACS).drop(columns="threshold"), 10.0)
