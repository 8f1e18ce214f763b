"""Risk control: losses by a plain loop, bounds against their formulas, and the guarantees by simulation."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from test_inference import make

from eecore.errors import SettingError
from eecore.inference import BOUNDS, conformal, controlled, exit_taken, losses_at, p_values, score, votes
from eecore.inference.risk import RISKS, conformal_passes, simulated, strictest_first
from eecore.inference.rules import score_and_prediction

LIMITS = np.linspace(1, 0, 60)


def population(seed=0, samples=4000, exits=4, classes=6):
    """Exits that grow better: logits, labels."""
    logits, labels = make(seed, exits, samples, classes)
    ease = torch.rand(samples, 1, generator=torch.Generator().manual_seed(seed)) * 4
    growth = torch.linspace(0.7, 2.0, exits)[:, None, None]
    return logits + growth * ease * torch.nn.functional.one_hot(labels, classes), labels


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("rule", ["entropy", votes(4)])
def test_losses_are_those_of_a_plain_loop(risk, rule):
    logits, labels = population(1, 50)
    scores = score(logits, rule)
    said = score_and_prediction(logits, rule)[1]
    got = losses_at(logits, labels, LIMITS, rule, risk)
    for t, limit in enumerate(LIMITS):
        for n, k in enumerate(exit_taken(scores, float(limit)).tolist()):
            wrong, last_wrong = said[k, n] != labels[n], said[-1, n] != labels[n]
            expected = {
                "error": wrong,
                "inconsistency": said[k, n] != said[-1, n],
                "lost": wrong and not last_wrong,
            }[risk]
            assert got[t, n] == bool(expected)


def test_bounds_are_their_formulas():
    n, epsilon = 40, 0.15
    for count in (0, 3, 6, 20, 40):
        assert p_values(n, epsilon)[count] == pytest.approx(binomtest(count, n, epsilon, "less").pvalue)
        gap = max(0.0, epsilon - count / n)
        assert p_values(n, epsilon, "hoeffding")[count] == pytest.approx(math.exp(-2 * n * gap**2))
    r = 3 / n
    kl = r * math.log(r / epsilon) + (1 - r) * math.log((1 - r) / (1 - epsilon))
    bentkus = math.e * binomtest(3, n, epsilon, "less").pvalue
    assert p_values(n, epsilon, "bentkus")[3] == pytest.approx(min(math.exp(-n * kl), bentkus, 1.0))


@pytest.mark.parametrize("n", [1, 10, 300])
@pytest.mark.parametrize("epsilon", [0.01, 0.2, 0.9])
def test_bounds_grow_with_the_losses_and_the_exact_one_is_the_smallest(n, epsilon):
    for bound in BOUNDS:
        p = p_values(n, epsilon, bound)
        assert p.shape == (n + 1,)
        assert (np.diff(p) >= -1e-12).all()
        assert ((p >= 0) & (p <= 1 + 1e-12)).all()
        assert (p_values(n, epsilon) <= p + 1e-12).all()
    assert (p_values(n, epsilon, "bentkus") <= p_values(n, epsilon, "hoeffding") + 1e-12).all()


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_a_p_value_is_valid_where_the_risk_is_just_epsilon(bound, epsilon):
    """P(p <= delta) <= delta exactly: summed over all counts."""
    n = 150
    chance = np.array([math.comb(n, c) * epsilon**c * (1 - epsilon) ** (n - c) for c in range(n + 1)])
    for delta in (0.01, 0.1, 0.5):
        assert chance[p_values(n, epsilon, bound) <= delta].sum() <= delta + 1e-12


def test_the_sequence_stops_at_the_first_that_fails():
    assert strictest_first(np.array([[True, True, False, True], [False, True, True, True]])).tolist() == [2, 0]


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("bound", BOUNDS)
def test_the_promise_is_kept_in_1_minus_delta_of_1000_resamples(risk, bound):
    """The population's risk is known, so that each resample's threshold can be judged."""
    logits, labels = population(2)
    losses = losses_at(logits, labels, LIMITS, "confidence", risk)
    true = losses.double().mean(dim=1).numpy()
    epsilon = float(np.quantile(true, 0.6))  # between the risks of the strictest and the loosest threshold
    for delta in (0.1, 0.3):
        found = simulated(losses, 300, epsilon, delta, bound, resamples=1000, seed=1)
        # 1000 promises that are broken with probability delta each exceed this once in 1000 tests
        allowed = delta + 3.1 * math.sqrt(delta * (1 - delta) / 1000)
        assert found["broken"].mean() <= allowed
        assert found["place"].nunique() > 3
    assert found["broken"].mean() > 0.02 or bound != "binomial"  # the exact bound is not needlessly careful


@pytest.mark.parametrize("risk", RISKS)
def test_conformal_control_keeps_its_promise_in_the_mean(risk):
    logits, labels = population(3)
    losses = losses_at(logits, labels, LIMITS, "confidence", risk)
    epsilon = float(np.quantile(losses.double().mean(dim=1).numpy(), 0.6))
    found = simulated(losses, 200, epsilon, None, resamples=1000, seed=2)
    error = found["risk"].std() / math.sqrt(1000)
    assert found["risk"].mean() <= epsilon + 3.1 * error
    assert found["risk"].mean() > 0.5 * epsilon


def test_a_naive_threshold_breaks_the_promise_so_that_the_simulation_can_fail():
    logits, labels = population(2)
    losses = losses_at(logits, labels, LIMITS, "confidence", "error")
    true = losses.double().mean(dim=1).numpy()
    epsilon = float(np.quantile(true, 0.6))
    generator, broken = np.random.default_rng(0), []
    for _ in range(300):
        members = generator.integers(0, losses.shape[1], 300)
        passed = int(strictest_first(losses[:, members].double().mean(dim=1).numpy() <= epsilon))
        broken.append(passed > 0 and true[passed - 1] > epsilon)
    assert np.mean(broken) > 0.3


def test_a_simulation_is_the_function_on_each_resample():
    logits, labels = population(4, 500)
    losses = losses_at(logits, labels, LIMITS, "margin", "lost")
    found = simulated(losses, 100, 0.05, 0.2, resamples=5, seed=3)
    members = np.random.default_rng(3).integers(0, 500, (5, 100))
    for row, drawn in zip(found.itertuples(), members, strict=True):
        one = controlled(logits[:, drawn], labels[drawn], 0.05, 0.2, "margin", "lost", thresholds=LIMITS)
        assert row.place == one.tested - 1


def test_a_slow_twin_of_the_whole_way():
    logits, labels = population(5, 400)
    for risk in RISKS:
        passed, rule = [], "confidence"
        for limit in sorted(LIMITS, reverse=True):
            losses = int(losses_at(logits, labels, [limit], rule, risk).sum())
            if binomtest(losses, 400, 0.2, "less").pvalue > 0.1:
                break
            passed.append((limit, losses / 400))
        got = controlled(logits, labels, 0.2, 0.1, rule, risk, thresholds=LIMITS)
        expected = passed[-1] if passed else ((float("nan"),) * 2 if risk == "error" else (1.0, 0.0))
        assert (got.threshold, got.risk) == pytest.approx(expected, nan_ok=True)
        assert got.tested == len(passed)


def test_conformal_by_hand():
    assert conformal_passes(np.array([0, 1, 4]), 9, 0.2).tolist() == [True, True, False]  # (0 + 1) / 10, 2 / 10, 5 / 10
    logits, labels = population(6, 300)
    strict, loose = (conformal(logits, labels, e).threshold for e in (0.02, 0.3))
    assert strict > loose
    assert controlled(logits, labels, 0.1, 0.05).threshold >= conformal(logits, labels, 0.1).threshold


def test_where_nothing_can_be_promised():
    logits, labels = population(7, 20)
    assert np.isnan(controlled(logits, labels, 0.01, 0.05, risk="error").threshold)
    kept = controlled(logits, None, 0.01, 0.05)  # 20 samples cannot show a risk below 1 %, but at 1 it is 0
    assert (kept.threshold, kept.risk, kept.tested) == (1.0, 0.0, 0)


WRONG = {
    "risk": (lambda: controlled(*population(0, 20), 0.1, risk="eror"), "risk: 'eror' is not known; did you mean"),
    "epsilon": (lambda: controlled(*population(0, 20), 0.0), r"n, epsilon: .*\(0, 1\), got 20 and 0.0"),
    "conformal epsilon": (lambda: conformal(*population(0, 20), 1.0), r"epsilon: expected a number in \(0, 1\), got 1"),
    "delta": (lambda: controlled(*population(0, 20), 0.1, delta=1.0), r"delta: expected a number in \(0, 1\), got 1.0"),
    "bound": (lambda: controlled(*population(0, 20), 0.1, bound="bound"), "bound: 'bound' is not known"),
    "labels": (lambda: controlled(population(0, 20)[0], None, 0.1, risk="error"), "labels: the risk 'error' needs"),
    "rule": (lambda: controlled(*population(0, 20), 0.1, rule="variance"), "rule: 'variance' is for regression"),
    "thresholds": (lambda: controlled(*population(0, 20), 0.1, thresholds=[2.0]), "thresholds: expected numbers in"),
    "n": (lambda: p_values(0, 0.1), "n, epsilon: expected 1 or more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_are_one_line(case):
    call, said = WRONG[case]
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
