"""Several seeds at once are the single runs, up to rounding; and what the experiment does not follow is refused."""

import copy

import pytest
import torch

from bench.stacked import check, train_stacked
from eecore import data, models
from eecore.errors import SettingError
from eecore.training import Phase, Recipe
from eecore.training.loop import train_phase

SYNTHETIC = data.load("synthetic")
RECIPE = Recipe(batch_size=16, lr=1e-3, weight_decay=0.1, label_smoothing=0.1, clip_norm=0.5, augment="none")


def networks(name, seeds):
    info = SYNTHETIC.info
    return [models.build(name, kind=info.kind, shape=info.shape, classes=info.classes, seed=seed) for seed in seeds]


# Convolutions of several seeds are summed in another order, and Adam's first steps are signs of gradients near 0.
CLOSE = {"mlp_nano": 1e-3, "vit_nano": 1e-3, "resnet_nano": 1e-2}


@pytest.mark.parametrize(
    ("name", "clip_norm"),
    [("mlp_nano", 0.5), ("mlp_nano", None), ("mlp_nano", 1000.0), ("vit_nano", 0.5), ("resnet_nano", 0.5)],
)
def test_seeds_together_equal_single_runs(name, clip_norm):
    close = {"rtol": CLOSE[name], "atol": CLOSE[name]}
    seeds, recipe = (0, 3, 5), RECIPE.model_copy(update={"clip_norm": clip_norm})
    starts = networks(name, seeds)
    before = [copy.deepcopy(start.state_dict()) for start in starts]
    together, took = train_stacked(starts, SYNTHETIC, 2, recipe, seeds=seeds)
    assert len(took) == 2
    for start, state, seed, stacked in zip(starts, before, seeds, together, strict=True):
        assert all(torch.equal(state[name], tensor) for name, tensor in start.state_dict().items()), "a start moved"
        single = copy.deepcopy(start)
        train_phase(single, SYNTHETIC, Phase("all", 2), recipe, seed=seed)
        with torch.no_grad():
            apart = single.eval()(SYNTHETIC.test.x)
            torch.testing.assert_close(stacked.eval()(SYNTHETIC.test.x), apart, **close)
            assert (apart - start.eval()(SYNTHETIC.test.x)).abs().max() > 0.1, "the case is void: nothing was learnt"
        for name, tensor in single.state_dict().items():  # batch norm's moments and counts among them
            torch.testing.assert_close(stacked.state_dict()[name], tensor, **close)


def test_the_seeds_do_not_see_each_other():
    starts = networks("mlp_nano", (0, 1))
    both, _ = train_stacked(starts, SYNTHETIC, 1, RECIPE, seeds=(0, 1))
    alone, _ = train_stacked(starts[:1], SYNTHETIC, 1, RECIPE, seeds=(0,))
    for name, tensor in alone[0].state_dict().items():
        torch.testing.assert_close(both[0].state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "sgd"}, "recipe: optimizer is not followed here"),
        ({"ema": 0.9}, "recipe: ema is not followed here"),
        ({"patience": 3}, "recipe: patience is not followed here"),
        ({"augment": "shift"}, "recipe: augment is not followed here"),
        ({"precision": "bf16"}, "recipe: precision is not followed here"),
        ({"weights": "linear"}, "recipe: weights is not followed here"),
    ],
)
def test_what_is_not_followed_is_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        check(networks("mlp_nano", [0])[0], SYNTHETIC, Recipe(**settings))


def test_dropout_regression_and_missing_seeds_are_refused():
    starts = networks("mlp_nano", [0])
    starts[0].blocks.append(torch.nn.Dropout(0.1))
    with pytest.raises(SettingError, match="it has dropout"):
        check(starts[0], SYNTHETIC, RECIPE)
    with pytest.raises(SettingError, match="expected a classification"):
        check(networks("mlp_nano", [0])[0], data.load("synthetic_regression"), RECIPE)
    with pytest.raises(SettingError, match="seeds: expected 1"):
        train_stacked(networks("mlp_nano", [0]), SYNTHETIC, 1, RECIPE, seeds=[0, 1])
