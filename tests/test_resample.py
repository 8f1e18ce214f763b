"""Thresholds from few validation samples: every draw against the functions that know one set of samples alone."""

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
    outcome,
    resampled_budgets,
    score,
    solve,
)
from eecore.inference.budget import solve_draws
from eecore.inference.resample import ONE, PER_EXIT, draws

MACS, BACKBONE = [20.0, 50.0, 110.0], 100.0
BUDGETS = (0.1, 0.25, 0.5, 1.0, math.inf)


def make(seed, samples=60, classes=4, exits=3):
    """Logits whose later exits know more, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=generator)
    signal = torch.nn.functional.one_hot(labels, classes) * torch.arange(1.0, exits + 1)[:, None, None]
    return (signal + torch.randn(exits, samples, classes, generator=generator)).half(), labels


def slow(validation, test, sizes, resamples, budgets, seed, rule):
    """The same numbers, a draw at a time, from curve, solve and outcome."""
    orders, found = draws(len(validation[1]), resamples, seed), {}
    limits = budget_thresholds(validation[0], rule)
    for n in sizes:
        for draw in range(1 if n == len(validation[1]) else resamples):
            chosen = torch.as_tensor(orders[draw, :n])
            part = (validation[0][:, chosen], validation[1][chosen])
            points = curve(*part, MACS, rule, limits)
            for budget in budgets:
                threshold = choose_threshold(points, budget * BACKBONE)
                fits = not math.isnan(threshold)
                one = outcome(*test, MACS, threshold, rule) if fits else dict.fromkeys(("accuracy", "macs"), math.nan)
                found[n, draw, budget, ONE] = (one["accuracy"], one["macs"])
                if budget * BACKBONE < MACS[0]:
                    found[n, draw, budget, PER_EXIT] = (math.nan, math.nan)
                    continue
                thresholds = solve(score(part[0], rule), MACS, budget * BACKBONE)
                many = outcome(*test, MACS, thresholds, rule)
                found[n, draw, budget, PER_EXIT] = (many["accuracy"], many["macs"])
    return found


@pytest.mark.parametrize(("seed", "rule"), [(0, "confidence"), (1, "entropy"), (2, "confidence")])
def test_every_draw_equals_its_slow_twin(seed, rule):
    validation, test, sizes = make(seed), make(seed + 50, samples=45), [1, 7, 30, 60]
    frame = resampled_budgets(validation[0], *test, MACS, BACKBONE, sizes, 5, rule, BUDGETS, seed)
    expected = slow(validation, test, sizes, 5, BUDGETS, seed, rule)
    assert len(frame) == len(expected) == (3 * 5 + 1) * len(BUDGETS) * 2
    for row in frame.itertuples(index=False):
        np.testing.assert_allclose(
            [row.accuracy, row.macs], expected[row.samples, row.draw, row.budget, row.method], rtol=1e-12
        )


def test_all_samples_are_one_draw_and_what_the_budget_table_says():
    validation, test = make(3), make(4)
    frame = resampled_budgets(validation[0], *test, MACS, BACKBONE, [60], 9, budgets=BUDGETS)
    table = budget_table(*validation, *test, MACS, BACKBONE, budgets=BUDGETS)
    own = frame[frame["method"] == ONE]
    assert set(frame["draw"]) == {0}
    columns = ["budget", "threshold", "accuracy", "macs"]
    np.testing.assert_array_equal(own[columns], table.loc[table["choice"] == "validation", columns])


def test_draws_have_no_sample_twice_and_those_of_few_are_part_of_those_of_many():
    orders = draws(30, 200, seed=1)
    assert orders.shape == (200, 30)
    assert (np.sort(orders, axis=1) == np.arange(30)).all()
    counted = np.bincount(orders[:, :10].ravel(), minlength=30)  # each is in a third of the draws of ten
    assert abs(counted - 200 / 3).max() < 5 * math.sqrt(200 * 2 / 9)
    np.testing.assert_array_equal(orders, draws(30, 200, seed=1))
    assert (orders != draws(30, 200, seed=2)).any()


def test_by_hand_with_one_sample():
    # Two exits that cost 1 and 3. A: certain at once (p = 0.9); B: certain only at the end. Budget 1: nobody may stay.
    logits = torch.tensor([[[2.1972, 0.0], [0.4055, 0.0]], [[5.0, 0.0], [5.0, 0.0]]])  # p = 0.9 and 0.6 at exit 1
    test, labels = logits.clone(), torch.tensor([0, 1])  # B is wrong everywhere
    frame = resampled_budgets(logits, test, labels, [1, 3], 3, [1, 2], 40, budgets=[1 / 3, 1.0], seed=0)
    one = frame[(frame["method"] == ONE) & (frame["budget"] == 1 / 3)]
    # from A alone: the largest threshold below 0.9 lets A leave, and B go on: (1 + 3) / 2; from B alone both leave
    assert set(one.loc[one["samples"] == 1, "macs"]) == {2.0, 1.0}
    assert one.loc[one["samples"] == 2, "macs"].tolist() == [1.0]
    assert set(frame.loc[frame["budget"] == 1.0, "macs"]) == {3.0}
    assert set(frame["accuracy"]) == {0.5}


@given(seed=st.integers(0, 500), budget=st.floats(0.2, 1.2))
@settings(max_examples=20, deadline=None)
def test_thresholds_keep_to_the_budget_on_the_samples_they_were_chosen_on(seed, budget):
    validation = make(seed)
    frame = resampled_budgets(*[validation[0]] * 2, validation[1], MACS, BACKBONE, [60], budgets=[budget])
    assert (frame["macs"] <= budget * BACKBONE * (1 + 1e-9)).all()


@pytest.mark.parametrize("ties", [False, True])
def test_solving_many_draws_is_solving_each(ties):
    scores = torch.rand(8, 3, 40, generator=torch.Generator().manual_seed(5)) * 0.98 + 0.01
    scores = (scores * 6).ceil() / 6 if ties else scores
    together = solve_draws(scores, np.array([0.5, 0.3, 0.2]))
    for one, thresholds in zip(scores, together, strict=True):
        torch.testing.assert_close(solve_draws(one[None], np.array([0.5, 0.3, 0.2]))[0], thresholds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [0]}, "sizes: expected integers from 1 to the 60 samples that there are, got \\[0\\]"),
        ({"sizes": [61]}, "sizes: .*got \\[61\\]"),
        ({"sizes": []}, "sizes: .*got \\[\\]"),
        ({"resamples": 0}, "resamples: expected an integer of at least 1, got 0"),
        ({"rule": "patience"}, "rule: 'patience' is not known"),
        ({"macs": [3, 2, 1]}, "macs: "),
    ],
)
def test_wrong_arguments_are_named(change, message):
    given = {"macs": MACS, "backbone_macs": BACKBONE, "sizes": [5], "resamples": 2, **change}
    with pytest.raises(SettingError, match=message):
        resampled_budgets(make(0)[0], *make(1), **given)
