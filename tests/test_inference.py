"""Leaving: scores, exits and curves against plain loops, hand-worked cases and properties."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eecore.errors import SettingError
from eecore.inference import accuracy_per_exit, area_under_curve, curve, envelope, exit_taken, outcome, rules, score
from eecore.inference.rules import CHUNK_ELEMENTS

MACS = [10.0, 25.0, 40.0, 70.0, 100.0]


def make(seed, exits=3, samples=40, classes=5, dtype=torch.float32, coarse=False):
    """Logits and labels; coarse ones are whole numbers, so that scores tie within and between exits."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(exits, samples, classes, generator=generator) * 2
    logits = logits.round() if coarse else logits
    return logits.to(dtype), torch.randint(0, classes, (samples,), generator=generator)


problems = st.builds(
    make,
    seed=st.integers(0, 10_000),
    exits=st.integers(1, 5),
    samples=st.integers(1, 40),
    classes=st.integers(2, 12),
    dtype=st.sampled_from([torch.float16, torch.float32]),
    coarse=st.booleans(),
)


# --- slow twins


def slow_score(z, rule):
    """One sample's score in double precision, from the definition."""
    weight = [math.exp(v - max(z)) for v in z]
    p = sorted((w / sum(weight) for w in weight), reverse=True)
    if rule == "confidence":
        return p[0]
    if rule == "margin":
        return p[0] - p[1]
    return 1 + sum(v * math.log(v) for v in p if v > 0) / math.log(len(p))


def slow_curve(logits, labels, macs, rule, thresholds):
    """Every threshold, every sample, every exit in plain loops."""
    scores, rows = score(logits, rule), []
    exits, samples, _ = logits.shape
    for threshold in thresholds:
        limit, right, cost, counts = np.float32(threshold), 0, 0.0, [0] * exits
        for n in range(samples):
            k = 0
            while k < exits - 1 and not scores[k, n].numpy() > limit:
                k += 1
            counts[k] += 1
            cost += macs[k]
            right += int(logits[k, n].float().argmax() == labels[n])
        rows.append([threshold, right / samples, cost / samples, *(count / samples for count in counts)])
    names = ["threshold", "accuracy", "macs", *(f"share_{k + 1}" for k in range(exits))]
    return pd.DataFrame(rows, columns=names)


# --- score


@pytest.mark.parametrize("rule", rules())
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_score_is_its_definition(rule, dtype):
    logits, _ = make(0, exits=3, samples=50, classes=7, dtype=dtype)
    expected = [[slow_score(z.tolist(), rule) for z in exit_] for exit_ in logits]
    got = score(logits, rule)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


def test_scores_worked_by_hand():
    logits = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0], [200.0, 0.0]]])  # p = (3/4, 1/4), (1/2, 1/2), (1, 0)
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    np.testing.assert_allclose(score(logits, "confidence")[0], [0.75, 0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(score(logits, "entropy")[0], [1 - entropy, 0.0, 1.0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(score(logits, "margin")[0], [0.5, 0.0, 1.0], rtol=1e-6)


def test_a_score_spans_chunks_and_leaves_its_input_alone():
    classes = 100
    logits, _ = make(1, exits=2, samples=CHUNK_ELEMENTS // classes + 17, classes=classes)
    before = logits.clone()
    expected = torch.softmax(logits.double(), dim=-1).amax(dim=-1)
    np.testing.assert_allclose(score(logits), expected, rtol=1e-5)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("rule", rules())
def test_extreme_logits_stay_in_the_unit_interval(rule):
    logits = torch.tensor([[[60000.0, -60000.0, 0.0], [0.0, 0.0, 0.0], [1e-7, 0.0, 0.0]]])
    got = score(logits, rule)
    assert ((got >= 0) & (got <= 1)).all()


@given(problem=problems, rule=st.sampled_from(rules()), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_a_permutation_of_samples_changes_nothing(problem, rule, seed):
    logits, labels = problem
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    macs = MACS[: len(logits)]
    assert torch.equal(score(logits, rule)[:, order], score(logits[:, order], rule))
    pd.testing.assert_frame_equal(
        curve(logits, labels, macs, rule), curve(logits[:, order], labels[order], macs, rule), check_exact=True
    )


# --- exit_taken


def test_exits_worked_by_hand():
    scores = torch.tensor([[0.9, 0.5, 0.2, 0.6], [0.1, 0.5001, 0.3, 0.9], [0.0, 0.0, 0.0, 0.0]])
    assert exit_taken(scores, 0.5).tolist() == [0, 1, 2, 0]  # 0.5 is not strictly above 0.5
    assert exit_taken(scores, 0.0).tolist() == [0, 0, 0, 0]
    assert exit_taken(scores, 1.0).tolist() == [2, 2, 2, 2]
    assert exit_taken(scores, [0.95, 0.2, 1.0]).tolist() == [2, 1, 1, 1]


def test_a_threshold_is_compared_in_the_type_of_the_score():
    scores = torch.tensor([[0.1], [0.0]])  # float32(0.1) > 0.1 in double precision
    assert exit_taken(scores, 0.1).item() == 1
    assert exit_taken(scores, float(np.nextafter(np.float32(0.1), np.float32(0)))).item() == 0


def test_nobody_reaches_the_threshold_and_batch_of_one():
    assert exit_taken(torch.full((4, 3), 0.2), 0.9).tolist() == [3, 3, 3]
    assert exit_taken(torch.full((4, 1), 0.2), 0.9).tolist() == [3]
    assert exit_taken(torch.tensor([[0.0, 0.3]]), 1.0).tolist() == [0, 0]


def test_exit_taken_does_not_write_to_its_input():
    scores = torch.full((3, 2), 0.4)
    exit_taken(scores, 0.5)
    assert (scores == 0.4).all()


# --- curve


@given(
    problem=problems,
    rule=st.sampled_from(rules()),
    thresholds=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    ties=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_curve_equals_its_slow_twin_exactly(problem, rule, thresholds, ties):
    logits, labels = problem
    macs = MACS[: len(logits)]
    if ties:  # thresholds that are scores themselves: the edge decides
        thresholds = thresholds + score(logits, rule).flatten()[:5].double().tolist()
    got = curve(logits, labels, macs, rule, thresholds)
    pd.testing.assert_frame_equal(got, slow_curve(logits, labels, macs, rule, thresholds), check_exact=True)


@given(problem=problems, rule=st.sampled_from(rules()))
@settings(max_examples=60, deadline=None)
def test_ends_and_growth_of_the_curve(problem, rule):
    logits, labels = problem
    macs, exits = MACS[: len(logits)], len(logits)
    frame, per_exit = curve(logits, labels, macs, rule), accuracy_per_exit(logits, labels)
    assert len(frame) == 100
    assert (frame["threshold"].iloc[0], frame["threshold"].iloc[-1]) == (0.0, 1.0)
    assert (frame["macs"].diff().dropna() >= 0).all()
    shares = frame[[f"share_{k + 1}" for k in range(exits)]]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares @ np.array(macs), frame["macs"])
    assert frame["accuracy"].iloc[-1] == per_exit[-1]
    assert frame["macs"].iloc[-1] == macs[-1]
    if (score(logits, rule)[0] > 0).all():
        assert frame["accuracy"].iloc[0] == per_exit[0]
        assert frame["macs"].iloc[0] == macs[0]


def test_curve_worked_by_hand():
    sure, unsure = [math.log(9.0), 0.0], [math.log(1.5), 0.0]  # confidence 0.9 and 0.6, both say class 0
    logits = torch.tensor([[sure, unsure, unsure], [unsure, sure, [0.0, math.log(1.5)]]])
    frame = curve(logits, torch.tensor([0, 1, 1]), [10, 30], thresholds=[0.0, 0.7, 1.0])
    assert frame["accuracy"].tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert frame["macs"].tolist() == pytest.approx([10, 70 / 3, 30])
    assert frame["share_1"].tolist() == pytest.approx([1, 1 / 3, 0])
    assert frame["share_2"].tolist() == pytest.approx([0, 2 / 3, 1])


def test_an_undecided_exit_has_score_zero_and_nobody_leaves_there():
    logits = torch.zeros(2, 3, 4)
    assert curve(logits, torch.zeros(3, dtype=torch.int64), [1, 2], "margin")["share_1"].iloc[0] == 0.0


@given(problem=problems, threshold=st.floats(0, 1), rule=st.sampled_from(rules()))
@settings(max_examples=40, deadline=None)
def test_outcome_is_the_curve_at_one_threshold(problem, threshold, rule):
    logits, labels = problem
    macs = MACS[: len(logits)]
    row = curve(logits, labels, macs, rule, [threshold]).iloc[0]
    assert outcome(logits, labels, macs, threshold, rule) == {"accuracy": row["accuracy"], "macs": row["macs"]}
    assert outcome(logits, labels, macs, [threshold] * len(logits), rule)["macs"] == row["macs"]


def test_accuracy_per_exit_by_hand_and_against_scikit_learn():
    from sklearn.metrics import accuracy_score

    logits, labels = make(3, exits=4, samples=200, dtype=torch.float16)
    expected = [accuracy_score(labels, exit_.float().argmax(dim=1)) for exit_ in logits]
    np.testing.assert_allclose(accuracy_per_exit(logits, labels), expected)


# --- envelope and area


def slow_area(frame, backbone):
    """Riemann sum of the envelope on a fine grid, each value by looking at every point."""
    x, accuracy = frame["macs"].to_numpy() / backbone, frame["accuracy"].to_numpy()
    middles = x.min() + (np.arange(4000) + 0.5) / 4000 * (1 - x.min())
    best = [accuracy[x <= c].max() for c in middles]
    return float(np.mean(best))


def test_area_by_hand():
    frame = pd.DataFrame({"macs": [20.0, 60.0, 80.0, 120.0], "accuracy": [0.5, 0.8, 0.7, 0.9]})
    # 0.5 on [0.2, 0.6), 0.8 on [0.6, 1]: the fall at 0.8 is not followed, the point beyond 1 does not count
    assert area_under_curve(frame, 100.0) == pytest.approx((0.5 * 0.4 + 0.8 * 0.4) / 0.8)
    assert area_under_curve(frame.sample(frac=1, random_state=0), 100.0) == area_under_curve(frame, 100.0)


def test_area_with_points_exactly_at_one_and_without_width():
    frame = pd.DataFrame({"macs": [50.0, 100.0], "accuracy": [0.5, 0.9]})
    assert area_under_curve(frame, 100.0) == pytest.approx(0.5)
    assert area_under_curve(frame.tail(1), 100.0) == 0.9
    assert math.isnan(area_under_curve(frame, 40.0))


@pytest.mark.parametrize("seed", range(5))
def test_area_equals_its_slow_twin(seed):
    logits, labels = make(seed, exits=4, samples=60)
    frame = curve(logits, labels, MACS[:4], thresholds=np.linspace(0, 1, 15))
    assert area_under_curve(frame, 65.0) == pytest.approx(slow_area(frame, 65.0), abs=1e-3)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=10), st.floats(0, 2))
@settings(deadline=None)
def test_envelope_equals_its_slow_twin(points, at):
    cost, accuracy = zip(*points, strict=True)
    reached = [a for c, a in points if c <= at]
    got = envelope(cost, accuracy, [at])[0]
    assert got == max(reached) if reached else math.isnan(got)


# --- what is refused

LOGITS, LABELS = make(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": [0.5, 1.1]}, "thresholds: expected numbers in .0, 1., got 1.1"),
        ({"thresholds": [float("nan")]}, "thresholds: .*got nan"),
        ({"thresholds": []}, "thresholds: "),
        ({"labels": LABELS - 1}, "labels: expected 0 to 4, got -1"),
        ({"labels": LABELS + 1}, "labels: expected 0 to 4, got 1 to 5"),
        ({"macs": [1, 3, 2]}, "macs: .*ascending"),
        ({"macs": [1, 2, 2]}, "macs: .*ascending"),
        ({"macs": [0, 1, 2]}, "macs: .*positive"),
        ({"macs": [1, 2]}, "macs: expected 3 numbers"),
        ({"macs": [1, 2, float("nan")]}, "macs: "),
        ({"logits": LOGITS.index_fill(1, torch.tensor([7]), float("nan"))}, "not finite at exit 1, sample 7"),
        ({"logits": LOGITS.index_fill(0, torch.tensor([2]), float("inf"))}, "not finite at exit 3, sample 0"),
        ({"logits": LOGITS[:, :, :1]}, "logits: expected .*classes >= 2"),
        ({"logits": LOGITS[:, :0], "labels": LABELS[:0]}, "logits: .*empty"),
        ({"rule": "confidenc"}, "did you mean 'confidence'"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"logits": LOGITS, "labels": LABELS, "macs": MACS[:3]} | change
    with pytest.raises(SettingError, match=message):
        curve(**arguments)


@pytest.mark.parametrize(
    ("logits", "labels"), [(LOGITS[0], LABELS), (LOGITS, LABELS[:5]), (LOGITS.long(), LABELS), (LOGITS, LABELS.float())]
)
def test_wrong_shapes_and_types_are_refused(logits, labels):
    with pytest.raises((SettingError, TypeError)):  # TypeError: jaxtyping's check, where it is switched on
        curve(logits, labels, MACS[:3])


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), [0.1, 0.2]])
def test_wrong_thresholds_are_refused(threshold):
    with pytest.raises(SettingError, match="threshold: expected"):
        exit_taken(torch.rand(3, 4), threshold)


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(SettingError, match="NaN"):
        exit_taken(torch.tensor([[float("nan")], [0.3]]), 0.5)


def test_area_names_what_is_missing():
    with pytest.raises(SettingError, match="lacks the columns macs"):
        area_under_curve(pd.DataFrame({"accuracy": [0.5]}), 1.0)
    with pytest.raises(SettingError, match="backbone_macs"):
        area_under_curve(pd.DataFrame({"accuracy": [0.5], "macs": [1.0]}), 0.0)
    with pytest.raises(SettingError, match="equal lengths"):
        envelope([1.0], [1.0, 2.0], [1.0])
