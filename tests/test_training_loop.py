"""The loop: what moves, what does not, and that it learns."""

import copy

import pytest
import torch

from eecore import data, models
from eecore.analysis.planes import recompute_batch_norm
from eecore.errors import TrainingError
from eecore.training import Phase, Recipe
from eecore.training.loop import exit_losses, judged, split_logits, train_phase
from eecore.training.optim import derived_seed, learning_rate, make_optimizer

SYNTHETIC = data.load("synthetic")
FAST = Recipe(lr=5e-3, batch_size=16)


def make(name="resnet_nano", **settings):
    info = SYNTHETIC.info
    return models.build(name, kind=info.kind, shape=info.shape, classes=info.classes, **settings)


def state(model):
    return {name: t.clone() for name, t in model.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def backbone_names(model):
    """Names of everything that belongs to the backbone: stem, blocks and the last head."""
    last = f"heads.{model.n_exits - 1}."
    return {name for name in model.state_dict() if name.startswith(("stem.", "blocks.", last))}


@pytest.mark.parametrize("name", ["resnet_nano", "msdnet_nano", "vit_nano", "vit_nano_cls", "mlp_nano"])
def test_heads_phase_leaves_the_backbone_bit_identical_buffers_included(name):
    model = make(name)
    train_phase(model, SYNTHETIC, Phase("backbone", 1), FAST, seed=0)
    before = state(model)
    train_phase(model, SYNTHETIC, Phase("heads", 2), FAST, seed=0)
    moved = changed(before, state(model))
    assert moved, "the heads did not learn"
    assert not moved & backbone_names(model)


def test_full_chain_leaves_the_backbone_of_its_second_phase_bit_identical():
    model = make()
    for phase in (Phase("backbone", 1), Phase("all", 1)):
        train_phase(model, SYNTHETIC, phase, FAST, seed=0)
    before = state(model)
    train_phase(model, SYNTHETIC, Phase("heads", 1), FAST, seed=0)
    assert not changed(before, state(model)) & backbone_names(model)


def test_heads_phase_is_the_same_with_recomputed_features(monkeypatch):
    one, two = make(), make()
    train_phase(one, SYNTHETIC, Phase("heads", 2), FAST, seed=0)
    monkeypatch.setattr("eecore.training.moving.CACHE_BYTES", 0)
    train_phase(two, SYNTHETIC, Phase("heads", 2), FAST, seed=0)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_backbone_phase_moves_no_other_head_and_everything_else():
    model = make()
    before = state(model)
    train_phase(model, SYNTHETIC, Phase("backbone", 1), FAST, seed=0)
    assert changed(before, state(model)) == backbone_names(model)


def test_all_phase_moves_everything():
    model = make()
    before = state(model)
    train_phase(model, SYNTHETIC, Phase("all", 1), FAST, seed=0)
    assert changed(before, state(model)) == set(before)


def test_afterwards_every_parameter_can_be_differentiated_again():
    model = make()
    train_phase(model, SYNTHETIC, Phase("heads", 1), FAST, seed=0)
    model.eval()
    model(SYNTHETIC.train.x[:4]).sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in model.parameters())


def test_it_learns_the_synthetic_data():
    model = make("mlp_nano")
    train_phase(model, SYNTHETIC, Phase("all", 20), FAST, seed=0)
    logits = split_logits(model, SYNTHETIC.test)
    accuracy = (logits.argmax(2) == SYNTHETIC.test.y).double().mean(1)
    assert accuracy[-1] > 0.8


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    outcomes = []
    for seed in (0, 0, 1):
        model = make()
        train_phase(model, SYNTHETIC, Phase("all", 1), FAST, seed=seed, augmentation="shift")
        outcomes.append(state(model))
    assert not changed(outcomes[0], outcomes[1])
    assert changed(outcomes[0], outcomes[2])


@pytest.mark.parametrize("trains", ["backbone", "all", "heads"])
@pytest.mark.parametrize("recipe", [FAST, Recipe(batch_size=16, ema=0.9, patience=5, optimizer="sgd", lr=0.05)])
def test_an_interrupted_phase_ends_with_the_same_bits(trains, recipe):
    whole, resumed, seen = make("vit_nano"), make("vit_nano"), []
    straight = train_phase(whole, SYNTHETIC, Phase(trains, 3), recipe, seed=0, on_epoch=seen.append)
    halfway = copy.deepcopy(seen[0])
    again = train_phase(resumed, SYNTHETIC, Phase(trains, 3), recipe, seed=0, start=halfway)
    assert not changed(state(whole), state(resumed))
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in straight.history]


def test_global_random_state_and_threads_are_left_alone():
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train_phase(make(), SYNTHETIC, Phase("all", 1), FAST, seed=0, threads=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_loss_that_is_not_a_number_names_phase_step_and_learning_rate():
    recipe = Recipe(lr=1000.0, batch_size=16, optimizer="sgd", clip_norm=None, warmup=0.0, schedule="constant")
    with pytest.raises(TrainingError, match=r"step \d+ of 80 of phase 'all', learning rate 1e\+03"):
        train_phase(make("mlp_nano"), SYNTHETIC, Phase("all", 20), recipe, seed=0)


def test_early_stopping_ends_with_the_best_state_and_stops():
    recipe = Recipe(lr=0.05, batch_size=16, patience=2, schedule="constant")
    model, states = make("mlp_nano"), []
    progress = train_phase(
        model, SYNTHETIC, Phase("all", 60), recipe, seed=0, on_epoch=lambda p: states.append((p.epoch, p.best))
    )
    losses = [row["validation_loss"] for row in progress.history]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 2 < 60
    logits = split_logits(model, SYNTHETIC.validation).float()
    loss = exit_losses(logits, SYNTHETIC.validation.y, 0.0).mean().item()
    assert loss == pytest.approx(min(losses), rel=2e-3)  # float16 logits


def test_early_stopping_restores_the_best_state_also_when_the_epochs_run_out():
    recipe = Recipe(lr=0.2, batch_size=16, patience=50, schedule="constant", clip_norm=None)
    model = make("mlp_nano")
    progress = train_phase(model, SYNTHETIC, Phase("all", 12), recipe, seed=1)
    losses = [row["validation_loss"] for row in progress.history]
    assert len(losses) == 12
    assert min(losses) < losses[-1], "the case is void: the last epoch is the best"
    logits = split_logits(model, SYNTHETIC.validation).float()
    loss = exit_losses(logits, SYNTHETIC.validation.y, 0.0).mean().item()
    assert loss == pytest.approx(min(losses), rel=2e-3)


def test_a_tie_is_no_improvement_and_min_delta_is_the_smallest_decrease():
    assert judged(1.0, 0, 1.0, 0.0) == (1.0, 1)
    assert judged(1.0, 4, 0.999, 0.0) == (0.999, 0)
    assert judged(1.0, 0, 0.95, 0.1) == (1.0, 1)
    assert judged(1.0, 0, 0.89, 0.1) == (0.89, 0)


def test_label_smoothing_and_exit_losses_equal_a_plain_loop():
    torch.manual_seed(0)
    logits, y = torch.randn(3, 7, 5), torch.randint(0, 5, (7,))
    slow = [torch.nn.functional.cross_entropy(logits[k], y, label_smoothing=0.1) for k in range(3)]
    torch.testing.assert_close(exit_losses(logits, y, 0.1), torch.stack(slow))


def test_schedules_by_hand():
    def rates(schedule, warmup):
        return [round(learning_rate(s, 8, Recipe(lr=1.0, schedule=schedule, warmup=warmup)), 4) for s in range(8)]

    assert rates("constant", 0.25) == [0.3333, 0.6667, 1, 1, 1, 1, 1, 1]
    assert rates("onecycle", 0.0) == [0.2, 0.4, 0.6, 0.8, 1.0, 0.75, 0.5, 0.25]
    assert rates("cosine", 0.0)[0] == 1.0
    assert rates("cosine", 0.0)[4] == 0.5


def test_weight_decay_spares_biases_and_norms():
    model = make()
    groups = make_optimizer(model.parameters(), FAST).param_groups
    assert {p.ndim >= 2 for p in groups[0]["params"]} == {True}
    assert {p.ndim < 2 for p in groups[1]["params"]} == {True}
    assert (groups[0]["weight_decay"], groups[1]["weight_decay"]) == (0.01, 0.0)


def test_derived_seeds_differ_and_stay():
    assert derived_seed(0, "all", 1) == derived_seed(0, "all", 1) < 2**63
    assert len({derived_seed(seed, epoch) for seed in range(10) for epoch in range(10)}) == 100


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"channels_last": True}])
def test_faster_number_formats_train_too(settings):
    model = make()
    progress = train_phase(model, SYNTHETIC, Phase("all", 2), Recipe(batch_size=16, **settings), seed=0)
    assert progress.history[-1]["train_loss"] < progress.history[0]["train_loss"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_the_moving_average_is_what_a_plain_loop_computes():
    averages, model = [], make("mlp_nano")
    plain = make("mlp_nano")
    recipe = Recipe(batch_size=64, ema=0.5)  # one step an epoch
    train_phase(model, SYNTHETIC, Phase("all", 2), recipe, seed=0)
    train_phase(
        plain,
        SYNTHETIC,
        Phase("all", 2),
        Recipe(batch_size=64),
        seed=0,
        on_epoch=lambda p: averages.append(p.tensors["model.blocks.0.0.weight"].clone()),
    )
    start = make("mlp_nano").state_dict()["blocks.0.0.weight"]
    expected = start
    for weights in averages:
        expected = 0.5 * expected + 0.5 * weights
    torch.testing.assert_close(model.state_dict()["blocks.0.0.weight"], expected)


@pytest.mark.parametrize("patience", [None, 5])
def test_averaged_weights_have_the_statistics_of_batch_norm_that_they_give(patience):
    recipe = Recipe(lr=5e-3, batch_size=16, ema=0.98, patience=patience)
    model, resumed, seen = make(), make(), []
    straight = train_phase(model, SYNTHETIC, Phase("all", 3), recipe, seed=0, on_epoch=seen.append)
    train_phase(resumed, SYNTHETIC, Phase("all", 3), recipe, seed=0, start=copy.deepcopy(seen[1]))
    assert not changed(state(model), state(resumed))
    again = copy.deepcopy(model)
    with torch.no_grad():
        recompute_batch_norm(again, SYNTHETIC.train.x)
        x = SYNTHETIC.validation.x
        torch.testing.assert_close(model.eval()(x), again.eval()(x), rtol=1e-3, atol=1e-3)
    best = min(straight.history, key=lambda row: row["validation_loss"]) if patience else straight.history[-1]
    right = split_logits(model, SYNTHETIC.validation).argmax(2) == SYNTHETIC.validation.y
    assert right.float().mean(1).tolist() == pytest.approx(best["validation_accuracy"])
    tracked = {name: t for name, t in seen[-1].tensors.items() if name.startswith("model.") and "running_mean" in name}
    assert any(not torch.equal(t, state(model)[name.removeprefix("model.")]) for name, t in tracked.items())


def test_batch_norm_that_is_frozen_keeps_its_statistics_under_averaging():
    model = make()
    before = state(model)
    train_phase(model, SYNTHETIC, Phase("heads", 1), Recipe(batch_size=16, ema=0.9), seed=0)
    assert not {name for name in changed(before, state(model)) if name.startswith(("stem.", "blocks."))}


@pytest.mark.parametrize("trains", ["backbone", "all", "heads"])
@pytest.mark.parametrize("patience", [None, 5])
def test_averaged_weights_get_batch_norm_statistics_of_their_own(trains, patience):
    recipe = Recipe(batch_size=16, ema=0.99, patience=patience, lr=0.01)
    model, seen = make("resnet_nano"), []
    train_phase(model, SYNTHETIC, Phase(trains, 2), recipe, seed=0, on_epoch=seen.append)
    expected = copy.deepcopy(model).eval()
    moving = expected.heads[:-1] if trains == "heads" else expected
    norms = [m for m in moving.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:  # one batch of all training samples: its mean and variance
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None
    with torch.no_grad():
        expected(SYNTHETIC.train.x)
    for name, wanted in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], wanted, msg=name)
    resumed = make("resnet_nano")  # killed after the first epoch, and after the last one
    for at in (0, 1):
        train_phase(resumed, SYNTHETIC, Phase(trains, 2), recipe, seed=0, start=copy.deepcopy(seen[at]))
        assert not changed(state(model), state(resumed))
