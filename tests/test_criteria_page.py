"""The frames of the page on exit criteria, on runs whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from test_inference import make

from companion.pages import criteria
from eecore import inference
from eecore.inference import exit_rules, make_rule
from eecore.training import Result, Run, Store


class FourExits(Result):
    """Of a network that nobody has built."""

    macs = (10, 25, 40, 70)
    backbone_macs = 65


@pytest.fixture
def fake(tmp_path):
    """A run of four exits, of random logits."""

    def make_run(seed=0):
        run = Run(dataset="digits", model="mlp_nano", regime="joint", seed=seed)
        (validation, labels), (test, right) = make(seed, 4, 80, 5), make(seed + 50, 4, 60, 5)
        return FourExits(run, "", Store(tmp_path), validation, test, labels, right, {})

    return make_run


def frame(gains, regimes=("joint", "mixed")):
    """A frame as from `measured`: rule a has 0.5, rule b `gains[regime]` more, the same in each of three seeds."""
    rows = [
        {"dataset": "d", "model": model, "regime": regime, "seed": seed, "rule": rule, "area": area + 0.01 * seed}
        for model in ("m", "n")
        for regime in regimes
        for seed in range(3)
        for rule, area in (("a", 0.5), ("b", 0.5 + gains[regime] + 0.001 * seed))
    ]
    return pd.DataFrame(rows)


def test_measured_is_curve_area_and_outcome_at_the_exact_threshold(fake):
    run = fake()
    found = criteria.measured([run], list(exit_rules()), 0.6).set_index("rule")
    assert list(found.index) == list(exit_rules())
    for name in ("confidence", "votes", "ensemble"):
        rule = make_rule(name, run.validation_logits, run.validation_labels)
        limits = inference.spread_thresholds(run.validation_logits, rule, 200)
        points = inference.curve(run.test_logits, run.test_labels, run.macs, rule, limits)
        assert found.loc[name, "area"] == pytest.approx(inference.area_under_curve(points, 65.0))
        score = inference.score(run.validation_logits, rule)
        threshold = inference.threshold_for_macs(score, run.macs, 0.6 * 65)
        expected = inference.outcome(run.test_logits, run.test_labels, run.macs, threshold, rule)
        assert found.loc[name, "accuracy"] == pytest.approx(expected["accuracy"])
        assert found.loc[name, "cost"] == pytest.approx(expected["macs"] / 65)
    assert found.loc["caching", "cost"] == found.loc["confidence", "cost"]


def test_a_budget_below_the_first_exit_has_no_accuracy(fake):
    found = criteria.measured([fake()], ["confidence"], 0.1)
    assert found[["accuracy", "cost"]].isna().all(axis=None)
    assert found["area"].notna().all()


def test_gains_and_pairs_by_hand():
    both = frame({"joint": 0.02, "mixed": 0.04})
    gain = criteria.against(both, "area", "a")
    assert gain["regime"].tolist() == ["joint", "mixed"]
    np.testing.assert_allclose(gain["mean"], [0.021, 0.041])
    assert (gain["n"] == 2).all()  # models, not seeds
    overall = criteria.against(both, "area", "a", ["rule"])
    np.testing.assert_allclose(overall["mean"], [0.031])
    under = criteria.pairs_by_rule(both, "area", [("mixed", "joint")])
    np.testing.assert_allclose(under.set_index("rule")["mean"], [0.0, 0.02], atol=1e-12)
    assert under["told"].tolist() == [False, True]


def test_verdicts_are_counted():
    opposite = frame({"joint": 0.0, "mixed": 0.0})
    mixed = opposite["regime"] == "mixed"
    opposite.loc[mixed & (opposite["rule"] == "a"), "area"] += 0.1
    opposite.loc[mixed & (opposite["rule"] == "b"), "area"] -= 0.1
    kept = criteria.kept_verdicts(opposite, "area", [("mixed", "joint")], "a")
    assert kept.to_dict("records") == [{"rule": "b", "same": 0, "opposite": 2, "of": 2}]
    same = criteria.kept_verdicts(frame({"joint": 0.1, "mixed": 0.1}), "area", [("mixed", "joint")], "a")
    assert same.to_dict("records") == [{"rule": "b", "same": 2, "opposite": 0, "of": 2}]


def test_promises_are_those_of_the_library_seen_on_test(fake):
    run = fake(3)
    found = criteria.promised([run], "margin", "lost", 0.2, 0.1).set_index("promise")
    assert list(found.index) == [*inference.BOUNDS, "in the mean"]
    one = inference.controlled(run.validation_logits, run.validation_labels, 0.2, 0.1, "margin", "lost")
    assert found.loc["binomial", "threshold"] == one.threshold
    lost = inference.losses_at(run.test_logits, run.test_labels, [one.threshold], "margin", "lost")
    assert found.loc["binomial", "risk"] == pytest.approx(float(lost.double().mean()))
    strict = criteria.promised([run], "margin", "error", 0.01, 0.05)
    assert strict[["threshold", "risk", "cost", "drop"]].isna().all(axis=None)


def test_a_rehearsal_keeps_the_promise_and_depends_on_nothing_but_the_seed(fake):
    run = fake(5)
    found = criteria.rehearsed([run], "confidence", "lost", 0.15, 0.2, 500)
    pd.testing.assert_frame_equal(found, criteria.rehearsed([run], "confidence", "lost", 0.15, 0.2, 500))
    bounded = found[found["promise"] != "in the mean"]
    assert (bounded["broken"] <= 0.2 + 4 * np.sqrt(0.2 * 0.8 / 500)).all()
    assert (found["mean_risk"] <= 0.15).all()


def test_every_rule_is_described():
    table = criteria.described(list(exit_rules()))
    assert table["rule"].tolist() == list(exit_rules())
    assert table.set_index("rule").loc["gate", "fitted"] == "on validation"
    assert table.map(bool).all(axis=None)
