"""Difficulty and overthinking: hand-worked cases, plain loops, properties and wrong input."""

import math

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eecore.errors import SettingError
from eecore.inference import (
    accuracy_per_exit,
    difficulty,
    exit_taken,
    leaving_early,
    outcome,
    overthinking,
    overthinking_per_sample,
    relative_difficulty,
    right_at_exits,
    score,
)
from eecore.inference.difficulty import at_exit


def of_pattern(pattern):
    """Logits of two classes and labels 1, right where `pattern` (K, N) is true."""
    right = torch.tensor(pattern)
    return torch.stack([~right, right], dim=2).float(), torch.ones(right.shape[1], dtype=torch.int64)


def make(seed, exits, samples, classes, dtype):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=generator)
    logits = torch.randn(exits, samples, classes, generator=generator).mul(2).round()  # whole numbers: ties occur
    logits[:, torch.arange(samples), labels] += 2.0
    return logits.to(dtype), labels


problems = st.builds(
    make,
    seed=st.integers(0, 10_000),
    exits=st.integers(1, 5),
    samples=st.integers(1, 40),
    classes=st.integers(2, 6),
    dtype=st.sampled_from([torch.float16, torch.float32]),
)

# six samples through three exits: always, from 2 on, lost and found again, found late, lost at the end, never
PATTERN = [
    [True, False, True, False, True, False],
    [True, True, False, False, True, False],
    [True, True, True, True, False, False],
]


def test_difficulty_by_hand():
    logits, labels = of_pattern(PATTERN)
    assert difficulty(logits, labels).tolist() == [1, 2, 3, 3, 4, 4]
    np.testing.assert_allclose(relative_difficulty(logits, labels), [0, 1 / 3, 2 / 3, 2 / 3, 1, 1], rtol=1e-6)


def test_overthinking_by_hand():
    logits, labels = of_pattern(PATTERN)
    each = overthinking_per_sample(logits, labels)
    assert each["ever_right"].tolist() == [True, True, True, True, True, False]
    assert each["wasteful"].tolist() == [True, True, True, False, False, False]
    assert each["destructive"].tolist() == [False, False, False, False, True, False]
    found = overthinking(logits, labels)
    assert found == pytest.approx(
        {
            "ever_right": 5 / 6,
            "last_right": 4 / 6,
            "wasteful": 3 / 6,
            "destructive": 1 / 6,
            "destructive_of_errors": 0.5,
        }
    )


def test_no_errors_have_no_share():
    logits, labels = of_pattern([[False, True], [True, True]])
    assert math.isnan(overthinking(logits, labels)["destructive_of_errors"])


def test_one_exit_cannot_overthink():
    logits, labels = of_pattern([[True, False]])
    found = overthinking(logits, labels)
    assert found["wasteful"] == found["destructive"] == 0.0
    assert difficulty(logits, labels).tolist() == [1, 2]


def test_leaving_early_by_hand():
    logits, labels = of_pattern(PATTERN)
    found = leaving_early(logits, labels, torch.tensor([0, 0, 1, 2, 1, 0]))
    assert found == pytest.approx({"rescued": 1 / 6, "lost": 2 / 6})  # the fifth; the second and the third


# --- slow twins


def slow_difficulty(logits, labels):
    """For each sample, look for the first exit after which nothing goes wrong any more."""
    exits, out = len(logits), []
    for n, label in enumerate(labels.tolist()):
        right = [int(np.argmax(logits[k, n].float().numpy())) == label for k in range(exits)]
        out.append(next((k + 1 for k in range(exits) if all(right[k:])), exits + 1))
    return out


@given(problems)
@settings(max_examples=40, deadline=None)
def test_all_of_it_is_what_plain_loops_count(problem):
    logits, labels = problem
    exits, samples, _ = logits.shape
    assert difficulty(logits, labels).tolist() == slow_difficulty(logits, labels)
    counts = dict.fromkeys(("ever_right", "last_right", "wasteful", "destructive"), 0)
    for n, label in enumerate(labels.tolist()):
        right = [int(np.argmax(logits[k, n].float().numpy())) == label for k in range(exits)]
        counts["ever_right"] += any(right)
        counts["last_right"] += right[-1]
        counts["wasteful"] += right[-1] and any(right[:-1])
        counts["destructive"] += not right[-1] and any(right[:-1])
    found = overthinking(logits, labels)
    assert {name: found[name] for name in counts} == {name: count / samples for name, count in counts.items()}


@given(problems)
@settings(max_examples=30, deadline=None)
def test_parts_fit_together(problem):
    logits, labels = problem
    exits = len(logits)
    found, hard = overthinking(logits, labels), difficulty(logits, labels)
    accuracies = accuracy_per_exit(logits, labels)
    assert found["last_right"] == pytest.approx(float(accuracies[-1]))
    assert found["ever_right"] == pytest.approx(found["last_right"] + found["destructive"])
    assert found["ever_right"] >= float(accuracies.max()) - 1e-12
    assert float((hard <= exits).double().mean()) == pytest.approx(found["last_right"])
    assert torch.equal(hard == 1, right_at_exits(logits, labels).all(dim=0))
    order = torch.randperm(len(labels))
    assert torch.equal(difficulty(logits[:, order], labels[order]), hard[order])


@given(problems, st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_rescued_minus_lost_is_the_difference_in_accuracy(problem, threshold):
    logits, labels = problem
    taken = exit_taken(score(logits), threshold)
    found = leaving_early(logits, labels, taken)
    early = outcome(logits, labels, np.arange(1, len(logits) + 1), threshold)["accuracy"]
    assert found["rescued"] - found["lost"] == pytest.approx(early - float(accuracy_per_exit(logits, labels)[-1]))


# --- wrong input


LOGITS, LABELS = of_pattern(PATTERN)
WRONG = [
    (lambda: difficulty(LOGITS, LABELS + 1), "labels: expected 0 to 1, got 2 to 2"),
    (lambda: difficulty(LOGITS, LABELS - 2), "labels: expected 0 to 1, got -1 to -1"),
    (lambda: difficulty(LOGITS, LABELS[:3]), r"labels: expected \(6,\), one per sample, got \(3,\)"),
    (lambda: overthinking(LOGITS[..., :1], LABELS), "one output, as a regression has"),
    (lambda: overthinking(LOGITS[:, :0], LABELS[:0]), "none of them empty"),
    (lambda: right_at_exits(torch.full((2, 6, 2), float("nan")), LABELS), "logits: not finite at exit 1, sample 0"),
    (lambda: leaving_early(LOGITS, LABELS, torch.full((6,), 3)), "taken: expected exits 0 to 2, got 3 to 3"),
    (lambda: leaving_early(LOGITS, LABELS, torch.zeros(5, dtype=torch.int64)), r"taken: expected \(6,\) integers"),
    (lambda: at_exit(LOGITS, torch.full((6,), -1)), "taken: expected exits 0 to 2, got -1 to -1"),
]


@pytest.mark.parametrize(("call", "said"), WRONG)
def test_wrong_input_is_one_line(call, said, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # what users see, who have no such checks
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
