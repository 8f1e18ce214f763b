"""The command line: what it prints, and the one line for what is wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

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


def test_names_with_commas_are_in_quotes(capsys, monkeypatch, tmp_path):
    path = tmp_path / "a,b.npz"
    np.savez(path, x=np.random.RandomState(0).randn(60, 9).astype(np.float32), y=np.arange(60) % 3)
    words = ["--models", "mlp_nano", "--regimes", "joint", "--epochs", "1", "--workers", "1"]
    for said in (f'synthetic,"arrays:{path}"', f'["arrays:{path}", synthetic]'):
        status, out, err = run(capsys, monkeypatch, "sweep", "--datasets", said, *words)
        assert status == 0, err
        assert {line.split()[0] for line in out.splitlines()[:2]} == {"synthetic", "a-b"}


def test_what_the_system_refuses_is_one_line(capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr("eecore.cli.train", full)
    status, out, err = run(capsys, monkeypatch, "train", *FAST)
    assert (status, out) == (1, "")
    came_in, last = err.splitlines()[:-1], err.splitlines()[-1]
    assert last == "eecore: '/somewhere/file': No space left on device"
    assert [line.partition(":")[0] for line in came_in] == ["store", "data"]


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


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """Two data folders that are empty, and forty images of 12 to 15 pixels in two class folders."""
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EECORE_DATA", str(tmp_path / "data"))
    stream = np.random.RandomState(0)
    for i in range(40):
        path = tmp_path / "pets" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = 12 + i % 4
        Image.fromarray(stream.randint(0, 256, (side, side, 3)).astype(np.uint8)).save(path)
    return tmp_path


def test_own_images_train_in_one_command(capsys, monkeypatch, own_data):
    words = ["--model", "mlp_nano", "--epochs", "1", "--image-size", "8"]
    status, out, _ = run(capsys, monkeypatch, "train", "--dataset", f"images:{own_data / 'pets'}", *words)
    assert status == 0
    assert out.startswith("pets-8 mlp_nano mixed seed 0: test accuracy per exit (%) ")
    _, out, _ = run(capsys, monkeypatch, "data", "info", f"images:{own_data / 'pets'}")
    assert "image, 3 x 32 x 32, 2 classes" in out
    status, _, err = run(capsys, monkeypatch, "train", *FAST, "--image-size", "8")
    assert (status, err) == (1, "eecore: image-size: only images:DIR can be resized, got 'synthetic'\n")


def test_data_list_says_what_is_here_and_how_own_data_are_named(capsys, monkeypatch, own_data):
    folder = own_data / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "test_batch.bin").write_bytes(bytes(3_000_000))
    for words in (["data"], ["data", "list"]):
        _, out, _ = run(capsys, monkeypatch, *words)
        rows = {line.split()[1]: line for line in out.splitlines() if line.startswith("│")}
        assert "yes, 3.0 MB" in rows["cifar10"]
        assert "│ no " in rows["cifar100"]
        assert "yes, with a package" in rows["digits"]
        assert "Krizhevsky 2009" in rows["cifar10"]
        assert "images:DIR, arrays:FILE.npz" in out


def test_data_verify_names_what_is_damaged(capsys, monkeypatch, own_data):
    status, out, err = run(capsys, monkeypatch, "data", "verify", "digits", "synthetic")
    assert (status, out, err) == (0, "digits: sound\nsynthetic: sound\n", "")
    folder = own_data / "data" / "cifar-100-binary"
    folder.mkdir(parents=True)
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(bytes(3074 * 5))
    status, out, err = run(capsys, monkeypatch, "data", "verify")
    assert status == 1
    assert "digits: sound" in out
    lines = err.strip().splitlines()
    assert lines[0].startswith("eecore: cifar100: the files in")
    assert lines[-1].endswith("are not sound: cifar100")
    assert len(lines) == 2


def test_data_fetch_says_what_went_wrong(capsys, monkeypatch, own_data):
    words = ["data", "fetch", "cifar100", "--base-url", "http://127.0.0.1:9"]
    status, _, err = run(capsys, monkeypatch, *words)
    assert status == 1
    assert err.startswith("eecore: cifar100: cifar-100-binary.tar.gz cannot be had: ")
    assert err.count("\n") == 1
    status, _, err = run(capsys, monkeypatch, "data", "fetch", "digits")
    assert (status, err) == (1, "eecore: data: 'digits' needs no download; use load('digits')\n")


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
        (["train", *FAST, "--recipe", "lr=010"], "lr: '010' is no decimal number"),
        (["sweep", "--seeds", "banana"], "seeds: expected integers"),
        (["sweep", "--seeds", "010"], "seeds: expected integers"),
        (["sweep", "--datasets", "[digits"], "datasets: '[digits' is no list"),
        (["sweep", "--datasets", '"digits'], "datasets: "),
        (["sweep", "--preset", "bert_finetune"], "preset: 'bert_finetune' is for pretrained encoders"),
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


COMMANDS = ["train", "sweep", "data", "data list", "data fetch", "data verify", "runs", "models", "lab"]


@pytest.mark.parametrize("words", [[], *(command.split() for command in COMMANDS)])
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
