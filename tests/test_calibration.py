"""Calibration: hand-worked cases, scikit-learn, plain loops, simulation, and temperatures that are known."""

import math

import jaxtyping
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from companion.pages.calibrated import changes
from eecore.errors import SettingError
from eecore.inference import (
    accuracy_per_exit,
    as_used,
    calibration,
    calibration_error,
    chance_error,
    exit_taken,
    fit_temperature,
    reliability,
    scale,
    score,
)
from eecore.inference.temperature import TEMPERATURES


def make(seed, exits=3, samples=60, classes=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=generator)
    logits = torch.randn(exits, samples, classes, generator=generator) * 2
    logits[:, torch.arange(samples), labels] += 1.5
    return logits.to(dtype), labels


problems = st.builds(
    make,
    seed=st.integers(0, 10_000),
    exits=st.integers(1, 4),
    samples=st.integers(1, 50),
    classes=st.integers(2, 6),
    dtype=st.sampled_from([torch.float16, torch.float32]),
)


def calibrated(samples, classes=5, exits=1, spread=2.0, seed=0):
    """Logits, and labels drawn from their own softmax."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, samples, classes, generator=generator, dtype=torch.float64) * spread
    labels = torch.multinomial(logits[0].softmax(dim=1), 1, generator=generator)[:, 0]
    return logits.expand(exits, -1, -1), labels


# --- calibration errors


def test_calibration_errors_by_hand():
    # bins of width 0.2: (0.2, 0.4] has 0.3 wrong and 0.4 right, (0.4, 0.6] 0.55 right, (0.8, 1] 0.9, 0.9 and 1 right
    confidence = torch.tensor([0.3, 0.4, 0.55, 0.9, 0.9, 1.0], dtype=torch.float64)
    right = torch.tensor([False, True, True, True, True, True])
    by_width = (2 * abs(0.35 - 0.5) + 1 * abs(0.55 - 1) + 3 * abs(2.8 / 3 - 1)) / 6
    assert calibration_error(confidence, right, bins=5) == pytest.approx(by_width)
    # three bins of two: .3 .4 | .55 and what equals .9 | 1, because equals stay together
    by_mass = (2 * abs(0.35 - 0.5) + 1 * abs(0.55 - 1) + 3 * abs(2.8 / 3 - 1)) / 6
    assert calibration_error(confidence, right, bins=3, binning="mass") == pytest.approx(by_mass)


def test_a_bin_ends_with_its_upper_edge():
    confidence, right = torch.tensor([0.5, 1.0]), torch.tensor([True, False])
    assert calibration_error(confidence, right, bins=2) == pytest.approx((0.5 + 1.0) / 2)
    points = reliability(torch.tensor([[[0.0, 0.0], [1e4, 0.0]]]), torch.tensor([0, 1]), bins=2)
    assert points["n"].tolist() == [1, 1]


def slow_error(confidence, right, bins, binning):
    """Each bin in turn, each sample in turn."""
    ordered, n = sorted(confidence), len(confidence)
    edges = (
        [m / bins for m in range(1, bins)] if binning == "width" else [ordered[m * n // bins] for m in range(1, bins)]
    )
    groups = {}
    for c, r in zip(confidence, right, strict=True):
        bin_ = sum(c > e for e in edges) if binning == "width" else sum(c >= e for e in edges)
        groups.setdefault(bin_, []).append((c, r))
    total = 0.0
    for group in groups.values():
        mean, accuracy = (sum(part) / len(group) for part in zip(*group, strict=True))
        total += len(group) / n * abs(mean - accuracy)
    return total


@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 20), st.sampled_from(["width", "mass"]))
@settings(max_examples=80, deadline=None)
def test_calibration_error_is_the_slow_one(seed, samples, bins, binning):
    rng = np.random.default_rng(seed)
    confidence, right = rng.integers(0, 65, samples) / 64, rng.random(samples) < 0.6  # exact numbers, many equal
    got = calibration_error(torch.from_numpy(confidence), torch.from_numpy(right), bins, binning)
    assert got == pytest.approx(slow_error(confidence.tolist(), right.tolist(), bins, binning), abs=1e-12)
    order = rng.permutation(samples)
    again = calibration_error(torch.from_numpy(confidence[order]), torch.from_numpy(right[order]), bins, binning)
    assert again == pytest.approx(got, abs=1e-12)


def test_one_bin_gives_the_gap_and_more_bins_never_less():
    logits, labels = make(3)
    table = calibration(logits, labels, bins=1)
    np.testing.assert_allclose(table["ece_width"], table["gap"].abs(), atol=1e-12)
    np.testing.assert_allclose(table["ece_mass"], table["gap"].abs(), atol=1e-12)
    finer = calibration(logits, labels, bins=12)
    assert (finer["ece_width"] >= table["ece_width"] - 1e-12).all()


def test_bins_of_equal_mass_have_equal_mass():
    logits, _ = make(0, exits=1, samples=103)
    points = reliability(logits, torch.zeros(103, dtype=torch.int64), bins=10, binning="mass")
    assert set(points["n"]) <= {10, 11}
    assert points["n"].sum() == 103
    assert points["confidence"].is_monotonic_increasing


def test_chance_error_is_what_calibrated_predictions_have():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1.0, 400)
    for binning in ("width", "mass"):
        drawn = [
            calibration_error(torch.from_numpy(confidence), torch.from_numpy(rng.random(400) < confidence), 15, binning)
            for _ in range(400)
        ]
        assert chance_error(torch.from_numpy(confidence), 15, binning) == pytest.approx(np.mean(drawn), rel=0.03)


# --- tables


@pytest.mark.parametrize("classes", [2, 5])
def test_brier_and_likelihood_are_those_of_scikit_learn(classes):
    logits, labels = make(5, exits=3, samples=200, classes=classes)
    table = calibration(logits, labels)
    for k, row in enumerate(table.itertuples()):
        p = logits[k].double().softmax(dim=1).numpy()
        names = np.arange(classes)
        assert row.nll == pytest.approx(log_loss(labels, p, labels=names))
        assert row.brier == pytest.approx(brier_score_loss(labels, p, labels=names, scale_by_half=False))


def slow_calibration(logits, labels, taken, bins):
    rows = []
    for k in range(len(logits)):
        confidence, right, brier, nll = [], [], 0.0, 0.0
        for n, label in enumerate(labels.tolist()):
            if taken is not None and taken[n] != k:
                continue
            z = logits[k, n].double().tolist()
            p = [math.exp(v - max(z)) for v in z]
            p = [v / sum(p) for v in p]
            confidence.append(max(p))
            right.append(z.index(max(z)) == label)
            brier += sum((v - (c == label)) ** 2 for c, v in enumerate(p))
            nll -= math.log(p[label])
        n = len(right)
        if n == 0:
            rows.append([k + 1, 0, *[math.nan] * 7])
            continue
        means = sum(right) / n, sum(confidence) / n
        errors = [slow_error(confidence, right, bins, binning) for binning in ("width", "mass")]
        rows.append([k + 1, n, *means, means[1] - means[0], *errors, brier / n, nll / n])
    names = ["exit", "n", "accuracy", "confidence", "gap", "ece_width", "ece_mass", "brier", "nll"]
    return pd.DataFrame(rows, columns=names)


@given(problems, st.floats(0, 1), st.booleans(), st.integers(1, 15))
@settings(max_examples=30, deadline=None)
def test_calibration_is_what_plain_loops_find(problem, threshold, leavers, bins):
    logits, labels = problem
    taken = exit_taken(score(logits), threshold) if leavers else None
    got = calibration(logits, labels, taken, bins)
    expected = slow_calibration(logits, labels, taken, bins)
    pd.testing.assert_frame_equal(got[list(expected)], expected, check_dtype=False, rtol=1e-7, atol=1e-9)


def test_an_exit_where_nobody_leaves_has_no_numbers():
    logits, labels = make(0)
    table = calibration(logits, labels, torch.zeros(60, dtype=torch.int64))
    assert table["n"].tolist() == [60, 0, 0]
    assert table.drop(columns=["exit", "n"]).iloc[1:].isna().all(axis=None)
    assert table["gap"].iloc[0] == pytest.approx(calibration(logits, labels)["gap"].iloc[0])


def test_the_network_as_used_is_the_mixture_of_those_who_leave():
    logits, labels = make(1, samples=200)
    taken = exit_taken(score(logits), 0.7)
    whole = calibration(as_used(logits, taken), labels).iloc[0]
    parts = calibration(logits, labels, taken)
    for name in ("accuracy", "confidence", "brier", "nll"):
        assert whole[name] == pytest.approx((parts["n"] * parts[name]).sum() / 200)


def test_reliability_adds_up_to_the_calibration_error():
    logits, labels = make(2, samples=300)
    for binning in ("width", "mass"):
        points = reliability(logits, labels, binning=binning)
        sums = (points["n"] * (points["confidence"] - points["accuracy"]).abs()).groupby(points["exit"]).sum() / 300
        np.testing.assert_allclose(sums, calibration(logits, labels)[f"ece_{binning}"], atol=1e-12)


# --- temperature


def test_a_known_temperature_is_recovered():
    logits, labels = calibrated(40_000, exits=4)
    known = torch.tensor([0.25, 1.0, 2.0, 5.0], dtype=torch.float64)
    np.testing.assert_allclose(fit_temperature(logits * known[:, None, None], labels), known, rtol=0.03)
    before = calibration(logits * known[:, None, None], labels)
    after = calibration(scale(logits * known[:, None, None], known), labels)
    assert (before["ece_width"].iloc[[0, 2, 3]] > 0.1).all()
    assert (after["ece_width"] < 0.02).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_temperature_is_the_minimum_that_another_search_finds(seed):
    logits, labels = make(seed, exits=2, samples=120, dtype=torch.float16)
    for k, found in enumerate(fit_temperature(logits, labels).tolist()):
        p = [lambda log_t, k=k: torch.nn.functional.cross_entropy(logits[k].double() / math.exp(log_t), labels).item()]
        other = minimize_scalar(p[0], bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
        assert math.log(found) == pytest.approx(other.x, abs=1e-4)
        assert p[0](math.log(found)) <= min(other.fun, p[0](0.0)) + 1e-12


def test_scaling_keeps_predictions_and_moves_certainty_the_right_way():
    logits, labels = make(4, exits=3, dtype=torch.float16)
    scaled = scale(logits, torch.tensor([0.5, 1.0, 3.0]))
    assert torch.equal(accuracy_per_exit(scaled, labels), accuracy_per_exit(logits, labels))
    assert torch.equal(scaled[1], logits[1].float())
    before, after = score(logits), score(scaled)
    assert (after[0] >= before[0] - 1e-6).all()
    assert (after[2] <= before[2] + 1e-6).all()


def test_what_validation_does_not_decide_is_left_or_stops_at_an_end():
    sure = torch.tensor([[[3.0, 0.0], [0.0, 1.0]]])
    assert fit_temperature(sure, torch.tensor([0, 1])).tolist() == [1.0]  # all right: sharper without limit
    assert fit_temperature(sure, torch.tensor([1, 0])).tolist() == [TEMPERATURES[1]]  # all wrong: flat is best
    assert fit_temperature(torch.zeros(1, 2, 3), torch.tensor([0, 1])).tolist() == [1.0]
    huge = torch.tensor([[[6e4, -6e4], [-6e4, 6e4], [6e4, -6e4]]], dtype=torch.float16)
    assert fit_temperature(huge, torch.tensor([0, 1, 1])).tolist() == [TEMPERATURES[1]]


# --- wrong input

LOGITS, LABELS = make(0)
HALF, TRUE = torch.full((3,), 0.5), torch.ones(3, dtype=torch.bool)
WRONG = [
    (lambda: calibration(LOGITS, LABELS + 4), "labels: expected 0 to 3, got 4 to 7"),
    (lambda: calibration(LOGITS, LABELS.float()), "labels: expected integers"),
    (lambda: calibration(LOGITS[..., :1], LABELS), "one output, as a regression has"),
    (lambda: calibration(LOGITS, LABELS, bins=0), "bins: expected an integer of at least 1, got 0"),
    (lambda: calibration(LOGITS, LABELS, torch.full((60,), 3)), "taken: expected exits 0 to 2, got 3 to 3"),
    (lambda: calibration(LOGITS * float("inf"), LABELS), "logits: not all finite"),
    (lambda: reliability(LOGITS, LABELS, binning="mas"), "binning: 'mas' is not known; did you mean 'mass'"),
    (lambda: reliability(LOGITS, LABELS, bins=-1), "bins: expected an integer of at least 1, got -1"),
    (lambda: calibration_error(HALF, TRUE, bins=0), "bins: expected an integer of at least 1, got 0"),
    (lambda: calibration_error(HALF + 0.6, TRUE), "confidence: expected numbers in"),
    (lambda: calibration_error(HALF * float("nan"), TRUE), "confidence: expected numbers in"),
    (lambda: calibration_error(HALF[:0], TRUE[:0]), "confidence, right: expected two of one length"),
    (lambda: chance_error(HALF, binning="width "), "binning: 'width ' is not known"),
    (lambda: fit_temperature(LOGITS[..., :1], LABELS), "one output, as a regression has"),
    (lambda: fit_temperature(LOGITS, LABELS - 1), "labels: expected 0 to 3"),
    (lambda: fit_temperature(LOGITS * float("nan"), LABELS), "logits: not all finite"),
    (lambda: scale(LOGITS, torch.tensor([1.0, 0.0, 1.0])), "temperatures: expected 3 positive numbers"),
    (lambda: scale(LOGITS, torch.tensor([1.0])), "temperatures: expected 3 positive numbers"),
    (lambda: scale(LOGITS[0, 0], torch.tensor([1.0])), "logits: expected"),
]


@pytest.mark.parametrize(("call", "said"), WRONG)
def test_wrong_input_is_one_line(call, said, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # what users see, who have no such checks
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_scaling_changes_is_paired_within_each_setting():
    rows = [
        {"scaling": s, "rule": rule, "dataset": "d", "model": "m", "regime": regime, "seed": seed, "area": value}
        for rule, by in (("confidence", 0.0), ("entropy", 0.1))
        for regime in ("joint", "mixed")
        for seed in (0, 1)
        for s, value in (("as trained", 0.5 + seed), ("scaled", 0.5 + seed + by))
    ]
    frame = pd.DataFrame(rows)
    found = changes(frame, {"area": "area"}, ["dataset", "model"], ["rule"])
    assert list(found) == ["area, confidence", "area, entropy"]
    assert found["area, entropy"]["mean"].tolist() == pytest.approx([0.1, 0.1])
    assert found["area, confidence"]["mean"].tolist() == pytest.approx([0.0, 0.0])
    assert list(changes(frame[frame["rule"] == "entropy"], {"area": "area"}, ["dataset", "model"])) == ["area"]
