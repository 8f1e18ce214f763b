"""Answers for many samples: as those of the offline rule, however the batches fall; folded networks; mean costs."""

import copy

import numpy as np
import pytest
import torch
from test_live import batch, between, network, offline
from torch import nn

from eecore import models
from eecore.errors import SettingError
from eecore.inference import (
    Caching,
    exit_rules,
    exit_taken,
    folded,
    live,
    make_rule,
    mean_macs,
    predict,
    regression_score,
    score,
)

NETWORKS = {
    "mlp_nano": ("image", (1, 8, 8)),
    "resnet_nano": ("sequence", (1, 40)),
    "resnet8": ("image", (1, 8, 8)),
    "vit_nano": ("sequence", (1, 40)),
    "msdnet_nano": ("image", (1, 16, 16)),
    "efficientnet_nano": ("image", (1, 16, 16)),
}


def built(name, head="auto", samples=40):
    """A network whose batch normalisations have seen data, so that they do something, and samples."""
    kind, shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(1)
    model = models.build(name, kind=kind, shape=shape, classes=5, head=head, seed=3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.copy_(0.3 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.3, 0.3, generator=generator)
    return model.eval(), torch.randn(samples, *shape, generator=generator) * 3


# --- exits and answers


@pytest.mark.parametrize("name", exit_rules())
@pytest.mark.parametrize("waste", [0, 0.3, 1])
@pytest.mark.parametrize("size", [1, 16, 64])
def test_exits_and_answers_are_those_of_the_offline_rule(name, waste, size):
    model, (x, y) = network(), batch()
    z = model(x)
    rule = make_rule(name, z, y)
    scores, answers = offline(z, rule)
    for threshold in (0.0, between(scores[:-1], 0.3), between(scores[:-1], 0.8), 1.0):
        left = predict(model, x, rule, threshold, batch_size=size, waste=waste)
        taken = exit_taken(scores, threshold)
        assert torch.equal(left.taken, taken)
        rows = torch.arange(40)
        torch.testing.assert_close(left.answers, answers[taken, rows], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(left.scores, scores[taken, rows])
        assert left.reached == [int((taken >= k).sum()) for k in range(4)]
        assert all(a >= b for a, b in zip(left.computed, left.reached, strict=True))


@pytest.mark.parametrize("name", ["confidence", "patience", "ensemble"])
@pytest.mark.parametrize("built_name", NETWORKS)
@pytest.mark.parametrize("head", ["auto", "cascade"])
def test_real_networks_whose_samples_are_carried_on(name, built_name, head):
    model, x = built(built_name, head)
    with torch.no_grad():
        z = model(x)
    rule = make_rule(name, z, torch.arange(40) % 5)
    scores, answers = offline(z, rule)
    used = set()
    for threshold in (between(scores[:1], 0.6), between(scores[:-1], 0.3), between(scores[:-1], 0.8)):
        taken = exit_taken(scores, threshold)
        used |= set(taken.tolist())
        for waste in (0, 0.4):
            left = predict(model, x, rule, threshold, batch_size=16, waste=waste)
            assert torch.equal(left.taken, taken)
            torch.testing.assert_close(left.answers, answers[taken, torch.arange(40)], rtol=1e-3, atol=1e-4)
    assert len(used) > 1


@pytest.mark.parametrize("rule", ["difference", "variance"])
def test_regression(rule):
    model, (x, _) = network(), batch(classes=2)
    scores = regression_score(model(x), rule)
    threshold = between(scores.float(), 0.5)
    for size in (1, 7):
        left = predict(model, x, rule, threshold, batch_size=size, waste=0.2)
        assert torch.equal(left.taken, exit_taken(scores, threshold))
        assert left.scores.dtype == torch.float32


@pytest.mark.parametrize("samples", [1, 5])
def test_a_threshold_is_rounded_as_offline(samples):
    """In float32 one tenth is above one tenth: a score that was stored so does not pass it."""
    logits = torch.tensor([[0.0, 0.0]]).expand(samples, 2)  # confidence 1/2, margin 0
    model, just_below = network(), 0.5 - 1e-9
    assert float(score(model(logits))[0, 0]) == 0.5
    offline_exits = exit_taken(score(model(logits)), just_below)
    assert torch.equal(live(model, logits, threshold=just_below).taken, offline_exits)
    assert offline_exits.tolist() == [3] * samples


@pytest.mark.parametrize("off", [0.0, 1e-7, -1e-7, 5e-5, -5e-5, 9.9e-5, 1.1e-4, -1.1e-4, 0.01, -0.01])
def test_one_sample_near_its_threshold_leaves_as_offline(off):
    model, (x, _) = network(), batch(12)
    for i in range(12):
        scores = score(model(x[i : i + 1]))
        for k in range(3):
            limit = min(1.0, max(0.0, float(scores[k, 0]) + off))
            assert torch.equal(predict(model, x[i : i + 1], threshold=limit).taken, exit_taken(scores, limit))


# --- what is computed


def test_a_smaller_batch_is_made_only_where_enough_have_left():
    model, (x, _) = network(), batch()
    scores = score(model(x))
    taken = exit_taken(scores, limit := between(scores[:-1], 0.6))
    inside = [int((taken >= k).sum()) for k in range(4)]
    assert inside[3] > 0
    for block in model.blocks:
        block.seen.clear()
    assert predict(model, x, threshold=limit, waste=0).computed == inside
    assert [sum(block.seen) for block in model.blocks] == inside
    assert predict(model, x, threshold=limit, waste=1).computed == [40] * 4
    share = 1 - inside[1] / 40
    assert predict(model, x, threshold=limit, waste=share + 0.01).computed[1] == 40
    assert predict(model, x, threshold=limit, waste=share - 0.01).computed[1] == inside[1]


def test_nobody_is_computed_when_all_have_left():
    model, (x, _) = network(), batch()
    assert predict(model, x, threshold=0.0, waste=1).computed == [40, 0, 0, 0]
    assert predict(model, x, threshold=0.0, batch_size=7).computed == [40, 0, 0, 0]
    assert predict(model, x[:1], threshold=0.0).computed == [1, 0, 0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("samples", [1, 6])
@pytest.mark.parametrize("rule", ["confidence", "entropy", Caching(), "difference"])
def test_logits_that_are_no_numbers_are_refused(bad, samples, rule):
    model, x = network(), torch.zeros(samples, 2)
    model.heads[1].forward = lambda z: z + bad
    with pytest.raises(SettingError, match=r"finite|must give scores in"):
        predict(model, x, rule, 1.0)


# --- folded networks


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("head", ["auto", "cascade"])
def test_a_folded_network_gives_the_same_logits_without_batch_normalisation(name, head):
    model, x = built(name, head)
    before = copy.deepcopy(model.state_dict())
    quick = folded(model)
    norms = [m for m in quick.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert not norms
    with torch.no_grad():
        torch.testing.assert_close(quick(x), model(x), rtol=1e-4, atol=1e-4)
        assert predict(quick, x, threshold=0.4).taken.tolist() == predict(model, x, threshold=0.4).taken.tolist()
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in quick.parameters())


def test_only_neighbours_are_folded():
    class Between(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x).relu())

    conv, norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
    norm.running_mean.fill_(0.7)
    block = nn.Sequential(Between(conv, norm), nn.ReLU(), nn.BatchNorm2d(2))
    model = models.MultiExit(nn.Identity(), [block], [nn.Flatten()], [0])
    quick, x = folded(model), torch.randn(3, 2, 4, 4)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in quick.modules()) == 2
    torch.testing.assert_close(quick(x), model.eval()(x))
    assert not quick.training


def test_a_layer_that_two_chains_share_stays_itself():
    conv, norms = nn.Conv1d(2, 2, 1), [nn.BatchNorm1d(2), nn.BatchNorm1d(2)]
    norms[1].running_var.fill_(9.0)
    blocks = [nn.Sequential(conv, norm) for norm in norms]
    model = models.MultiExit(nn.Identity(), blocks, [nn.Flatten(), nn.Flatten()], [0, 1]).eval()
    x = torch.randn(3, 2, 4)
    torch.testing.assert_close(folded(model)(x), model(x))


# --- mean costs


def test_mean_cost_by_hand_and_from_how_many_came_where():
    model, (x, _) = network(), batch()
    macs = [10, 30, 60, 100]
    left = predict(model, x, threshold=0.8)
    expected = np.mean([macs[k] for k in left.taken.tolist()])
    assert mean_macs(left.taken, macs) == pytest.approx(expected)
    passed = sum(n * (b - a) for n, a, b in zip(left.reached, [0, *macs], macs, strict=False)) / 40
    assert passed == pytest.approx(expected)


WRONG = {
    "size": (lambda: predict(network(), batch()[0], batch_size=0), "batch_size: expected an integer from 1 up, got 0"),
    "waste": (lambda: predict(network(), batch()[0], waste=1.5), "waste: expected a share .* got 1.5"),
    "nan": (lambda: predict(network(), batch()[0], waste=float("nan")), "waste: expected a share"),
    "empty": (lambda: predict(network(), batch()[0][:0]), "x: the batch is empty"),
    "rule": (lambda: predict(network(), batch()[0], "confidenc"), "did you mean 'confidence'"),
    "exit": (lambda: mean_macs([0, 4], [1, 2, 3, 4]), "taken: expected 0 to 3, got 0 to 4"),
    "none": (lambda: mean_macs([], [1, 2]), "taken: expected"),
    "macs": (lambda: mean_macs([0], [2, 1]), "macs: expected positive, strictly ascending"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_are_one_line(case):
    call, said = WRONG[case]
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(1, 8, 8),
        torch.zeros(5, 3, 8, 8),
        torch.zeros(2, 1, 8, 8, dtype=torch.int64),
        torch.zeros(2, 1, 8, 8).double(),
    ],
)
def test_samples_of_another_form_are_refused_in_one_line(x):
    model = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=3).eval()
    with pytest.raises(SettingError, match=r"^x: expected \(N, 1, 8, 8\) of torch.float32, got ") as caught:
        predict(model, x)
    assert ("x[None]" in str(caught.value)) == (x.ndim == 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_named(bad):
    model, x = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=3).eval(), torch.zeros(3, 1, 8, 8)
    x[1, 0, 2, 2] = bad
    with pytest.raises(SettingError, match=r"^x: sample 1 of its batch \(from 0\) holds values that are not finite"):
        predict(model, x, threshold=1.0)
