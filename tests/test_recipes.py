"""Recipes by name, the schedule in steps, and what the command line says of them."""

import math
import re
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from eecore import data, models
from eecore.cli import app
from eecore.cli_run import RunOptions
from eecore.errors import SettingError
from eecore.grid_file import grid_runs
from eecore.training import Recipe, Run, default_recipe, grid, initial_model, train
from eecore.training.chance import at_chance, chance_loss
from eecore.training.optim import learning_rate
from eecore.training.pretrained import export
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
    asked = ["train", "--dataset", "digits", "--model", "resnet_nano", "--regime", "joint", "--epochs", "1"]
    small = ["--recipe", "augment=none", "--recipe", "batch_size=500"]
    trained = CliRunner().invoke(app, [*asked, "--preset", "msdnet_cifar", "--recipe", "lr=0.01", *small])
    assert "test accuracy per exit (%)" in trained.output
    refused = CliRunner().invoke(app, [*asked, "--preset", "msdnt"])
    assert isinstance(refused.exception, SettingError)


# -- a preset, a recipe, and what applies where none is named


SMALL = {"datasets": ["digits"], "model_names": ["resnet_nano"], "regime_names": ["joint"], "seeds": [0]}


def test_python_knows_presets_as_the_command_line_and_grid_files_do():
    (run,) = grid(**SMALL, preset="resnet_short", recipe={"lr": 0.5})
    assert run.recipe == Recipe(**{**preset("resnet_short").recipe.model_dump(), "lr": 0.5})
    assert run.epochs == preset("resnet_short").epochs
    assert run == Run(dataset="digits", model="resnet_nano", regime="joint", preset="resnet_short", recipe={"lr": 0.5})
    assert run.replace(epochs=2, recipe={"ema": 0.9}).recipe == run.recipe.model_copy(update={"ema": 0.9})
    assert run.replace(preset="resnet_cifar").recipe == preset("resnet_cifar").recipe
    entries = {"datasets": ["digits"], "models": ["resnet_nano"], "regimes": ["joint"]}
    assert grid_runs({**entries, "preset": "resnet_short", "recipe": {"lr": 0.5}}) == [run]
    plain = Run(dataset="digits", model="mlp_nano", regime="joint", recipe={"batch_size": 20})
    assert plain.recipe == Recipe(**{**default_recipe("mlp_nano", "digits").model_dump(), "batch_size": 20})
    with pytest.raises(SettingError, match="preset, recipe: a whole recipe leaves nothing to the preset"):
        Run(dataset="digits", model="resnet_nano", regime="joint", preset="resnet_short", recipe=Recipe())


def test_a_sweep_takes_the_options_of_train(monkeypatch):
    seen = []
    monkeypatch.setattr("eecore.cli_sweep.sweep", lambda runs, *_, **__: seen.extend(runs) or [])
    words = ["sweep", "--datasets", "digits", "--models", "resnet_nano", "--regimes", "joint", "--exits", "0,2"]
    done = CliRunner().invoke(app, [*words, "--preset", "resnet_short", "--recipe", "lr=1e-3", "--head", "linear"])
    assert done.exception is None
    (run,) = seen
    assert (run.epochs, run.exits, run.head, run.recipe.lr, run.recipe.optimizer) == (30, (0, 2), "linear", 1e-3, "sgd")


def test_a_command_knows_which_options_were_said():
    assert RunOptions().said() == []
    said = RunOptions(dataset="digits", given="w.safetensors", image_size=8, recipe=["lr=.5", "weights=[1,2]"])
    assert sorted(said.said()) == ["--dataset", "--image-size", "--pretrained", "--recipe"]
    assert said.training() == {"pretrained": "w.safetensors", "recipe": {"lr": 0.5, "weights": [1, 2]}}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("bert_finetune", "mlp_nano"),
        ("bert_finetune", "resnet_nano"),
        ("vit_short", "resnet_nano"),
        ("resnet_cifar", "vit_nano"),
        ("text_small_trec", "mlp_nano"),
    ],
)
def test_a_preset_for_another_kind_of_network_is_refused_in_one_line(name, model):
    with pytest.raises(SettingError, match=rf"^preset: '{name}' is for .*, '{model}' is none of them; .*recipe"):
        Run(dataset="digits", model=model, regime="joint", preset=name)


def test_a_network_of_ones_own_takes_any_preset():
    models.register("preset_of_a_test", mlp_backbone, replace=True)
    run = Run(dataset="digits", model="preset_of_a_test", regime="joint", preset="bert_finetune")
    assert (run.epochs, run.recipe.lr) == (4, 5e-5)


def mlp_backbone(name, kind, shape):
    return models.mlp.backbone("mlp_nano", kind, shape)


def mean_of_words(name, kind, shape):
    return models.text.backbone("text_nano", kind, shape)


def test_given_weights_are_fine_tuned_at_a_rate_that_leaves_them_whole(tmp_path):
    finetune = preset("bert_finetune").recipe
    assert default_recipe("bert_base", "trec") == default_recipe("bert_nano", "trec", "bert.safetensors") == finetune
    assert default_recipe("bert_nano", "synthetic_text") == Recipe(lr=4e-3, batch_size=16)  # from random weights
    models.register("encoder_of_a_test", mean_of_words, replace=True)
    models.register("images_of_a_test", mlp_backbone, replace=True)
    about = {"dataset": "synthetic_text", "model": "encoder_of_a_test", "regime": "mixed", "epochs": 1}
    plain = Run(**about)
    assert plain.recipe.lr == 4e-3
    given = str(tmp_path / "given.safetensors")
    export(initial_model(plain).state_dict(), given)
    assert Run(**about, pretrained=given).recipe == finetune
    assert Run(**about, pretrained=given, recipe={"lr": 1e-3}).recipe == finetune.model_copy(update={"lr": 1e-3})
    for brought in ("images_of_a_test", "efficientnet_b0"):
        assert default_recipe(brought, "digits", given).lr == pytest.approx(4e-4)
        assert default_recipe(brought, "digits").lr == 4e-3
    for small in (
        "mlp_nano",
        "resnet_nano",
        "vit_nano",
        "resnet20",
        "vit_micro",
        "efficientnet_nano",
    ):  # of the page on fine-tuning
        assert default_recipe(small, "digits", given) == default_recipe(small, "digits")


# -- a phase that learnt nothing


def test_a_phase_that_ends_at_chance_is_one_line(caplog):
    about = {"dataset": "synthetic", "model": "mlp_nano", "regime": "mixed", "epochs": 2}
    good = train(Run(**about), progress=False)
    assert at_chance(good) == "" == caplog.text
    bad = train(Run(**about, recipe={"lr": 1e-6}), progress=False)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == at_chance(bad)
    assert line.startswith(
        "synthetic mlp_nano mixed seed 0: phase 1 (backbone) learnt nothing: its training loss ended"
    )
    assert "chance is 1.386; try another rate (it was lr=1e-06)" in line
    train(bad.run, progress=False)
    assert len(caplog.records) == 1  # said once
    weighted = train(Run(**{**about, "regime": "joint"}, recipe={"lr": 1e-6, "weights": "linear"}), progress=False)
    assert "phase 1 (all) learnt nothing" in at_chance(weighted)


@pytest.mark.parametrize("loss", ["standard", "gaussian"])
def test_a_regression_at_chance_does_not_beat_the_variance(loss):
    about = {"dataset": "synthetic_regression", "model": "mlp_nano", "regime": "joint", "epochs": 3}
    assert at_chance(train(Run(**about, recipe={"loss": loss}), progress=False)) == ""
    bad = train(Run(**about, recipe={"loss": loss, "lr": 1e-7}), progress=False)
    variance = bad.validation_labels.double().var(correction=0)
    expected = variance if loss == "standard" else 0.5 * (variance.log() + 1)
    assert f"chance is {expected.item():.4g};" in at_chance(bad)


def test_chance_follows_the_shares_of_the_classes():
    result = train(Run(dataset="synthetic", model="mlp_nano", regime="joint", epochs=1), progress=False)
    y = result.validation_labels
    skewed = replace(result, validation_labels=torch.tensor([0] * (len(y) - 16) + [1] * 16))
    assert chance_loss(skewed) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_the_last_line_of_a_regression_has_its_own_measure():
    asked = ["train", "--dataset", "synthetic_regression", "--model", "mlp_nano", "--regime", "joint", "--epochs", "8"]
    line = CliRunner().invoke(app, asked).output.strip().splitlines()[-1]
    assert "test pearson per exit" in line
    cells = [float(cell) for cell in line.rsplit("exit", 1)[1].split()]
    assert len(cells) == 5
    assert all(0.5 < cell <= 1 for cell in cells)
