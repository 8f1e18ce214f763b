"""Recipes by name, the schedule in steps, and what the command line says of them."""

import re

import pytest
from typer.testing import CliRunner

from eecore import data
from eecore.cli import app
from eecore.errors import SettingError
from eecore.training import Recipe, Run, default_recipe
from eecore.training.optim import learning_rate
from eecore.training.recipes import preset, presets


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_whole_and_says_its_source(name):
    one = preset(name)
    assert one.name == name
    assert one.epochs >= 1
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", one.source)
    assert one.note.endswith(".")
    assert Recipe(**one.recipe.model_dump()) == one.recipe
    assert one.recipe.augment in [None, *data.augmentations()]


def test_the_names_that_others_rely_on():
    wanted = {"resnet_cifar", "vit_cifar", "msdnet_cifar", "text_small_trec", "text_pairs_stsb", "bert_finetune"}
    assert wanted <= set(presets())
    with pytest.raises(SettingError, match="preset: 'resnet_cifr' is not known; did you mean 'resnet_cifar'"):
        preset("resnet_cifr")


def test_published_numbers():
    msdnet = preset("msdnet_cifar").recipe
    rates = [learning_rate(epoch, 300, msdnet) for epoch in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    wide = preset("resnet_cifar_steps").recipe
    assert [learning_rate(epoch, 200, wide) for epoch in (59, 60, 120, 160)] == pytest.approx([0.1, 0.02, 4e-3, 8e-4])
    vit = preset("vit_cifar").recipe
    assert learning_rate(4, 300, vit) < learning_rate(5, 300, vit) == pytest.approx(1e-3)


def test_warm_up_comes_before_the_steps():
    recipe = Recipe(lr=1.0, schedule="multistep", warmup=0.25, milestones=(0.5,), decay=0.5)
    rates = [round(learning_rate(step, 8, recipe), 4) for step in range(8)]
    assert rates == [0.3333, 0.6667, 1, 1, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    "values",
    [
        {"milestones": (0.5, 0.5)},
        {"milestones": [0.7, 0.2]},
        {"milestones": (1.5,)},
        {"decay": 1.0},
        {"decay": 0.0},
        {"mixup": 0.0},
        {"cutmix": -1.0},
        {"cutmix": float("nan")},
        {"loss": "huber"},
    ],
)
def test_wrong_values_stop_with_one_line(values):
    with pytest.raises(SettingError) as caught:
        Recipe(**values)
    assert "\n" not in str(caught.value)
    assert next(iter(values)) in str(caught.value)


def test_the_default_recipes_of_the_book_are_what_they_were():
    for model, dataset, lr, batch in [("vit_nano", "mnist1d", 9e-3, 100), ("resnet_nano", "mnist5k", 1.2e-2, 50)]:
        assert default_recipe(model, dataset) == Recipe(lr=lr, batch_size=batch)
        assert not default_recipe(model, dataset).mixes


def test_presets_fit_the_data_they_are_for():
    run = Run(dataset="digits", model="resnet_nano", regime="joint", recipe=preset("vit_cifar").recipe)
    assert run.augment == "trivial"
    with pytest.raises(SettingError, match="label_smoothing"):
        Run(dataset="synthetic_regression", model="mlp_nano", regime="joint", recipe=preset("resnet_short").recipe)


def test_the_command_line_lists_them_and_trains_with_one():
    listed = CliRunner().invoke(app, ["recipes"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in presets())
    asked = ["train", "--dataset", "synthetic", "--model", "mlp_nano", "--regime", "joint", "--epochs", "1"]
    trained = CliRunner().invoke(app, [*asked, "--preset", "msdnet_cifar", "--recipe", "lr=0.01"])
    assert "test accuracy per exit (%)" in trained.output
    refused = CliRunner().invoke(app, [*asked, "--preset", "msdnt"])
    assert isinstance(refused.exception, SettingError)


def test_the_last_line_of_a_regression_has_its_own_measure():
    asked = ["train", "--dataset", "synthetic_regression", "--model", "mlp_nano", "--regime", "joint", "--epochs", "8"]
    line = CliRunner().invoke(app, asked).output.strip().splitlines()[-1]
    assert "test pearson per exit" in line
    cells = [float(cell) for cell in line.rsplit("exit", 1)[1].split()]
    assert len(cells) == 5
    assert all(0.5 < cell <= 1 for cell in cells)
