"""Weights, self-distillation and gradient rules: by hand, against K separate backward passes, and what stays."""

import copy
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from eecore import data, models
from eecore.errors import SettingError
from eecore.training import Phase, Recipe, Run, Store, phases_of, regimes, train
from eecore.training.costs import phase_macs
from eecore.training.identity import prefix_keys
from eecore.training.loop import train_phase
from eecore.training.moving import Moving
from eecore.training.objectives import (
    DISTILLATIONS,
    GRADIENTS,
    WEIGHTS,
    GradNorm,
    RunningMean,
    cagrad,
    distilled,
    exit_weights,
    pcgrad,
    scale_branches,
    separate_gradients,
    teacher_shares,
)
from eecore.training.objectives.mean import MeanLoss
from eecore.training.objectives.names import SCALED, SEPARATE
from eecore.training.objectives.objective import Objective

SYNTHETIC = data.load("synthetic")
COSTS = torch.tensor([10.0, 20.0, 40.0])
CHOICES = [
    {"weights": "sdn"},
    {"weights": "adaloss"},
    {"weights": "l2w"},
    {"weights": (1.0, 2.0, 3.0, 4.0, 5.0)},
    *({"gradients": name} for name in (*SCALED, *SEPARATE)),
    {"distillation": "later", "weights": "linear", "gradients": "gradnorm"},
]


def make(name="mlp_nano", **wanted):
    info = SYNTHETIC.info
    return models.build(name, kind=info.kind, shape=info.shape, classes=info.classes, **wanted)


def state(model):
    return {name: t.clone() for name, t in model.state_dict().items()}


def begun(model, trains="all", steps=10, **recipe):
    """Moving, objective and one batch's losses, logits and target."""
    settings = Recipe(batch_size=16, **recipe)
    moving = Moving(model, Phase(trains, 1), settings, "none", SYNTHETIC, "cpu")
    objective = Objective(moving, settings, SYNTHETIC, steps) if settings.has_objective else MeanLoss()
    moving.train_mode(0)
    logits, target = moving.forward(torch.arange(16), torch.Generator())
    return moving, objective, moving.losses(logits.float(), target), logits, target


def gradients(model, trains="all", step=0, **recipe):
    """Gradient of every parameter after one backward pass of the objective."""
    moving, objective, each, logits, target = begun(model, trains, **recipe)
    objective.backward(each, logits, target, step)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    objective.finish()
    moving.finish({})
    return found


def of_each_exit(model):
    """Slow twin: K forward and K backward passes, one for each exit's loss; name -> K gradients."""
    rows = []
    for k in range(model.n_exits):
        twin = copy.deepcopy(model).train()
        F.cross_entropy(twin(SYNTHETIC.train.x[:16])[k], SYNTHETIC.train.y[:16]).backward()
        rows.append({n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in twin.named_parameters()})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def block_of(name, exits):
    """Index of the first exit behind a parameter of the backbone; None for heads."""
    if name.startswith("heads."):
        return None
    block = int(name.split(".")[1]) if name.startswith("blocks.") else 0
    return next(i for i, place in enumerate(exits) if place >= block)


# -- weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "progress", "expected"),
    [
        ("uniform", 0.5, [1, 1, 1]),
        ("linear", 0.5, [1, 2, 3]),
        ("decreasing", 0.5, [3, 2, 1]),
        ("last_doubled", 0.5, [1, 1, 2]),
        ("inverse_cost", 0.5, [4, 2, 1]),
        ("sdn", 0.0, [0.01, 0.01, 1]),
        ("sdn", 0.5, [0.01 + 0.125, 0.01 + 0.25, 1]),
        ("sdn", 1.0, [0.25, 0.5, 1]),  # the smaller of the share and 0.01 more
        ((2.0, 6.0, 2.0), 0.5, [1, 3, 1]),
    ],
)
def test_weights_by_hand(weights, progress, expected):
    found = exit_weights(weights, COSTS, progress)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32) / sum(expected))


def test_running_mean_by_hand():
    running = RunningMean(2)
    torch.testing.assert_close(running.weights(torch.tensor([4.0, 1.0])), torch.tensor([0.2, 0.8]))
    # means: (0.99 * 0.01 * 4 + 0.01 * 2) / (1 - 0.99^2), and the same with 1 and 3
    first, second = (0.99 * 4 + 2) / 1.99, (0.99 * 1 + 3) / 1.99
    expected = torch.tensor([1 / first, 1 / second])
    torch.testing.assert_close(running.weights(torch.tensor([2.0, 3.0])), expected / expected.sum())


@pytest.mark.parametrize(
    "weights", ["linear", "decreasing", "last_doubled", "inverse_cost", "sdn", (5.0, 1.0, 1.0, 1.0, 2.0)]
)
def test_one_pass_with_weights_is_the_weighted_sum_of_separate_passes(weights):
    model = make()
    each = of_each_exit(model)
    costs = torch.tensor(models.exit_macs(model, SYNTHETIC.shape, SYNTHETIC.kind), dtype=torch.float32)
    weight = exit_weights(weights, costs, 0.4)
    for name, found in gradients(model, step=3, weights=weights).items():
        torch.testing.assert_close(found, torch.einsum("k,k...->...", weight, each[name]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weights", [w for w in WEIGHTS if w != "uniform"])
def test_heads_on_a_frozen_backbone_share_the_weights_without_the_last(weights):
    model = make()
    _, objective, each, _, _ = begun(model, "heads", weights=weights)
    found = objective.weights(each.mean(dim=1), 3)
    assert len(found) == 4
    assert found.sum().item() == pytest.approx(1)
    if weights != "adaloss":
        costs = torch.tensor(models.exit_macs(model, SYNTHETIC.shape, SYNTHETIC.kind), dtype=torch.float32)
        whole = exit_weights(weights, costs, 0.4)[:4]
        torch.testing.assert_close(found, whole / whole.sum())


# -- scaled branches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp_nano", "resnet_nano", "msdnet_nano", "vit_nano"])
@pytest.mark.parametrize("rule", SCALED)
def test_a_block_gets_the_average_over_the_exits_behind_it(name, rule):
    torch.manual_seed(0)
    model = make(name)
    each, exits = of_each_exit(model), model.n_exits
    for parameter, found in gradients(model, gradients=rule).items():
        behind = block_of(parameter, model.exits)
        scale = 1.0 if behind is None else 1 / (exits - behind)
        expected = each[parameter].sum(dim=0) * scale / exits  # / exits: the weights of the losses sum to one
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-6)


def test_equilibrium_is_its_recursive_formula():
    """By hand on scalars: y_i = w_i y_{i-1}, head i has the loss c_i y_i; what leaves block i is d_i."""
    w, c = [2.0, 3.0, 5.0], [1.0, 10.0, 100.0]
    leaving = [0.0, 0.0, c[2]]  # K - i = 1: the head's own
    leaving[1] = (c[1] + 1 * w[2] * leaving[2]) / 2
    leaving[0] = (c[0] + 2 * w[1] * leaving[1]) / 3
    blocks = [torch.nn.Linear(1, 1, bias=False) for _ in w]
    heads = [torch.nn.Linear(1, 1, bias=False) for _ in c]
    for module, value in zip([*blocks, *heads], [*w, *c], strict=True):
        torch.nn.init.constant_(module.weight, value)
    model = models.MultiExit(torch.nn.Identity(), blocks, heads, exits=(0, 1, 2))
    handles = scale_branches(model)
    x = torch.ones(1, 1, requires_grad=True)
    outputs = model(x)
    assert outputs.flatten().tolist() == [2.0, 60.0, 3000.0]  # the network computes what it computed before
    outputs.sum().backward()
    inputs = [1.0, 2.0, 6.0]  # of the blocks
    assert [b.weight.grad.item() for b in model.blocks] == pytest.approx(
        [g * y for g, y in zip(leaving, inputs, strict=True)]
    )
    assert [h.weight.grad.item() for h in model.heads] == [2.0, 6.0, 30.0]  # heads get their own, unscaled
    for handle in handles:
        handle.remove()
    assert not any(m._forward_pre_hooks for m in model.modules())


# -- conflicting gradients ----------------------------------------------------------------------------------------


def test_separate_gradients_are_those_of_separate_passes():
    torch.manual_seed(0)
    model = make("resnet_nano")
    each = of_each_exit(model)
    model.train()
    logits = model(SYNTHETIC.train.x[:16])
    losses = torch.stack([F.cross_entropy(z, SYNTHETIC.train.y[:16]) for z in logits])
    shared, own = model.backbone_parameters(), list(model.heads.parameters())
    rows = separate_gradients(losses, shared, own)
    names = {id(p): name for name, p in model.named_parameters()}
    expected = torch.cat([each[names[id(p)]].flatten(1) for p in shared], dim=1)
    torch.testing.assert_close(rows, expected, rtol=1e-3, atol=1e-6)
    for parameter in own:
        torch.testing.assert_close(parameter.grad, each[names[id(parameter)]].sum(0), rtol=1e-3, atol=1e-6)
    assert all(p.grad is None for p in shared)


def slow_pcgrad(rows, orders):
    """Algorithm 1 of the source, on the gradients themselves."""
    total = torch.zeros_like(rows[0])
    for i, order in enumerate(orders):
        mine = rows[i].clone()
        for j in order:
            if j != i and (dot := mine @ rows[j]) < 0:
                mine -= dot / (rows[j] @ rows[j]) * rows[j]
        total += mine
    return total


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_pcgrad_is_its_algorithm(count, seed):
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 5, generator=draw, dtype=torch.float64)
    orders = [torch.randperm(count, generator=draw).tolist() for _ in range(count)]
    torch.testing.assert_close(pcgrad(rows @ rows.T, orders) @ rows, slow_pcgrad(rows, orders))


def test_pcgrad_leaves_gradients_without_conflict_alone():
    assert pcgrad(torch.tensor([[2.0, 1.0], [1.0, 3.0]]), [[1, 0], [0, 1]]).tolist() == [1.0, 1.0]


def test_pcgrad_of_an_exit_without_gradient_is_finite():
    assert pcgrad(torch.zeros(2, 2), [[1, 0], [0, 1]]).tolist() == [1.0, 1.0]
    assert cagrad(torch.zeros(2, 2)).isfinite().all()


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 3), st.integers(0, 10_000))
def test_cagrad_helps_the_worst_off_most(count, seed):
    """Slow twin: the primal problem, max over d of min_i g_i d with |d - g_0| <= c |g_0|, on a grid in the plane."""
    rows = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()
    mean = rows.mean(axis=0)
    angle, part = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.linspace(0, 1, 41))
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (0.4 * np.linalg.norm(mean) * part)[..., None]
    best = ((mean + around) @ rows.T).min(axis=-1).max()
    step = cagrad(torch.from_numpy(rows @ rows.T), 0.4).numpy() @ rows / count
    scale = np.abs(rows @ rows.T).max()
    assert (rows @ step).min() == pytest.approx(best, abs=2e-3 * scale)
    assert np.linalg.norm(step - mean) == pytest.approx(0.4 * np.linalg.norm(mean), abs=1e-3)


def test_cagrad_without_a_radius_is_the_sum():
    rows = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(cagrad(rows @ rows.T, c=0.0), torch.ones(4))


def test_gradnorm_by_hand():
    rule = GradNorm(2)
    gram = torch.tensor([[16.0, 0.0], [0.0, 4.0]])  # norms 4 and 2
    assert rule.step(gram, torch.tensor([2.0, 2.0]), first=True).tolist() == [1.0, 1.0]
    # both have all of their first loss left: the target is the mean norm 3; slopes +4/3 and -2/3
    moved = torch.tensor([1 - 0.025 * 4 / 3, 1 + 0.025 * 2 / 3])
    second = moved * 2 / moved.sum()
    torch.testing.assert_close(rule.weights, second)
    # exit 0 has learnt (a quarter left), exit 1 has not: targets are the mean times (0.25/0.625)^1.5 and (1/0.625)^1.5
    rule.step(gram, torch.tensor([0.5, 2.0]), first=False)
    assert rule.weights[0] < second[0]
    assert rule.weights.sum().item() == pytest.approx(2)


@pytest.mark.parametrize("rule", SEPARATE)
def test_rules_touch_the_backbone_and_leave_heads_their_own_gradient(rule):
    torch.manual_seed(0)
    model = make("resnet_nano")
    each = of_each_exit(model)
    torch.manual_seed(1)
    found = gradients(model, gradients=rule)
    assert set(found) == set(each)
    backbone = [name for name in found if block_of(name, model.exits) is not None]
    flat = torch.cat([each[name].flatten(1) for name in backbone], dim=1) / model.n_exits
    gram = flat @ flat.T
    torch.manual_seed(1)
    orders = [torch.randperm(model.n_exits).tolist() for _ in range(model.n_exits)]
    weights = {"pcgrad": pcgrad(gram, orders), "cagrad": cagrad(gram), "gradnorm": torch.ones(model.n_exits)}[rule]
    expected = weights @ flat
    torch.testing.assert_close(torch.cat([found[n].flatten() for n in backbone]), expected, rtol=5e-3, atol=1e-5)
    for name in set(found) - set(backbone):
        torch.testing.assert_close(found[name], each[name].sum(dim=0) / model.n_exits, rtol=1e-3, atol=1e-6)


def test_a_step_of_pcgrad_takes_at_most_k_plus_one_plain_ones():
    rules, seconds = ("sum", "pcgrad"), {"sum": [], "pcgrad": []}
    begun_with = {rule: begun(make("resnet_nano"), gradients=rule) for rule in rules}
    for i in range(25):
        for rule in rules:  # in turn: what else the machine does slows both
            moving, objective, *_ = begun_with[rule]
            began = time.perf_counter()
            logits, target = moving.forward(torch.arange(16), torch.Generator())
            objective.backward(moving.losses(logits, target), logits, target, i)
            seconds[rule].append(time.perf_counter() - began)
            for parameter in moving.parameters:
                parameter.grad = None
    exits = begun_with["sum"][0].model.n_exits
    assert min(seconds["pcgrad"]) <= (exits + 1) * min(seconds["sum"])


# -- distillation -------------------------------------------------------------------------------------------------


def slow_distilled(each, logits, kind, temperature, weight):
    """A loop over exits, teachers and samples."""
    out, exits = each.clone(), len(logits)
    for k in range(len(each)):
        teachers = {"last": [exits - 1], "next": [k + 1], "later": list(range(k + 1, exits))}[kind]
        if k == exits - 1:
            continue
        for n in range(each.shape[1]):
            terms = [
                -sum(torch.softmax(logits[j, n] / temperature, 0) * torch.log_softmax(logits[k, n] / temperature, 0))
                for j in teachers
            ]
            out[k, n] = (1 - weight) * each[k, n] + weight * temperature**2 * sum(terms) / len(terms)
    return out


@pytest.mark.parametrize("kind", DISTILLATIONS)
@pytest.mark.parametrize("students", [4, 3])  # 3: the last exit is frozen and only teaches
def test_distillation_against_loops(kind, students):
    logits = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    each = torch.rand(students, 6, generator=torch.Generator().manual_seed(1))
    found = distilled(each, logits, teacher_shares(kind, 4), 2.0, 0.3)
    torch.testing.assert_close(found, slow_distilled(each, logits, kind, 2.0, 0.3))


def test_distillation_by_hand():
    """Two exits, two classes: student (0.5, 0.5), teacher (0.75, 0.25) at T = 1; at T = 2 the logits are halved."""
    logits = torch.tensor([[[0.0, 0.0]], [[np.log(3.0), 0.0]]], dtype=torch.float32)
    each = torch.tensor([[5.0], [7.0]])
    assert distilled(each, logits, teacher_shares("last", 2), 1.0, 1.0)[:, 0].tolist() == pytest.approx([np.log(2), 7])
    assert distilled(each, logits, teacher_shares("last", 2), 2.0, 0.5)[0, 0].item() == pytest.approx(
        2.5 + 0.5 * 4 * np.log(2)
    )


def test_no_gradient_flows_into_a_teacher():
    logits = torch.randn(3, 4, 5, requires_grad=True)
    each = torch.zeros(3, 4)
    distilled(each, logits, teacher_shares("last", 3), 2.0, 1.0).sum().backward()
    assert (logits.grad[:2].abs().sum(dim=(1, 2)) > 0).all()
    assert logits.grad[2].abs().sum() == 0


def test_teachers_scale_with_temperature_so_that_the_gradient_does_not():
    """For logits close to zero the gradient of T^2 CE does not depend on T."""
    small = 1e-3 * torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for temperature in (1.0, 10.0):
        z = small.clone().requires_grad_()
        distilled(torch.zeros(2, 4), z, teacher_shares("next", 2), temperature, 1.0).sum().backward()
        found.append(z.grad[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("cache", [2 * 2**30, 0])
def test_the_frozen_last_exit_teaches_the_heads(monkeypatch, cache):
    monkeypatch.setattr("eecore.training.moving.CACHE_BYTES", cache)
    torch.manual_seed(0)
    model = make("resnet_nano")
    moving, objective, each, logits, target = begun(model, "heads", distillation="last", distillation_weight=1.0)
    model_in_eval = copy.deepcopy(model).eval()
    teacher = model_in_eval(SYNTHETIC.train.x[:16])[-1].detach()
    torch.testing.assert_close(moving.frozen_logits(), teacher, rtol=1e-4, atol=1e-5)
    shown = objective.backward(each, logits, target, 0)
    expected = slow_distilled(each, torch.cat([logits, teacher[None]]), "last", 3.0, 1.0).mean()
    assert shown.item() == pytest.approx(expected.item(), rel=1e-4)


# -- in the loop --------------------------------------------------------------------------------------------------


def test_the_plain_objective_is_the_mean_and_one_backward_pass():
    model, twin = make(), make()
    found = gradients(model)
    twin.train()
    losses = torch.stack([F.cross_entropy(z, SYNTHETIC.train.y[:16]) for z in twin(SYNTHETIC.train.x[:16])])
    losses.mean().backward()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


@pytest.mark.parametrize("trains", ["all", "heads"])
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_an_interrupted_phase_ends_with_the_same_bits(trains, choice):
    recipe, seen = Recipe(batch_size=16, lr=5e-3, **choice), []
    whole, resumed = make(), make()
    train_phase(whole, SYNTHETIC, Phase(trains, 3), recipe, seed=0, on_epoch=seen.append)
    train_phase(resumed, SYNTHETIC, Phase(trains, 3), recipe, seed=0, start=copy.deepcopy(seen[1]))
    assert all(torch.equal(t, resumed.state_dict()[name]) for name, t in whole.state_dict().items())
    assert not any(m._forward_pre_hooks for m in whole.modules())


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_choice_changes_a_joint_phase(choice):
    plain, other = make(), make()
    train_phase(plain, SYNTHETIC, Phase("all", 1), Recipe(batch_size=16), seed=0)
    train_phase(other, SYNTHETIC, Phase("all", 1), Recipe(batch_size=16, **choice), seed=0)
    assert not all(torch.equal(t, other.state_dict()[name]) for name, t in plain.state_dict().items())


@pytest.mark.parametrize("rule", [*SCALED, *SEPARATE])
def test_gradient_rules_change_nothing_where_the_backbone_does_not_move(rule):
    plain, other = make(), make()
    train_phase(plain, SYNTHETIC, Phase("heads", 1), Recipe(batch_size=16), seed=0)
    train_phase(other, SYNTHETIC, Phase("heads", 1), Recipe(batch_size=16, gradients=rule), seed=0)
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in plain.state_dict().items())


@pytest.mark.parametrize("regime", regimes())
def test_every_regime_trains_with_an_objective(regime, tmp_path):
    ruled = any(phase.rule for phase in phases_of(regime, 1, 5))
    more = {} if ruled else {"gradients": "pcgrad", "distillation": "next"}
    recipe = Recipe(batch_size=16, weights="adaloss", **more)
    run = Run(dataset="synthetic", model="mlp_nano", regime=regime, epochs=1, recipe=recipe)
    result = train(run, Store(tmp_path), progress=False)
    assert result.test_logits.isfinite().all()


def test_the_backbone_alone_is_one_run_under_all_objectives():
    base = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=1)
    other = base.replace(recipe=Recipe(**{**base.recipe.model_dump(), "weights": "linear"}))
    one, two = prefix_keys(base), prefix_keys(other)
    assert one[0] == two[0]
    assert one[1] != two[1]
    assert prefix_keys(base.replace(regime="joint"))[0] != prefix_keys(other.replace(regime="joint"))[0]


# -- what it costs ------------------------------------------------------------------------------------------------


def test_training_cost_counts_the_passes_of_each_exit_and_the_teacher():
    model = make()
    shape, kind = SYNTHETIC.shape, SYNTHETIC.kind
    reached, heads = models.exit_macs(model, shape, kind), models.head_macs(model, shape, kind)
    trunks = [reached[k] - sum(heads[: k + 1]) for k in range(5)]
    expected = 7 * (reached[-1] + 2 * sum(trunks[k] + heads[k] for k in range(5)))
    steps = {"epochs": 1, "steps": 1, "batch": 7}
    assert phase_macs(model, shape, kind, phase=Phase("all", 1), **steps, separate=True) == expected
    cached = {"phase": Phase("heads", 1), **steps, "cached_samples": 3}
    without, teacher = (phase_macs(model, shape, kind, **cached, teacher=t) for t in (False, True))
    assert teacher - without == 3 * (trunks[4] + heads[4] - trunks[3])


@pytest.mark.parametrize("recipe", [{"gradients": "pcgrad"}, {"distillation": "last"}])
def test_a_phase_that_leaves_gradients_out_takes_no_rule_for_them(recipe):
    settings = {"dataset": "synthetic", "model": "mlp_nano", "epochs": 1, "recipe": Recipe(batch_size=16, **recipe)}
    with pytest.raises(SettingError, match=f"{next(iter(recipe))}: .* 'alternating'"):
        Run(regime="alternating", **settings)
    Run(regime="mixed", **settings)


# -- what does not fit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weights": "linaer"}, "weights: 'linaer' is not known; did you mean 'linear'"),
        ({"weights": (1.0, 0.0)}, r"weights: expected numbers above 0, one for each exit, got \[1.0, 0.0\]"),
        ({"weights": ()}, "weights: expected numbers above 0"),
        ({"gradients": "pcgrd"}, "gradients: 'pcgrd' is not known; did you mean 'pcgrad'"),
        ({"gradients": "cagrad", "compile": True}, "gradients: 'cagrad' takes a backward pass for each exit"),
        ({"weights": "l2w", "compile": True}, "weights: 'l2w' takes derivatives of derivatives"),
        ({"distillation": "first"}, "distillation: 'first' is not known"),
        ({"distillation_temperature": 0.0}, "distillation_temperature: .*greater than 0"),
        ({"distillation_weight": 1.5}, "distillation_weight: .*less than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_one_line(wrong, said):
    with pytest.raises(SettingError, match=said) as caught:
        Recipe(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "recipe", "said"),
    [
        ({}, {"weights": (1.0, 2.0)}, "weights: 2 numbers came for a network of 5 exits"),
        ({"exits": (4,)}, {"gradients": "boostnet"}, "gradients: 'boostnet' needs an exit before the last one"),
        ({"exits": (4,)}, {"weights": "linear"}, "weights: 'linear' needs an exit before the last one"),
        ({"exits": (4,)}, {"distillation": "last"}, "distillation: 'last' needs an exit before the last one"),
        ({"dataset": "synthetic_regression"}, {"distillation": "last"}, "distillation: 'last' does not fit synthetic"),
        ({"dataset": "synthetic_regression"}, {"weights": "l2w"}, "weights: 'l2w' does not fit synthetic"),
        (
            {"regime": "gated"},
            {"weights": "l2w"},
            "weights: 'l2w' needs every exit in every step, unlike the rule",
        ),
    ],
)
def test_what_does_not_fit_fails_at_construction(changes, recipe, said):
    wanted = {"dataset": "synthetic", "model": "mlp_nano", "regime": "joint", "epochs": 1, **changes}
    with pytest.raises(SettingError, match=said):
        Run(**wanted, recipe=Recipe(batch_size=16, **recipe))


def test_every_name_has_a_title_and_a_source():
    for known in (WEIGHTS, GRADIENTS, DISTILLATIONS):
        assert all(each.title and each.source for each in known.values())
