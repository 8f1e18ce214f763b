"""Leaving for real gives the exits and answers of stored logits, and computes nothing for those who have left."""

import numpy as np
import pytest
import torch

from eecore import models
from eecore.errors import SettingError
from eecore.inference import (
    Caching,
    ProductOfExperts,
    exit_rules,
    exit_taken,
    judge,
    live,
    make_rule,
    patience,
    register_rule,
    regression_score,
    score,
    votes,
)
from eecore.inference.rules import _OWN
from eecore.models import MultiExit

SIZES = [1, 7, 40]
NETWORKS = {
    "mlp_nano": ("image", (1, 8, 8)),
    "vit_nano": ("sequence", (1, 40)),
    "msdnet_nano": ("image", (1, 16, 16)),  # its state is several tensors
}


class Grow(torch.nn.Module):
    """A block that makes logits surer, so that samples leave at every exit."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        return x * self.factor + 0.3 * torch.sin(37 * x)


def network():
    """Four exits whose logits are the state itself."""
    blocks = [Grow(f) for f in (1.0, 1.5, 1.5, 2.0)]
    return MultiExit(torch.nn.Identity(), blocks, [torch.nn.Identity() for _ in blocks], range(4)).eval()


def batch(samples=40, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, classes, generator=generator), torch.randint(classes, (samples,), generator=generator)


def offline(z, rule):
    return (score(z, rule), z) if isinstance(rule, str) else judge(z, rule)


def between(scores, share):
    """A threshold away from every score, above about `share` of those before the last exit."""
    values = torch.cat([torch.zeros(1), scores.flatten(), torch.ones(1)]).unique()
    gaps = values.diff()
    wide = (gaps > 1e-4).nonzero()[:, 0]
    at = wide[int(share * (len(wide) - 1))]
    return float(values[at] + gaps[at] / 2)


@pytest.mark.parametrize("name", exit_rules())
@pytest.mark.parametrize("size", SIZES)
def test_exits_and_answers_are_those_of_stored_logits(name, size):
    model, (x, y) = network(), batch()
    z = model(x)
    rule = make_rule(name, z, y)
    scores, answers = offline(z, rule)
    used = set()
    for threshold in (0.0, between(scores, 0.3), between(scores, 0.7), 1.0):
        taken = exit_taken(scores, threshold)
        parts = [live(model, x[i : i + size], rule, threshold) for i in range(0, 40, size)]
        assert torch.equal(torch.cat([part.taken for part in parts]), taken)
        got = torch.cat([part.answers for part in parts])
        torch.testing.assert_close(got, answers[taken, torch.arange(40)], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.cat([part.scores for part in parts]), scores[taken, torch.arange(40)])
        used |= set(taken.tolist())
        reached = np.sum([part.reached for part in parts], axis=0)
        assert reached.tolist() == [int((taken >= k).sum()) for k in range(4)]
    assert used >= {0, 3}


@pytest.mark.parametrize("name", exit_rules())
@pytest.mark.parametrize("built", NETWORKS)
def test_real_networks_with_attention_and_states_of_several_tensors(name, built):
    kind, shape = NETWORKS[built]
    model = models.build(built, kind=kind, shape=shape, classes=5, seed=3).eval()
    x = torch.randn(24, *shape, generator=torch.Generator().manual_seed(1)) * 3
    with torch.no_grad():
        z = model(x)
    rule = make_rule(name, z, torch.arange(24) % 5)
    scores, answers = offline(z, rule)
    for share in (0.4, 0.8):
        threshold = between(scores[:-1], share)
        taken = exit_taken(scores, threshold)
        for size in (1, 24):
            parts = [live(model, x[i : i + size], rule, threshold) for i in range(0, 24, size)]
            assert torch.equal(torch.cat([part.taken for part in parts]), taken)
            got = torch.cat([part.answers for part in parts])
            torch.testing.assert_close(got, answers[taken, torch.arange(24)], rtol=1e-3, atol=1e-4)


def test_a_cascade_reads_the_exit_before_of_those_who_are_still_inside():
    model = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=4, head="cascade", seed=1).eval()
    x = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z = model(x)
    scores = score(z)
    threshold = between(scores, 0.5)
    left = live(model, x, "confidence", threshold)
    taken = exit_taken(scores, threshold)
    assert left.taken.tolist() == taken.tolist()
    assert len(set(left.taken.tolist())) > 1
    torch.testing.assert_close(left.answers, z[taken, torch.arange(24)], rtol=1e-4, atol=1e-5)


def test_nobody_passes_the_threshold_and_a_batch_of_one():
    model, (x, _) = network(), batch(1)
    for rule in ("confidence", patience(4), votes(4), Caching(), ProductOfExperts()):
        left = live(model, x, rule, 1.0)
        assert left.taken.tolist() == [3]
        assert left.reached == [1, 1, 1, 1]


def test_blocks_see_only_those_who_are_still_inside():
    model, (x, _) = network(), batch()
    left = live(model, x, "confidence", 0.8)
    assert 40 == left.reached[0] > left.reached[1] > left.reached[3] > 0
    assert [block.seen[-1] for block in model.blocks] == left.reached
    for block in model.blocks:
        block.seen.clear()
    live(model, x, "confidence", 0.0)
    assert [len(block.seen) for block in model.blocks] == [1, 0, 0, 0]


def test_patience_remembers_each_sample_though_others_leave():
    """Sample 0 leaves at exit 2, which moves the rows of the others; sample 2 must still know its own run."""
    a, b = [1.0, 0.0], [0.0, 1.0]
    z = torch.tensor([[a, a, b], [a, b, b], [a, a, a], [a, a, a]])  # (K, N, C)
    stem = [torch.nn.Identity() for _ in range(4)]

    class Shown(torch.nn.Module):
        def __init__(self, k):
            super().__init__()
            self.k = k

        def forward(self, number):
            return z[self.k][number[:, 0].long()]

    model = MultiExit(torch.nn.Identity(), stem, [Shown(k) for k in range(4)], range(4)).eval()
    left = live(model, torch.arange(3.0)[:, None], rule := patience(4, 2), rule.threshold)
    assert left.taken.tolist() == [1, 3, 1]
    again = live(model, torch.arange(3.0)[:, None], rule := patience(4, 3), rule.threshold)
    assert again.taken.tolist() == [2, 3, 3]


def test_one_threshold_for_each_exit_and_rules_of_ones_own():
    model, (x, _) = network(), batch()
    z, limits = model(x), [0.9, 0.4, 1.0, 0.3]
    assert torch.equal(live(model, x, "margin", limits).taken, exit_taken(score(z, "margin"), limits))
    register_rule("so_far", lambda logits: logits.softmax(2).amax(2).cumsum(0) / len(z))  # looks at exits 1..k
    try:
        assert torch.equal(live(model, x, "so_far", 0.41).taken, exit_taken(score(z, "so_far"), 0.41))
    finally:
        _OWN.pop("so_far")


@pytest.mark.parametrize("rule", ["difference", "variance"])
def test_a_regression_leaves_as_its_stored_outputs_do(rule):
    model, (x, _) = network(), batch(classes=2)
    scores = regression_score(model(x), rule)
    for threshold in (0.0, between(scores.float(), 0.5), 1.0):
        left = live(model, x, rule, threshold)
        taken = exit_taken(scores, threshold)
        assert torch.equal(left.taken, taken)
        torch.testing.assert_close(left.answers, model(x)[taken, torch.arange(40)])


def test_the_model_keeps_its_mode_and_no_graph_is_made():
    model, (x, _) = network(), batch()
    left = live(model, x.requires_grad_(), "confidence", 0.5)
    assert not left.answers.requires_grad
    assert not model.training


WRONG = {
    "training": (lambda: live(network().train(), batch()[0]), "model: is in training mode"),
    "empty": (lambda: live(network(), batch()[0][:0]), "x: the batch is empty"),
    "threshold": (lambda: live(network(), batch()[0], threshold=1.5), r"threshold: expected numbers in \[0, 1\]"),
    "thresholds": (lambda: live(network(), batch()[0], threshold=[0.5, 0.5]), r"one per exit \(4\), got 2"),
    "rule": (lambda: live(network(), batch()[0], "entropi"), "did you mean 'entropy'"),
    "other task": (
        lambda: live(network(), batch()[0], "entropy", task="regression"),
        "'entropy' is for classification",
    ),
    "task": (lambda: live(network(), batch()[0], Caching(), task="regression"), "'caching' is for classification"),
    "exits": (lambda: live(network(), batch()[0], patience(3)), "was made for 3 exits, here are 4"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_are_one_line(case):
    call, said = WRONG[case]
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
