"""Rules of phases: which parameters move in which step, which losses count, what it costs, and what is refused."""

import copy
import itertools

import pytest
import torch
from test_training_loop import FAST, SYNTHETIC, changed, make, state
from torch import nn

from companion import tables
from eecore.data import Target
from eecore.errors import SettingError
from eecore.models import MultiExit
from eecore.training import Phase, Recipe, Run, phases_of, regime, register_regime, sweep
from eecore.training.costs import phase_macs
from eecore.training.identity import prefix_keys
from eecore.training.loop import train_phase
from eecore.training.moving import Moving
from eecore.training.phase_rules import moving_parts, open_gates, ruled_losses

GATED = Phase("all", 2, rule="gated", threshold=0.6)
RULED = [
    Phase("all", 3, rule="alternating"),
    Phase("all", 3, rule="gated", threshold=0.3),
    Phase("all", 3, rule="detached"),
    Phase("all", 3, rule="unfreeze_top"),
    Phase("all", 3, rule="unfreeze_bottom"),
    Phase("heads", 3, rule="every_head"),
    Phase("branch", 3, exit=1),
]
ADDED = ["full", "refit", "alternating", "branch_wise", "unfreeze_top", "unfreeze_bottom", "gated", "detached"]


def names(model, *prefixes):
    return {name for name in model.state_dict() if name.startswith(prefixes)}


def per_epoch(model, phase, recipe=FAST):
    """What changed in each epoch of a phase."""
    states = [state(model)]
    train_phase(
        model,
        SYNTHETIC,
        phase,
        recipe,
        seed=0,
        on_epoch=lambda p: states.append({n.removeprefix("model."): t for n, t in p.tensors.items() if n[:2] == "mo"}),
    )
    return [changed(before, after) for before, after in itertools.pairwise(states)]


# -- what moves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet_nano", "vit_nano", "mlp_nano"])
def test_a_branch_moves_one_head_and_the_blocks_before_it_buffers_included(name):
    model = make(name, exits=[1, 2])
    last = len(model.blocks) - 1
    assert last > 2 or model.exits == (1, 2)
    own = [("stem.", "blocks.0.", "blocks.1.", "heads.0."), ("blocks.2.", "heads.1.")]
    for k, prefixes in enumerate(own):
        [moved] = per_epoch(model, Phase("branch", 1, exit=k))
        assert moved == names(model, *prefixes)
    if last > 2:
        behind = tuple(f"blocks.{i}." for i in range(3, last + 1))
        [moved] = per_epoch(model, Phase("branch", 1, exit=2))
        assert moved == names(model, *behind, "heads.2.")


def test_a_branch_of_msdnet_moves_of_its_blocks_what_its_head_reads():
    model = make("msdnet_nano", exits=[1, 2])
    [moved] = per_epoch(model, Phase("branch", 1, exit=1))
    assert moved < names(model, "blocks.2.", "heads.1.")
    assert moved & names(model, "blocks.2.")


def test_a_branch_does_not_run_what_lies_behind_it_nor_other_heads():
    model, ran = make("mlp_nano"), set()
    parts = {
        **{f"block {i}": b for i, b in enumerate(model.blocks)},
        **{f"head {k}": h for k, h in enumerate(model.heads)},
    }
    for name, part in parts.items():
        part.register_forward_hook(lambda *_, name=name: ran.add(name))
    train_phase(model, SYNTHETIC, Phase("branch", 1, exit=1), FAST, seed=0)
    assert ran == {"block 0", "block 1", "head 1"}


def test_branch_wise_trains_each_part_once_and_in_order():
    model = make("resnet_nano")
    phases = phases_of("branch_wise", 1, exits=model.n_exits)
    assert [phase.exit for phase in phases] == list(range(model.n_exits))
    seen = [per_epoch(model, phase)[0] for phase in phases]
    assert set.union(*seen) == set(model.state_dict())
    assert sum(map(len, seen)) == len(model.state_dict())  # no part twice


def test_parts_join_evenly_and_all_move_in_the_last_epoch():
    assert [list(moving_parts(4, "unfreeze_top", e, 8)) for e in (0, 1, 2, 6, 7)] == [
        [3],
        [3],
        [2, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
    ]
    assert list(moving_parts(4, "unfreeze_bottom", 2, 8)) == [0, 1]
    for rule in ("unfreeze_top", "unfreeze_bottom", ""):
        for epochs in range(1, 12):
            counts = [len(moving_parts(5, rule, e, epochs)) for e in range(epochs)]
            assert counts == sorted(counts)
            assert counts[0] >= 1
            assert counts[-1] == 5


@pytest.mark.parametrize("name", ["resnet_nano", "vit_nano"])
@pytest.mark.parametrize("rule", ["unfreeze_top", "unfreeze_bottom"])
def test_what_has_not_joined_yet_stays_bit_identical_buffers_included(name, rule):
    model = make(name)
    parts = ["stem.", *(f"blocks.{i}." for i in range(len(model.blocks)))]
    seen = per_epoch(model, Phase("all", len(parts), rule=rule))
    for epoch, moved in enumerate(seen):
        joined = parts[-1 - epoch :] if rule == "unfreeze_top" else parts[: epoch + 1]
        assert moved == names(model, "heads.", *joined)


@pytest.mark.parametrize("name", ["resnet_nano", "msdnet_nano"])  # the heads of msdnet_nano have batch norm
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_alternating_moves_no_early_head_in_even_steps_and_everything_in_odd_ones(name, optimizer):
    model = make(name)
    one_step_an_epoch = Recipe(batch_size=len(SYNTHETIC.train), weight_decay=0.1, optimizer=optimizer)
    seen = per_epoch(model, Phase("all", 4, rule="alternating"), one_step_an_epoch)
    early = names(model, *(f"heads.{k}." for k in range(model.n_exits - 1)))
    for step, moved in enumerate(seen):
        assert moved == (set(model.state_dict()) - early if step % 2 == 0 else set(model.state_dict()))


def test_every_head_moves_the_last_one_too_and_no_backbone():
    model = make("resnet_nano")
    [moved] = per_epoch(model, Phase("heads", 1, rule="every_head"))
    assert moved == names(model, "heads.")


@pytest.mark.parametrize("phase", RULED, ids=lambda p: p.rule or p.trains)
@pytest.mark.parametrize("recipe", [FAST, Recipe(batch_size=20, ema=0.9, patience=5, optimizer="sgd", lr=0.05)])
def test_an_interrupted_phase_ends_with_the_same_bits(phase, recipe):
    whole, resumed, seen = make("resnet_nano"), make("resnet_nano"), []
    straight = train_phase(whole, SYNTHETIC, phase, recipe, seed=0, on_epoch=seen.append)
    for done in (0, 1):
        model = copy.deepcopy(resumed)
        again = train_phase(model, SYNTHETIC, phase, recipe, seed=0, start=copy.deepcopy(seen[done]))
        assert not changed(state(whole), state(model))
        assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in straight.history]


# -- which losses count -------------------------------------------------------------------------------------


def test_gates_by_hand():
    # probabilities of class 0, for four samples of that class, at three exits
    p = torch.tensor([[0.7, 0.5, 0.1, 0.6], [0.2, 0.9, 0.3, 0.5], [0.8, 0.9, 0.9, 0.9]])
    logits = torch.stack([p, 1 - p], dim=2).log()
    # sample 0 is solved at once; sample 1 by exit 1; sample 2 is wrong, however sure; sample 3 is at 0.6, not above
    logits[0, 3] = torch.tensor([0.0, 0.0])
    found = open_gates(logits, torch.zeros(4, dtype=torch.int64), 0.6)
    assert found.int().tolist() == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]]


def test_a_confidence_equal_to_the_threshold_leaves_the_gate_open():
    logits = torch.zeros(2, 1, 2)  # confidence 1/2, prediction class 0
    assert open_gates(logits, torch.tensor([0]), 0.5).tolist() == [[True], [True]]
    assert open_gates(logits, torch.tensor([0]), 0.49).tolist() == [[True], [False]]


def test_gates_equal_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, 40, 3, generator=generator)
    y = torch.randint(0, 3, (40,), generator=generator)
    slow = torch.ones(5, 40, dtype=torch.bool)
    for i in range(40):
        for k in range(5):
            for j in range(k):
                p = logits[j, i].softmax(0)
                if p.argmax() == y[i] and p.max() > 0.8:
                    slow[k, i] = False
    assert 0 < slow.float().mean() < 1
    assert torch.equal(open_gates(logits, y, 0.8), slow)


def test_losses_that_a_rule_leaves_by_hand():
    each, target = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), Target(torch.tensor([0, 1]))
    sure = torch.tensor([[[9.0, 0.0], [9.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    left = ruled_losses(GATED, each, sure, target, 0)
    assert left.tolist() == [[1.0, 2.0], [0.0, 4.0]]  # sample 0 is solved, sample 1 is sure and wrong
    alternating = Phase("all", 1, rule="alternating")
    assert ruled_losses(alternating, each, sure, target, 4).tolist() == [[0.0, 0.0], [3.0, 4.0]]
    assert torch.equal(ruled_losses(alternating, each, sure, target, 5), each)
    assert torch.equal(ruled_losses(Phase("all", 1, rule="detached"), each, sure, target, 4), each)


def gradients(model, phase, step=1):
    """Gradient of each parameter in a step, on 16 samples; None where a parameter has none."""
    moving = Moving(model, phase, FAST, "none", SYNTHETIC, "cpu")
    moving.train_mode(0)
    moving.begin_step(step)
    logits, target = moving.forward(torch.arange(16), torch.Generator())
    moving.ruled(moving.losses(logits, target), logits, target, step).mean().backward()
    return {name: p.grad for name, p in model.named_parameters()}


def test_detached_gives_heads_what_joint_gives_them_and_the_backbone_what_its_own_exit_gives():
    joint, detached, alone = (
        gradients(make("resnet_nano"), Phase(trains, 1, rule))
        for trains, rule in (("all", ""), ("all", "detached"), ("backbone", ""))
    )
    exits = make("resnet_nano").n_exits
    for name, gradient in detached.items():
        if name.startswith("heads."):
            torch.testing.assert_close(gradient, joint[name])
        else:
            torch.testing.assert_close(gradient, alone[name] / exits)  # the loss is the mean over the exits


def test_alternating_gives_the_last_exits_gradient_in_even_steps_and_joints_in_odd_ones():
    phase = Phase("all", 1, "alternating")
    even, odd = gradients(make("resnet_nano"), phase, step=4), gradients(make("resnet_nano"), phase, step=5)
    joint, alone = gradients(make("resnet_nano"), Phase("all", 1)), gradients(make("resnet_nano"), Phase("backbone", 1))
    exits = make("resnet_nano").n_exits
    for name in even:
        assert (
            (even[name] is None)
            == (alone[name] is None)
            == name.startswith(tuple(f"heads.{k}." for k in range(exits - 1)))
        )
        if even[name] is not None:
            torch.testing.assert_close(even[name], alone[name] / exits)
        torch.testing.assert_close(odd[name], joint[name])


def test_detached_is_backbone_and_heads_trained_at_the_same_time():
    plain = {"batch_size": 64, "optimizer": "sgd", "clip_norm": None, "weight_decay": 0.0}
    both, alone = make("mlp_nano"), make("mlp_nano")
    train_phase(both, SYNTHETIC, Phase("all", 4, "detached"), Recipe(lr=0.01 * both.n_exits, **plain), seed=0)
    train_phase(alone, SYNTHETIC, Phase("backbone", 4), Recipe(lr=0.01, **plain), seed=0)
    expected = alone.state_dict()
    for name in names(both, "stem.", "blocks.", f"heads.{both.n_exits - 1}."):
        torch.testing.assert_close(both.state_dict()[name], expected[name], rtol=1e-4, atol=1e-6)


def test_gated_gives_later_exits_no_gradient_from_what_an_earlier_one_solves():
    model = make("mlp_nano")
    wide = gradients(copy.deepcopy(model), Phase("all", 1, "gated", threshold=1 - 1e-6))
    for name, gradient in gradients(copy.deepcopy(model), Phase("all", 1)).items():
        torch.testing.assert_close(wide[name], gradient)  # nobody is so sure: every gate is open
    with torch.no_grad():
        model.heads[0].linear.weight.zero_()
        model.heads[0].linear.bias.zero_()
        model.heads[0].linear.bias[0] = 20.0  # sure of class 0, for every sample
    found = gradients(model, Phase("all", 1, "gated", threshold=0.9))["heads.1.linear.bias"]
    others = SYNTHETIC.train.y[:16] != 0
    assert 0 < others.sum() < 16
    model.train()
    logits = model(SYNTHETIC.train.x[:16])[1][others]
    loss = nn.functional.cross_entropy(logits, SYNTHETIC.train.y[:16][others], reduction="sum")
    expected = torch.autograd.grad(loss / (16 * model.n_exits), model.heads[1].linear.bias)[0]
    torch.testing.assert_close(found, expected)


# -- what it costs ------------------------------------------------------------------------------------------

STEM, FIRST, SECOND, EARLY, LAST = 20, 30, 42, 18, 21  # multiply-adds of the parts of `tiny`


def tiny():
    stem = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
    return MultiExit(stem, [nn.Linear(5, 6), nn.Linear(6, 7)], [nn.Linear(6, 3), nn.Linear(7, 3)], (0, 1))


BACKBONE = STEM + FIRST + SECOND
COSTS = [  # phase of 3 epochs, 2 steps each, 5 samples a step -> multiply-adds by hand
    (Phase("backbone", 3), 30 * 3 * (BACKBONE + LAST)),
    (Phase("all", 3), 30 * 3 * (BACKBONE + EARLY + LAST)),
    (GATED, 30 * 3 * (BACKBONE + EARLY + LAST)),
    (Phase("all", 3, "detached"), 30 * 3 * (BACKBONE + EARLY + LAST)),
    (Phase("heads", 3), 30 * (3 * EARLY + STEM + FIRST)),
    (Phase("heads", 3, "every_head"), 30 * (3 * (EARLY + LAST) + BACKBONE)),
    (Phase("branch", 3, exit=0), 30 * 3 * (STEM + FIRST + EARLY)),
    (Phase("branch", 3, exit=1), 30 * (STEM + FIRST + 3 * (SECOND + LAST))),
    (Phase("all", 3, "alternating"), 30 * 3 * (BACKBONE + LAST) + 15 * (1 + 3) * EARLY),
    (
        Phase("all", 3, "unfreeze_top"),
        10 * ((STEM + FIRST + 3 * SECOND) + (STEM + 3 * (FIRST + SECOND)) + 3 * BACKBONE) + 30 * 3 * (EARLY + LAST),
    ),
    (
        Phase("all", 3, "unfreeze_bottom"),
        10 * ((3 * STEM + 2 * (FIRST + SECOND)) + (3 * (STEM + FIRST) + 2 * SECOND) + 3 * BACKBONE)
        + 30 * 3 * (EARLY + LAST),
    ),
]


@pytest.mark.parametrize(("phase", "expected"), COSTS, ids=lambda value: repr(value))
def test_costs_by_hand(phase, expected):
    assert phase_macs(tiny(), (1, 4), "sequence", phase=phase, epochs=3, steps=6, batch=5) == expected


def test_an_odd_number_of_steps_has_one_more_even_than_odd_ones_and_features_are_paid_once():
    def cost(phase, **more):
        return phase_macs(tiny(), (1, 4), "sequence", phase=phase, epochs=1, steps=3, batch=5, **more)

    spared = cost(Phase("all", 1)) - cost(Phase("all", 1, "alternating"))
    assert spared == 2 * 5 * 2 * EARLY  # 2 even steps, 5 samples, 3 - 1 passes
    assert cost(Phase("heads", 1, "every_head"), cached_samples=7) == 15 * 3 * (EARLY + LAST) + 7 * BACKBONE


# -- identity -----------------------------------------------------------------------------------------------

GOOD = {"dataset": "synthetic", "model": "mlp_nano", "epochs": 2}


def keys(regime_name, **changes):
    return prefix_keys(Run(**{**GOOD, "regime": regime_name, **changes}))


def test_regimes_share_the_prefixes_that_they_have_in_common_and_no_others():
    assert keys("full")[:2] == keys("mixed")
    assert keys("refit")[:1] == keys("joint")
    names = ("joint", "alternating", "gated", "detached", "unfreeze_top", "unfreeze_bottom", "heads_only")
    own = [*(keys(name)[0] for name in names), *keys("random_backbone"), *keys("branch_wise")]
    assert len(keys("branch_wise")) == 5
    assert len(set(own)) == len(own)
    stricter = (Phase("all", 2, rule="gated", threshold=0.5),)
    assert keys("gated") != keys("gated", phases=stricter)


def test_a_phase_is_described_without_what_it_does_not_say():
    assert Phase("all", 3).described() == {"trains": "all", "epochs": 3}
    assert GATED.described() == {"trains": "all", "epochs": 2, "rule": "gated", "threshold": 0.6}
    assert eval(repr(GATED)) == GATED


# -- regimes ------------------------------------------------------------------------------------------------


def test_every_regime_trains_and_stands_in_every_table():
    runs = [Run(**{**GOOD, "regime": name, "epochs": 1}) for name in (*ADDED, "random_backbone")]
    frame = tables.per_exit(sweep(runs, progress=False, workers=1))
    assert frame.groupby("regime").size().to_dict() == {run.regime: frame["exit"].max() for run in runs}
    assert frame["training_macs"].gt(0).all()


@pytest.mark.parametrize("name", [*ADDED, "random_backbone"])
def test_regimes_say_where_they_come_from(name):
    assert regime(name).source
    assert regime(name).title != name


def test_phases_follow_the_number_of_exits():
    run = Run(**GOOD, regime="branch_wise", exits=(0, 4))
    assert [phase.exit for phase in run.phases] == [0, 1]
    assert len(run.replace(exits=(0, 1, 4)).phases) == 3
    register_regime("last_first", lambda epochs, exits: (Phase("branch", epochs, exit=exits - 1), Phase("all", epochs)))
    assert Run(**GOOD, regime="last_first", exits=(0, 4)).phases[0].exit == 1
    with pytest.raises(SettingError, match=r"^exits: the phases of regime 'last_first' depend on the number of exits"):
        phases_of("last_first", 2)


WRONG_PHASES = [
    ({"trains": "all", "rule": "alternatin"}, "rule: 'alternatin' is not known; did you mean 'alternating'"),
    ({"trains": "heads", "rule": "detached"}, "rule: 'detached' is for phases that train 'all', this one .*'heads'"),
    ({"trains": "all", "rule": "every_head"}, "rule: 'every_head' is for phases that train 'heads'"),
    ({"trains": "branch"}, "exit: expected 0 or more with 'branch', None without, got None"),
    ({"trains": "branch", "exit": -1}, "exit: expected 0 or more .*got -1"),
    ({"trains": "branch", "exit": True}, "exit: expected 0 or more .*got True"),
    ({"trains": "all", "exit": 0}, "exit: expected .*got 0"),
    ({"trains": "all", "rule": "gated"}, "threshold: expected one in .0, 1. with the rule 'gated'.*got None"),
    ({"trains": "all", "rule": "gated", "threshold": 1.0}, "threshold: .*got 1.0"),
    ({"trains": "all", "rule": "gated", "threshold": float("nan")}, "threshold: .*got nan"),
    ({"trains": "all", "threshold": 0.5}, "threshold: .*got 0.5"),
]


@pytest.mark.parametrize(("values", "said"), WRONG_PHASES)
def test_wrong_phases_stop_with_one_line(values, said):
    with pytest.raises(SettingError, match=f"^{said}") as caught:
        Phase(epochs=1, **values)
    assert "\n" not in str(caught.value)


WRONG_RUNS = [
    ({"regime": "gated", "exits": (4,)}, "phases: a rule 'gated' needs an exit before the last one"),
    ({"regime": "detached", "exits": (4,)}, "phases: a rule 'detached' needs an exit before the last one"),
    ({"regime": "alternating", "exits": (4,)}, "phases: a rule 'alternating' needs an exit before"),
    ({"regime": "full", "exits": (4,)}, "phases: a 'heads' phase needs an exit before the last one"),
    ({"regime": "joint", "phases": (Phase("branch", 1, exit=9),)}, "exit: a branch to exit 9 came, .* 0 to 4"),
    ({"regime": "gated", "recipe": Recipe(mixup=0.2)}, "rule: 'gated' needs one class .* mixes samples"),
    ({"regime": "gated", "dataset": "synthetic_regression"}, "rule: 'gated' .* has the task regression"),
]


@pytest.mark.parametrize(("change", "said"), WRONG_RUNS)
def test_what_does_not_fit_stops_when_a_run_is_made(change, said):
    with pytest.raises(SettingError, match=f"^{said}") as caught:
        Run(**{**GOOD, **change})
    assert "\n" not in str(caught.value)
