"""Many budgets at once against one after the other, and the exact threshold for a mean cost against all thresholds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference import MACS, make

from eecore.errors import SettingError
from eecore.inference import budgeted_batch, exit_taken, outcome, patience, score, solve, threshold_for_macs


def mean_cost(scores, macs, threshold):
    return float(np.asarray(macs)[exit_taken(scores, threshold)].mean())


@given(
    seed=st.integers(0, 5000),
    exits=st.integers(1, 5),
    samples=st.integers(1, 30),
    coarse=st.booleans(),
    share=st.floats(0, 1),
)
@settings(max_examples=80, deadline=None)
def test_one_threshold_is_the_largest_that_the_budget_allows(seed, exits, samples, coarse, share):
    """Against every threshold that could make a difference: the scores themselves, 0 and 1."""
    scores = score(make(seed, exits, samples, 3, coarse=coarse)[0], "margin")
    macs = MACS[:exits]
    budget = macs[0] + share * (macs[-1] - macs[0])
    found = threshold_for_macs(scores, macs, budget)
    slack = 1 + 1e-9
    fitting = [t for t in [0.0, 1.0, *scores.flatten().tolist()] if mean_cost(scores, macs, t) <= budget * slack]
    if not fitting:
        assert np.isnan(found)
        return
    assert mean_cost(scores, macs, found) <= budget * slack
    assert mean_cost(scores, macs, found) == mean_cost(scores, macs, max(fitting))  # no threshold spends more of it


def test_one_threshold_by_hand():
    scores = torch.tensor([[0.2, 0.4, 0.4, 0.8], [0.1, 0.9, 0.3, 0.0], [0.0] * 4])
    macs = [1.0, 2.0, 4.0]
    # t < .2: cost 1; [.2, .4): sample 1 goes to the last exit, 7/4; [.4, .8): 2 and 3 too, of whom 2 leaves at exit 2
    assert threshold_for_macs(scores, macs, 1.0) == 0.0
    assert threshold_for_macs(scores, macs, 1.75) == pytest.approx(0.2)
    assert threshold_for_macs(scores, macs, 2.74) == pytest.approx(0.2)
    assert threshold_for_macs(scores, macs, 2.75) == pytest.approx(0.4)
    assert threshold_for_macs(scores, macs, 4.0) == 1.0
    assert threshold_for_macs(scores, macs, float("inf")) == 1.0


def test_scores_of_zero_stay_inside_so_that_the_cheapest_may_not_fit():
    scores = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert np.isnan(threshold_for_macs(scores, [1.0, 2.0], 1.5))


def test_all_budgets_at_once_are_the_budgets_one_by_one():
    validation, _ = make(1, 5, 200, 4, torch.float16)
    test, labels = make(2, 5, 150, 4, torch.float16)
    budgets = [*np.linspace(10.0, 100.0, 39).tolist(), float("inf")]
    for rule in ("confidence", patience(5)):
        frame = budgeted_batch(validation, test, labels, MACS, budgets, rule)
        assert frame["budget"].tolist() == budgets
        for row in frame.itertuples():
            thresholds = solve(score(validation, rule), MACS, row.budget)
            got = [getattr(row, f"threshold_{k + 1}") for k in range(5)]
            assert got == thresholds.tolist()
            expected = outcome(test, labels, MACS, thresholds, rule)
            assert {"accuracy": row.accuracy, "macs": row.macs} == pytest.approx(expected)
            assert sum(getattr(row, f"share_{k + 1}") for k in range(5)) == pytest.approx(1.0)


WRONG = {
    "no budgets": (lambda: budgeted_batch(*BOTH, MACS[:3], []), "budgets: expected .*at least one, got none"),
    "too small": (lambda: budgeted_batch(*BOTH, MACS[:3], [5.0]), "budget_macs: expected at least the first exit's 10"),
    "nan": (lambda: budgeted_batch(*BOTH, MACS[:3], [float("nan")]), "budget_macs: expected at least .*got nan"),
    "one too small": (lambda: threshold_for_macs(torch.ones(2, 3), [1.0, 2.0], 0.5), "budget_macs: expected at least"),
    "shape": (lambda: threshold_for_macs(torch.ones(2, 0), [1.0, 2.0], 1.5), r"validation_score: .*got \(2, 0\)"),
    "no score": (lambda: threshold_for_macs(torch.full((2, 3), torch.nan), [1.0, 2.0], 1.5), "with NaN"),
    "macs": (lambda: threshold_for_macs(torch.ones(2, 3), [1.0], 1.5), "macs: expected 2 numbers"),
}
BOTH = (make(3)[0], *make(4))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_are_one_line(case):
    call, said = WRONG[case]
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
