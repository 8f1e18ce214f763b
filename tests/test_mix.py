"""Mixup and CutMix against loops over samples, and the loss of mixed labels against soft labels."""

import pytest
import torch
from scipy.stats import kstest

from eecore import data
from eecore.data import Target, mix
from eecore.errors import SettingError
from eecore.models import build
from eecore.training import Phase, Recipe, Run
from eecore.training.loop import train_phase
from eecore.training.losses import losses_of


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(samples=40, side=8):
    """Each image has one value, its number; each label too."""
    number = torch.arange(float(samples))
    return number.view(-1, 1, 1, 1).expand(samples, 2, side, side).clone(), number.long()


def test_mixup_is_a_weighted_mean_of_two_samples_and_labels():
    x, y = batch()
    mixed, target = mix(x, y, generator(), mixup=0.8)
    assert sorted(target.other.tolist()) == y.tolist()  # a permutation: everyone is a partner once
    for n in range(len(x)):
        share = float(target.share[n])
        expected = share * x[target.y[n]] + (1 - share) * x[target.other[n]]
        torch.testing.assert_close(mixed[n], expected, rtol=1e-4, atol=1e-4)


def test_cutmix_takes_one_box_from_the_partner_and_the_share_is_what_is_left():
    x, y = batch(200, 16)
    mixed, target = mix(x, y, generator(), cutmix=1.0)
    for n in range(len(x)):
        own = mixed[n, 0] == float(target.y[n])
        if int(target.other[n]) == n:
            continue
        assert torch.equal(~own, mixed[n, 0] == float(target.other[n]))
        assert float(target.share[n]) == pytest.approx(own.double().mean().item(), abs=1e-6)
        rows, columns = (~own).any(dim=1), (~own).any(dim=0)
        assert torch.equal(~own, rows[:, None] & columns[None, :])
        assert int(rows.int().diff().abs().sum()) <= 2


def test_both_give_each_sample_one_of_them():
    x, y = batch(400, 8)
    mixed, target = mix(x, y, generator(), mixup=1.0, cutmix=1.0)
    other = target.other != target.y
    pure = ((mixed[:, 0] == target.y.view(-1, 1, 1)) | (mixed[:, 0] == target.other.view(-1, 1, 1))).flatten(1)
    cut = pure.all(dim=1)[other]
    assert 0.4 < cut.double().mean() < 0.6
    blended = ~pure.any(dim=1)[other]
    assert torch.equal(blended, ~cut)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_of_mixup_are_from_the_beta_distribution(alpha):
    x, y = torch.zeros(4000, 1, 1, 1), torch.zeros(4000, dtype=torch.int64)
    share = mix(x, y, generator(), mixup=alpha)[1].share
    assert kstest(share.numpy(), "beta", args=(alpha, alpha)).pvalue > 1e-3


def test_off_changes_nothing_and_draws_nothing():
    x, y = batch()
    random = generator()
    before = random.get_state()
    same, target = mix(x, y, random)
    assert same is x
    assert target == Target(y)
    assert torch.equal(random.get_state(), before)


def test_the_seed_decides_and_the_global_stream_does_not():
    x, y = batch()
    before = torch.random.get_rng_state()
    first = mix(x, y, generator(1), 0.5, 0.5)[0]
    assert torch.equal(first, mix(x, y, generator(1), 0.5, 0.5)[0])
    assert not torch.equal(first, mix(x, y, generator(2), 0.5, 0.5)[0])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_cross_entropy_of_soft_labels(smoothing):
    logits, y = torch.randn(3, 40, 40, generator=generator()), torch.arange(40)
    _, target = mix(torch.zeros(40, 1, 4, 4), y, generator(), mixup=1.0)
    soft = torch.zeros(40, 40)
    for n in range(40):
        soft[n, target.y[n]] += target.share[n]
        soft[n, target.other[n]] += 1 - target.share[n]
    slow = [torch.nn.functional.cross_entropy(logits[k], soft, label_smoothing=smoothing) for k in range(3)]
    losses = losses_of("classification", Recipe(label_smoothing=smoothing))
    torch.testing.assert_close(losses(logits, target).mean(dim=1), torch.stack(slow))


@pytest.mark.parametrize("trains", ["all", "heads"])
def test_the_loop_learns_from_mixed_samples_and_its_bits_depend_on_the_seed_alone(trains):
    dataset, recipe = data.load("synthetic"), Recipe(lr=5e-3, batch_size=16, mixup=0.4, cutmix=1.0)
    weights, rows = [], []
    for _ in range(2):
        model = build("mlp_nano", kind="image", shape=dataset.shape, classes=4)
        rows.append(train_phase(model, dataset, Phase(trains, 12), recipe, seed=0).history)
        weights.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert rows[0][-1]["validation_loss"] < rows[0][0]["validation_loss"]
    assert len({row["train_loss"] for row in rows[0]}) == 12


def test_mixing_means_that_a_frozen_backbone_is_run_in_every_step():
    def settings(**recipe):
        return Run(dataset="synthetic", model="mlp_nano", regime="disjoint", recipe=Recipe(**recipe))

    assert settings().fixed_inputs
    assert not settings(mixup=0.2).fixed_inputs
    assert not settings(augment="shift").fixed_inputs


def test_what_does_not_fit_is_said_in_one_line():
    x, y = batch(4)
    with pytest.raises(SettingError, match="mixup: expected a number above 0"):
        mix(x, y, generator(), mixup=0.0)
    with pytest.raises(SettingError, match="cutmix: needs images"):
        mix(x[:, :, 0], y, generator(), cutmix=1.0)
    for dataset, recipe, said in [
        ("mnist1d", {"cutmix": 1.0}, "cutmix: 1.0 does not fit mnist1d, which has samples of kind sequence"),
        ("mnist1d", {"augment": "trivial"}, "augment: 'trivial' does not fit mnist1d"),
        ("synthetic", {"loss": "gaussian"}, "loss: 'gaussian' does not fit synthetic, which has the task classific"),
        ("synthetic_regression", {"mixup": 0.2}, "mixup: 0.2 does not fit synthetic_regression, which has the task"),
        ("synthetic_regression", {"label_smoothing": 0.1}, "label_smoothing: 0.1 does not fit synthetic_regression"),
    ]:
        with pytest.raises(SettingError, match=said):
            Run(dataset=dataset, model="resnet_nano", regime="joint", recipe=Recipe(**recipe))


def test_colours_of_data_that_have_none_are_refused_before_training():
    dataset = data.load("synthetic")
    model = build("mlp_nano", kind="image", shape=dataset.shape, classes=4)
    with pytest.raises(SettingError, match="'trivial' needs pixels from 0 to 1, those of synthetic are"):
        train_phase(model, dataset, Phase("all", 1), Recipe(batch_size=16), augmentation="trivial", seed=0)


def test_the_whole_recipe_trains_on_images():
    dataset = data.load("digits")
    model = build("resnet_nano", kind="image", shape=dataset.shape, classes=10, exits="every:2")
    recipe = Recipe(lr=5e-3, batch_size=32, mixup=0.8, cutmix=1.0, label_smoothing=0.1, ema=0.9)
    history = train_phase(model, dataset, Phase("all", 2), recipe, augmentation="trivial_augment", seed=0).history
    assert history[-1]["validation_accuracy"][-1] > 0.6  # chance is 0.1
