"""A grid as a file: every combination, and a line that names each entry that is wrong."""

import sys

import pytest

from eecore.cli import main
from eecore.errors import SettingError
from eecore.grid_file import grid_runs, read_grid
from eecore.training import Store, default_recipe, grid, recipes

SMALL = "datasets: [synthetic]\nmodels: [mlp_nano]\nregimes: [disjoint, mixed]\nseeds: [0, 1]\nepochs: 1\n"


def write(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


def runs_of(tmp_path, text):
    return grid_runs(read_grid(write(tmp_path, text)))


def test_a_file_gives_the_runs_that_the_same_lists_give(tmp_path):
    runs = runs_of(tmp_path, SMALL)
    assert runs == grid(["synthetic"], ["mlp_nano"], ["disjoint", "mixed"], [0, 1], epochs=1)
    defaults = grid_runs({})
    assert {(r.dataset, r.model, r.seed, r.epochs) for r in defaults} == {("mnist1d", "vit_nano", 0, 10)}
    assert [r.regime for r in defaults] == ["disjoint", "joint", "mixed"]


def test_settings_of_a_recipe_change_the_default_one_of_each_model(tmp_path):
    text = "datasets: [digits]\nmodels: [mlp_nano, vit_nano]\nrecipe: {batch_size: 32, milestones: [0.2]}\n"
    runs = runs_of(tmp_path, text)
    for run in runs:
        assert run.recipe == default_recipe(run.model, "digits").model_copy(
            update={"batch_size": 32, "milestones": (0.2,)}
        )
    assert len({run.recipe.lr for run in runs}) == 2


def test_a_preset_brings_its_epochs_where_none_are_said():
    name = recipes.presets()[0]
    fitting = {"datasets": ["digits"], "models": ["resnet_nano"], "regimes": ["joint"], "preset": name}
    (run,) = grid_runs(fitting)
    assert run.epochs == recipes.preset(name).epochs
    assert run.recipe == recipes.preset(name).recipe
    (run,) = grid_runs({**fitting, "epochs": 2, "recipe": {"lr": 0.5}})
    assert (run.epochs, run.recipe.lr) == (2, 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seedz: [0]", "entry: 'seedz' is not known; did you mean 'seeds'"),
        ("seeds: 3", "seeds: expected a list that is not empty, such as .*, got 3"),
        ("seeds: [0, -1]", "seeds: expected an integer from 0 to .*, got -1"),
        ("datasets: [digts]", "datasets: 'digts' is not known; did you mean 'digits'"),
        ("models: [vit_nan]", "models: 'vit_nan' is not known; did you mean 'vit_nano'"),
        ("regimes: [mixd]", "regimes: 'mixd' is not known; did you mean 'mixed'"),
        ("epochs: many", "epochs: expected an integer from 1 to 100000, got 'many'"),
        ("recipe: {lrr: 1}", "recipe: setting: 'lrr' is not known; did you mean 'lr'"),
        ("recipe: {lr: -1}", "recipe: lr: input should be greater than 0, got -1"),
        ("recipe: fast", "recipe: expected settings such as {lr: 0.001}, got 'fast'"),
        ("preset: rsnet", "preset: 'rsnet' is not known"),
        ("exits: 3", "exits: expected 'every'.*, got 3"),
        ("head: [linear]", r"head: expected a text, got \['linear'\]"),
        ("head: linaer", "head: 'linaer' is not known"),
        ("threads: 0", "threads: expected an integer from 1 to 1024, got 0"),
        ("device: warp", "device: 'warp' is not on this machine"),
        ("snapshots: 1", "snapshots: expected true or false, got 1"),
        ("pretrained: none.safetensors", "pretrained: .*none.safetensors"),
        ("seeds: [0", "grid: .*grid.yaml: it is no YAML in line"),
        ("seeds: [0]\nseeds: [1]", "grid: .*grid.yaml: seeds: it is there twice"),
        ("- seeds", "grid: .*grid.yaml holds no entries such as 'seeds: .*', but list"),
        ("", "grid: .*grid.yaml holds no entries"),
    ],
)
def test_a_wrong_entry_is_one_line_that_names_it(tmp_path, text, said):
    with pytest.raises(SettingError, match=said) as caught:
        runs_of(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_all_wrong_entries_are_in_the_line(tmp_path):
    with pytest.raises(SettingError) as caught:
        runs_of(tmp_path, "seeds: [banana]\nepochs: 0\nmodel: vit_nano\ndatasets: [digits]\n")
    names = [part.split(":")[0] for part in str(caught.value).split("; ")]
    assert [name for name in names if name in ("seeds", "epochs", "entry")] == ["seeds", "epochs", "entry"]
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(SettingError, match=r"grid: .*none\.yaml cannot be read: No such file"):
        read_grid(tmp_path / "none.yaml")


def test_on_the_command_line_an_option_replaces_the_file_s_entry(tmp_path, monkeypatch, capsys):
    path = write(tmp_path, SMALL)
    monkeypatch.setattr(sys, "argv", ["eecore", "sweep", str(path), "--seeds", "3", "--workers", "1"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    lines = capsys.readouterr().out.strip().splitlines()
    begun = [line.split(":")[0] for line in lines[:2]]
    assert begun == [f"synthetic mlp_nano {regime} seed 3" for regime in ("disjoint", "mixed")]
    assert lines[2] == "2 runs, 4 phases, 3 distinct: 1 were shared"
    assert len(Store().stored_keys()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "dusk"], "engine: 'dusk' is not known; did you mean 'dask'"),
        (["--scheduler", "tcp://127.0.0.1:9"], "scheduler: only engine='dask' has one"),
        (["--engine", "dask", "--scheduler", "banana"], "scheduler: no Dask scheduler answers at 'banana'"),
    ],
)
def test_a_wrong_engine_is_one_line_and_status_1(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.setattr(sys, "argv", ["eecore", "sweep", str(write(tmp_path, SMALL)), *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    err = capsys.readouterr().err.strip()
    assert said in err
    assert err.startswith("eecore: ")
    assert "\n" not in err
