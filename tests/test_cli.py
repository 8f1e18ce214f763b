"""The command line: what it prints, and the one line for what is wrong."""

import json
import subprocess
import sys

import pytest

from eecore.cli import main
from eecore.training import Store


def run(capsys, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["eecore", *map(str, words)])
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    out = capsys.readouterr()
    return status or 0, out.out, out.err


FAST = ["--dataset", "synthetic", "--model", "mlp_nano", "--epochs", "1"]


def test_train_ends_with_the_accuracy_of_every_exit(capsys, monkeypatch):
    status, out, _ = run(capsys, monkeypatch, "train", *FAST, "--regime", "mixed", "--recipe", "lr=0.001")
    assert status == 0
    last = out.strip().splitlines()[-1]
    assert last.startswith("synthetic mlp_nano mixed seed 0: test accuracy per exit (%) ")
    assert len(last.split(") ")[1].split()) == 5


def test_sweep_says_how_many_phases_were_shared(capsys, monkeypatch):
    words = [
        "sweep",
        "--datasets",
        "synthetic",
        "--models",
        "mlp_nano",
        "--seeds",
        "0",
        "--epochs",
        "1",
        "--workers",
        "1",
    ]
    status, out, _ = run(capsys, monkeypatch, *words)
    assert status == 0
    assert out.strip().splitlines()[-1] == "3 runs, 5 phases, 4 distinct: 1 were shared"


def test_runs_list_show_and_prune(capsys, monkeypatch):
    run(capsys, monkeypatch, "train", *FAST, "--regime", "mixed")
    keys = Store().stored_keys()
    assert len(keys) == 2
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = run(capsys, monkeypatch, "runs", "list")
    assert all(key in out for key in keys)
    _, out, _ = run(capsys, monkeypatch, "runs", "show", keys[0][:8])
    assert json.loads(out)["identity"]["dataset"] == "synthetic"
    status, _, err = run(capsys, monkeypatch, "runs", "prune")
    assert status == 1
    assert "say which" in err
    run(capsys, monkeypatch, "runs", "prune", keys[0])
    assert Store().stored_keys() == keys[1:]
    run(capsys, monkeypatch, "runs", "prune", "--everything")
    assert Store().stored_keys() == []


def test_data_and_models_list_everything(capsys, monkeypatch):
    from eecore import data, models

    monkeypatch.setenv("COLUMNS", "250")
    _, out, _ = run(capsys, monkeypatch, "data")
    assert all(name in out for name in data.names())
    _, out, _ = run(capsys, monkeypatch, "models", "--dataset", "digits")
    assert all(name in out for name in models.names())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--dataset", "cfar10"], "dataset: 'cfar10' is not known"),
        (["train", "--regime", "mixd"], "regime: 'mixd' is not known; did you mean 'mixed'"),
        (["train", *FAST, "--epochs", "-1"], "epochs: "),
        (["train", *FAST, "--device", "warp"], "device: 'warp'"),
        (["train", *FAST, "--recipe", "lr"], "recipe: expected name=value"),
        (["train", *FAST, "--recipe", "lr=fast"], "lr: "),
        (["train", *FAST, "--recipe", "optimiser=sgd"], "did you mean 'optimizer'"),
        (["train", *FAST, "--exits", "0,99"], "exits"),
        (["sweep", "--seeds", "banana"], "seeds: expected integers"),
        (["runs", "show", "zzz"], "key: 'zzz' fits 0 stored runs"),
        (["runs", "prune", "nokey"], "not in the store: nokey"),
        (["lab", "--minutes", "0"], "minutes: expected a number above 0, got 0"),
        (["lab", "--only", "resnet34-cifar"], "only: 'resnet34-cifar' is not known; did you mean 'resnet34-cifar10"),
        (["lab", "--plan", "none.toml"], "plan: none.toml cannot be read"),
        (["lab", "--records", "nowhere"], "records: nowhere is not a folder"),
        (["lab", "--device", "warp"], "device: 'warp'"),
    ],
)
def test_wrong_words_are_one_line_and_status_1(capsys, monkeypatch, words, said):
    status, _, err = run(capsys, monkeypatch, *words)
    assert status == 1
    assert said in err
    assert err.strip().count("\n") == 0
    assert err.startswith("eecore: ")


@pytest.mark.parametrize("words", [[], ["train"], ["sweep"], ["data"], ["runs"], ["models"], ["lab"]])
def test_each_help_has_an_example(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "160")
    status, out, _ = run(capsys, monkeypatch, *words, "--help")
    assert status == 0
    assert "Example: python -m eecore" in " ".join(out.split())


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "eecore", "--help"], capture_output=True, text=True, check=True)
    assert "sweep" in done.stdout


def test_lab_does_what_is_missing_and_says_what_is_there(capsys, monkeypatch, tmp_path):
    entry = '[[entry]]\nname = "tiny"\ntitle = "Tiny"\nsize = "small"\ndataset = "synthetic"\nmodel = "mlp_nano"\n'
    (tmp_path / "plan.toml").write_text(entry + 'regimes = ["joint"]\nseeds = [0, 1]\nepochs = 1\n')
    words = ["lab", "--records", tmp_path]
    _, out, _ = run(capsys, monkeypatch, *words, "--status")
    assert [cell.strip() for cell in out.splitlines()[3].strip("│").split("│")] == [
        "tiny",
        "small",
        "2",
        "0",
        "0",
        "2",
        "",
    ]
    status, out, _ = run(capsys, monkeypatch, *words, "--minutes", "5")
    assert status == 0
    assert f"2 records written to {tmp_path}" in out
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["joint-seed0.json", "joint-seed1.json"]
    _, out, _ = run(capsys, monkeypatch, *words)
    assert f"0 records written to {tmp_path}" in out
