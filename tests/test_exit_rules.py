"""Exit rules that remember, combine or were fitted: against plain loops, by hand, and in a network that runs."""

import itertools
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from test_inference import MACS, make

from eecore.errors import SettingError
from eecore.inference import (
    Agreement,
    Caching,
    GeometricEnsemble,
    Judgement,
    LearnedGate,
    ProductOfExperts,
    area_under_curve,
    budget_table,
    curve,
    exit_rules,
    exit_taken,
    judge,
    make_rule,
    outcome,
    patience,
    protocol,
    regression_curve,
    rules,
    score,
    solve,
    spread_thresholds,
    votes,
)
from eecore.inference.rules import score_and_prediction

A, B, C = [2.0, 0.0, -1.0], [0.0, 2.0, -1.0], [-1.0, 0.0, 2.0]
OBJECTS = [name for name in exit_rules() if name not in rules()]


def made(name, seed=0, exits=4, samples=60, classes=5):
    """A rule of that name for such logits, fitted on some."""
    return make_rule(name, *make(seed + 1000, exits, samples, classes))


def path(*logits):
    """Logits of one sample at successive exits, (K, 1, C)."""
    return torch.tensor(logits)[:, None]


# --- by hand


def test_patience_by_hand():
    scores, answers = judge(path(A, A, B, B, B), patience(5))
    assert scores[:, 0].tolist() == pytest.approx([1 / 5, 2 / 5, 1 / 5, 2 / 5, 3 / 5])
    assert torch.equal(answers, path(A, A, B, B, B))
    leaves_at = [int(exit_taken(scores, patience(5, t).threshold)) for t in range(1, 6)]
    assert leaves_at == [0, 1, 4, 4, 4]


def test_votes_by_hand():
    scores, answers = judge(path(A, B, A, C, B), votes(5))
    assert scores[:, 0].tolist() == pytest.approx([1 / 5, 1 / 5, 2 / 5, 2 / 5, 2 / 5])
    # one vote each after exit 2: the exit's own class; two of A and two of B after exit 5: again its own
    assert answers.argmax(dim=2)[:, 0].tolist() == [0, 1, 0, 0, 1]


def test_a_product_is_the_normalised_product_of_probabilities():
    logits, _ = make(3, exits=3, samples=7, classes=4)
    p = logits.double().softmax(dim=2)
    expected = p.cumprod(dim=0) / p.cumprod(dim=0).sum(dim=2, keepdim=True)
    scores, answers = judge(logits, ProductOfExperts())
    np.testing.assert_allclose(answers.double().softmax(dim=2), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores, expected.amax(dim=2), rtol=1e-5)


def test_a_product_of_relu_experts_by_hand():
    scores, answers = judge(path([3.0, 1.0, -1.0], [2.0, 4.0, 5.0]), ProductOfExperts("relu", 2))
    first = np.array([3.0**0.5, 1.0, 0.0])
    second = first * np.array([2.0, 4.0, 5.0])  # the third class was denied by exit 1 and stays out
    for k, expected in enumerate((first, second)):
        np.testing.assert_allclose(answers[k, 0].softmax(dim=0), expected / expected.sum(), rtol=1e-5)
        assert scores[k, 0] == pytest.approx(expected.max() / expected.sum(), rel=1e-5)


def test_relu_experts_that_deny_everything_leave_the_answer_to_the_exits_softmax():
    scores, answers = judge(path([1.0, 0.0, 0.0], [-1.0, 0.5, -2.0], [1.0, 0.2, 0.3]), ProductOfExperts("relu", 3))
    own = torch.tensor([-1.0, 0.5, -2.0]).softmax(dim=0)
    assert scores[1, 0] == pytest.approx(float(own[1]))  # classes 2 and 3 were denied before, class 1 now
    assert scores[2, 0] == pytest.approx(1.0)  # the product before that exit goes on: only class 1 is left
    assert answers.isfinite().all()


def test_caching_keeps_the_surest_answer():
    sure, less = [3.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    scores, answers = judge(path(less, sure, less), Caching())
    assert answers[:, 0].tolist() == [less, sure, sure]
    assert scores[2, 0] == scores[1, 0] > scores[0, 0]


def test_an_ensemble_by_hand():
    rule = GeometricEnsemble(torch.tensor([[1.0, 0.0], [0.5, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)]]))
    logits = path([math.log(4.0), 0.0], [0.0, math.log(2.0)])  # p = (4/5, 1/5), then (1/3, 2/3)
    scores, answers = judge(logits, rule)
    product = np.array([0.8**0.5 * (1 / 3) ** 2, 3 * 0.2**0.5 * (2 / 3) ** 2])
    np.testing.assert_allclose(answers[1, 0].softmax(dim=0), product / product.sum(), rtol=1e-5)
    assert scores[:, 0].tolist() == pytest.approx([0.8, product.max() / product.sum()])


def test_a_gate_by_hand():
    rule = LearnedGate(torch.tensor([[1.0, -2.0, 0.5, 0.25]]))
    p = np.array([0.75, 0.25])
    z = p.max() - 2 * -(p * np.log(p)).sum() + 0.5 * 0.5 + 0.25
    scores, answers = judge(path([math.log(3.0), 0.0]), rule)
    assert scores[0, 0] == pytest.approx(1 / (1 + math.exp(-z)), rel=1e-5)
    assert answers[0, 0].tolist() == pytest.approx([math.log(3.0), 0.0])


# --- slow twins


def slow_counts(logits, in_a_row):
    """Scores of patience or votes, sample by sample."""
    exits, samples, _ = logits.shape
    found = np.zeros((exits, samples))
    for n in range(samples):
        said = [int(z.argmax()) for z in logits[:, n]]
        for k in range(exits):
            so_far = said[: k + 1]
            run = len(list(itertools.takewhile(lambda c, own=said[k]: c == own, reversed(so_far))))
            found[k, n] = (run if in_a_row else max(Counter(so_far).values())) / exits
    return found


@given(seed=st.integers(0, 1000), exits=st.integers(1, 6), classes=st.integers(2, 5), samples=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_counts_are_those_of_a_plain_loop(seed, exits, classes, samples):
    logits, _ = make(seed, exits, samples, classes)
    np.testing.assert_allclose(judge(logits, patience(exits))[0], slow_counts(logits, True), rtol=1e-6)
    np.testing.assert_allclose(judge(logits, votes(exits))[0], slow_counts(logits, False), rtol=1e-6)


@pytest.mark.parametrize("name", OBJECTS)
def test_curve_outcome_budgets_and_areas_work_with_every_rule(name):
    """Against `exit_taken` on the rule's own scores and answers, threshold by threshold."""
    rule, (logits, labels) = made(name), make(5, 4, 80, 5, torch.float16)
    macs, limits = MACS[:4], np.linspace(0, 1, 23)
    scores, answers = judge(logits, rule)
    points = curve(logits, labels, macs, rule, limits)
    for limit, point in zip(limits, points.itertuples(), strict=True):
        taken = exit_taken(scores, float(limit))
        right = answers.argmax(dim=2).gather(0, taken[None])[0] == labels
        assert point.accuracy == pytest.approx(float(right.double().mean()))
        assert point.macs == pytest.approx(float(np.asarray(macs)[taken].mean()))
        one = outcome(logits, labels, macs, float(limit), rule)
        assert one == pytest.approx({"accuracy": point.accuracy, "macs": point.macs})
    assert 0.0 <= area_under_curve(points, 70.0) <= 1.0
    table = budget_table(logits, labels, logits, labels, macs, 70.0, rule, budgets=[0.5, 1.0])
    ours = table[table["choice"] == "validation"]
    assert (ours["macs"] <= 70.0 * ours["budget"]).all()  # validation is test here
    each = solve(score(logits, rule), macs, 30.0)
    assert outcome(logits, labels, macs, each, rule)["macs"] <= 30.0 + 1e-9
    spread = spread_thresholds(logits, rule, 10)
    assert (np.diff(spread) >= 0).all()
    assert (spread[0], spread[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("name", OBJECTS)
def test_a_rule_judges_samples_one_by_one_and_looks_at_no_later_exit(name):
    rule, (logits, _) = made(name), make(7, 4, 30, 5)
    scores, answers = judge(logits, rule)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    permuted = judge(logits[:, order], rule)
    assert torch.equal(permuted[0], scores[:, order])
    assert torch.equal(permuted[1], answers[:, order])
    changed = logits.clone()
    changed[2:] = changed[2:].flip(2) * 3
    early = judge(changed, rule)
    assert torch.equal(early[0][:2], scores[:2])
    assert torch.equal(early[1][:2], answers[:2])
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", OBJECTS)
def test_judging_part_by_part_gives_the_same_bits(name, monkeypatch):
    rule, (logits, _) = made(name), make(3, 4, 2500, 5)
    whole = judge(logits, rule)
    monkeypatch.setattr(protocol, "PART_ELEMENTS", 1)
    parts = judge(logits, rule)
    assert torch.equal(whole[0], parts[0])
    assert torch.equal(whole[1], parts[1])
    scores, predictions = score_and_prediction(logits, rule)
    assert torch.equal(scores, whole[0])
    assert torch.equal(predictions, whole[1].argmax(2))


@pytest.mark.parametrize("name", OBJECTS)
def test_extreme_logits_give_scores(name):
    extreme = torch.tensor([[60000.0, -60000.0, 0.0, 0.0, 0.0], [0.0] * 5, [-60000.0, 60000.0, 0.0, 0.0, 0.0]])
    scores, answers = judge(torch.stack([extreme, extreme.flip(0), extreme, extreme]), made(name))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert answers.isfinite().all()


def test_caching_sends_everyone_where_confidence_does_and_changes_only_answers_of_the_last_exit():
    logits, _ = make(11, 4, 200, 5)
    scores, answers = judge(logits, Caching())
    plain = score(logits)
    for threshold in (0.0, 0.3, 0.6, 0.9, 1.0):
        taken = exit_taken(scores, threshold)
        assert torch.equal(taken, exit_taken(plain, threshold))
        early = taken < 3
        own = logits[taken, torch.arange(200)]
        assert torch.equal(answers[taken, torch.arange(200)][early], own[early])


# --- fitting


def test_an_ensemble_is_fitted_to_a_minimum_and_always_to_the_same():
    logits, labels = make(20, 3, 150, 4)
    rule = GeometricEnsemble.fit(logits, labels, ridge=0.01)
    again = GeometricEnsemble.fit(logits, labels, ridge=0.01)
    assert torch.equal(rule.weights, again.weights)
    assert torch.equal(rule.bias, again.bias)

    def loss(w, b, k):
        z = (w[: k + 1, None, None] * logits[: k + 1].double().log_softmax(2)).sum(0) + b
        alone = torch.zeros(k + 1).index_fill(0, torch.tensor([k]), 1.0)
        penalty = 0.01 * (((w[: k + 1] - alone) ** 2).sum() + (b**2).sum())
        return float(torch.nn.functional.cross_entropy(z, labels) + penalty)

    generator = torch.Generator().manual_seed(0)
    for k in range(3):
        best = loss(rule.weights[k].double(), rule.bias[k].double(), k)
        for _ in range(50):
            w = (rule.weights[k] + 0.05 * torch.randn(3, generator=generator)).clamp(min=0).double()
            b = (rule.bias[k] + 0.05 * torch.randn(4, generator=generator)).double()
            assert loss(w, b, k) >= best - 1e-7


def test_an_ensemble_finds_that_only_one_exit_knows():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(4, (400,), generator=generator)
    knows = 3 * torch.nn.functional.one_hot(labels, 4) + torch.randn(400, 4, generator=generator)
    noise = torch.randn(400, 4, generator=generator) * 3
    rule = GeometricEnsemble.fit(torch.stack([knows, noise]), labels)
    assert rule.weights[1, 0] > 5 * rule.weights[1, 1]
    right = judge(torch.stack([knows, noise]), rule)[1].argmax(dim=2) == labels
    assert right[1].float().mean() > right[0].float().mean() - 0.02


def test_a_gate_is_the_logistic_regression_of_scikit_learn():
    logits, labels = make(30, 3, 300, 4)
    logits[1:] += 2 * torch.nn.functional.one_hot(labels, 4)
    rule = LearnedGate.fit(logits, labels, ridge=0.01)
    assert torch.equal(rule.weights, LearnedGate.fit(logits, labels, ridge=0.01).weights)
    p = logits.double().softmax(dim=2)
    top = p.topk(2, dim=2).values
    right = logits.argmax(dim=2) == labels
    for k in range(2):
        features = [top[k, :, 0], -(p[k] * p[k].log()).sum(dim=1), top[k, :, 0] - top[k, :, 1], torch.ones(300)]
        target = (right[k] | ~right[-1]).numpy()
        oracle = LogisticRegression(C=1 / (300 * 0.01), fit_intercept=False, tol=1e-10, max_iter=1000)
        oracle.fit(torch.stack(features, dim=1).numpy(), target)
        np.testing.assert_allclose(rule.weights[k], oracle.coef_[0], atol=2e-3)


def test_a_gate_lets_go_who_loses_nothing():
    logits, labels = make(31, 3, 500, 4)
    ease = torch.linspace(0, 8, 500)[:, None]  # easy samples are sure and right at every exit
    logits += ease * torch.tensor([1.0, 1.5, 2.0])[:, None, None] * torch.nn.functional.one_hot(labels, 4)
    rule = LearnedGate.fit(logits, labels)
    right = logits.argmax(dim=2) == labels
    target = right | ~right[-1]
    scores = score(logits, rule)
    assert scores[0][target[0]].mean() > scores[0][~target[0]].mean() + 0.05
    np.testing.assert_allclose(scores[0].mean(), target[0].float().mean(), atol=0.02)  # of its intercept
    assert (scores[-1] > 0.9).all()  # at the last exit nothing is lost, whatever the sample


# --- wrong inputs

WRONG = {
    "patience that cannot be met": (lambda: patience(2, 5), r"times: 'patience' of 5 cannot be met by 2 exits"),
    "no times": (lambda: patience(2, 0), r"times: 'patience' of 0 .*allowed: 1 to 2"),
    "true times": (lambda: votes(3, True), r"times: 'votes' of True cannot"),
    "no exits": (lambda: votes(0), r"exits: expected the number of exits of the network, got 0"),
    "another count": (lambda: Agreement("patients", 3), r"name: 'patients' is not known; did you mean 'patience'"),
    "threshold of none": (lambda: patience(3).threshold, r"times: 'patience' was made without"),
    "a gate that was never fitted": (lambda: LearnedGate(), r"gate: was never fitted; make it with LearnedGate.fit"),
    "gate weights": (lambda: LearnedGate(torch.zeros(3, 5)), r"gate: expected \(exits, 4\) finite weights, got \(3, 5"),
    "gate nan": (lambda: LearnedGate(torch.full((3, 4), torch.nan)), r"gate: expected"),
    "ensemble length": (
        lambda: GeometricEnsemble(torch.eye(3), torch.zeros(2, 4)),
        r"weights, bias: expected \(exits, exits\) and \(exits, classes\), got \(3, 3\) and \(2, 4\)",
    ),
    "ensemble weights": (lambda: GeometricEnsemble(torch.ones(3, 2), torch.zeros(3, 4)), r"got \(3, 2\) and"),
    "ensemble sign": (lambda: GeometricEnsemble(-torch.eye(3), torch.zeros(3, 4)), r"no weight below 0"),
    "ensemble future": (lambda: GeometricEnsemble(torch.ones(2, 2), torch.zeros(2, 4)), r"of an exit still to come"),
    "ridge": (lambda: GeometricEnsemble.fit(*make(0), ridge=0.0), r"ridge: expected a number above 0, got 0.0"),
    "gate ridge": (lambda: LearnedGate.fit(*make(0), ridge=-1.0), r"ridge: expected a number above 0"),
    "expert": (lambda: ProductOfExperts("softmaxx"), r"expert: 'softmaxx' is not known; did you mean 'softmax'"),
    "relu exits": (lambda: ProductOfExperts("relu"), r"exits: the expert 'relu' needs the number of exits"),
    "name": (lambda: make_rule("patienc", *make(0)), r"rule: 'patienc' is not known; did you mean 'patience'"),
    "other task": (lambda: make_rule("variance", *make(0)), r"rule: 'variance' is for regression"),
    "labels": (lambda: make_rule("gate", make(0)[0], torch.full((40,), 7)), r"labels: expected 0 to 4, got 7 to 7"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_fail_when_the_rule_is_made(case):
    call, said = WRONG[case]
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["patience", "votes", "gate", "ensemble"])
def test_a_rule_of_another_network_is_refused(name):
    with pytest.raises(SettingError, match=r"(2|5)") as caught:
        score(make(0, exits=2)[0], made(name, exits=4))
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingError, match=r"made for 4 exits|fitted for 4 exits|4 and 5 exits and classes"):
        curve(*make(0, exits=2), [1.0, 2.0], made(name, exits=4))


def test_a_rule_of_classification_is_refused_for_regression_and_the_other_way_round():
    outputs = torch.zeros(3, 5, 1)
    with pytest.raises(SettingError, match=r"rule: 'patience' is for classification; regression has difference"):
        regression_curve(outputs, torch.zeros(5), MACS[:3], patience(3))
    with pytest.raises(SettingError, match="use regression_curve"):
        judge(outputs, patience(3))


def test_logits_that_are_no_numbers_and_scores_that_are_none_are_refused():
    class Off:
        name = "off"

        def check(self, exits, classes):
            pass

        def step(self, logits, k, memory):
            return Judgement(torch.full((len(logits),), 1.5), logits)

    with pytest.raises(SettingError, match=r"rule: 'off' must give scores in \[0, 1\], got 1.5"):
        score(make(0)[0], Off())
    with pytest.raises(SettingError, match="logits: not all finite"):
        score(torch.full((2, 3, 4), torch.nan), Caching())


def test_every_rule_has_a_title_and_a_source_and_can_be_made():
    logits, labels = make(0)
    for name, about in exit_rules().items():
        assert about.title
        assert about.source
        assert name not in about.source
        rule = make_rule(name, logits, labels)
        assert (rule if isinstance(rule, str) else rule.name) == name
        frame = curve(logits, labels, MACS[:3], rule)
        assert isinstance(frame, pd.DataFrame)
        _, answers = judge(logits, rule) if not isinstance(rule, str) else (None, logits)
        changes = bool((answers.argmax(dim=2) != logits.argmax(dim=2)).any())
        assert changes == about.answers, name
