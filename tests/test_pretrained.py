"""Fine-tuning: train on some classes, go on with others, in every regime from the same weights."""

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from test_cli import run as command

from eecore import data, models
from eecore.data import Split, registry
from eecore.errors import SettingError, StoreError
from eecore.training import Phase, Recipe, Run, Store, initial_model, pretrain, pretrained, starts_from, train
from eecore.training.identity import identity, prefix_keys

FAST = Recipe(lr=3e-3, batch_size=50)
BACKBONE = ("stem.", "blocks.")


def part_of_digits(name, first, count):
    """Handwritten digits from `first` on, `count` classes."""
    digits = data.load("digits")
    splits = {}
    for part in ("train", "validation", "test"):
        split = getattr(digits, part)
        rows = (split.y >= first) & (split.y < first + count)
        splits[part] = Split(split.x[rows], split.y[rows] - first)
    return data.assemble(dataclasses.replace(digits.info, name=name, classes=count), **splits)


@pytest.fixture(autouse=True)
def two_data_sets(monkeypatch):
    """Six classes to pretrain on, the other four to fine-tune on."""
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    for name, first, count in (("low_digits", 0, 6), ("high_digits", 6, 4)):
        made = part_of_digits(name, first, count)
        data.register(made.info, lambda made=made: made)
    yield
    registry._load.cache_clear()


@pytest.fixture
def given(tmp_path):
    """A pretrained network (phase 1 on the low digits), and its file."""
    result = train(run("low_digits", "joint", phases=(Phase("backbone", 3),)), progress=False)
    path = tmp_path / "low.safetensors"
    pretrained.export(result.model().state_dict(), path)
    return result.model(), str(path)


def run(dataset, regime, model="mlp_nano", **settings):
    return Run(**{"dataset": dataset, "model": model, "regime": regime, "epochs": 1, "recipe": FAST} | settings)


def equal(a, b, names):
    names = list(names)
    assert names
    return all(torch.equal(a[name], b[name]) for name in names)


def backbone(state):
    return [name for name in state if name.startswith(BACKBONE)]


def test_the_file_holds_backbone_and_classifier(given):
    model, path = given
    tensors = safetensors.torch.load_file(path)
    assert {name.split(".")[0] for name in tensors} == {"blocks", "classifier"}  # the stem of a perceptron is empty
    assert torch.equal(tensors["classifier.linear.weight"], model.heads[-1].linear.weight)


def test_exporting_twice_gives_the_same_bytes_and_says_where_from(given, tmp_path):
    model, _ = given
    digests = {pretrained.export(model.state_dict(), tmp_path / f"{i}", {"model": "m", "seed": 1}) for i in range(3)}
    assert digests == {pretrained.checksum(tmp_path / "0")}
    with safetensors.safe_open(tmp_path / "0", "pt") as file:
        assert json.loads(file.metadata()["about"]) == {"model": "m", "seed": 1}


@pytest.mark.parametrize("exits", ["every", "every:2", ()])
def test_a_run_starts_from_the_given_weights(given, exits):
    model, path = given
    start = initial_model(run("low_digits", "joint", exits=exits, seed=5, pretrained=path)).state_dict()
    plain = initial_model(run("low_digits", "joint", exits=exits, seed=5)).state_dict()
    assert equal(start, model.state_dict(), backbone(start))
    last = f"heads.{len([n for n in start if n.endswith('linear.weight')]) - 1}."
    assert torch.equal(start[f"{last}linear.weight"], model.heads[-1].linear.weight)
    early = [name for name in start if name.startswith("heads.") and not name.startswith(last)]
    assert all(torch.equal(start[name], plain[name]) for name in early)


def test_with_other_classes_only_the_last_linear_map_starts_anew(given, tmp_path):
    model, path = given
    start = initial_model(run("high_digits", "joint", seed=5, pretrained=path)).state_dict()
    plain = initial_model(run("high_digits", "joint", seed=5)).state_dict()
    assert equal(start, model.state_dict(), backbone(start))
    assert equal(start, plain, [name for name in start if name.startswith("heads.")])
    msdnet = models.build("msdnet_nano", kind="image", shape=(1, 8, 8), classes=6, seed=9)
    file = tmp_path / "msdnet.safetensors"
    pretrained.export(msdnet.state_dict(), file)
    start = initial_model(run("high_digits", "joint", "msdnet_nano", pretrained=str(file)))
    ours, theirs = start.heads[-1], msdnet.heads[-1]
    assert torch.equal(ours.convolutions[0][0].weight, theirs.convolutions[0][0].weight)
    assert ours.linear.weight.shape == (4, 64)


def test_every_regime_fine_tunes_from_the_same_weights(given):
    """The whole way: disjoint, joint and mixed share the start; what they share of the chain is trained once."""
    model, path = given
    results = {r: train(run("high_digits", r, pretrained=path), progress=False) for r in ("disjoint", "joint", "mixed")}
    for result in results.values():
        start = result.model(prefix=0).state_dict()
        assert equal(start, model.state_dict(), backbone(start))
        assert not equal(result.model().state_dict(), start, [n for n in start if n.startswith("blocks.0.0")])
    keys = {r: prefix_keys(result.run) for r, result in results.items()}
    assert keys["disjoint"][0] == keys["mixed"][0]
    assert len({keys[r][-1] for r in keys}) == 3
    last = "split == 'validation' and exit == exit.max()"
    assert results["joint"].frame().query(last).accuracy.item() > 0.9


def test_what_was_learnt_before_is_a_better_start(given):
    _, path = given
    warm, cold = (train(run("low_digits", "joint", pretrained=p), progress=False).history() for p in (path, None))
    assert warm.train_loss[0] < 0.8 * cold.train_loss[0]


def test_heads_only_is_phase_3_on_given_weights(given):
    model, path = given
    result = train(run("low_digits", "heads_only", pretrained=path), progress=False)
    trained = result.model().state_dict()
    assert equal(trained, model.state_dict(), backbone(trained))
    assert torch.equal(trained["heads.4.linear.weight"], model.heads[-1].linear.weight)
    assert [phase["trains"] for phase in result.record["phases"]] == ["heads"]
    with pytest.raises(
        SettingError, match=r"^regime: 'heads_only' never trains the last exit.*4 classes of high_digits"
    ):
        run("high_digits", "heads_only", pretrained=path)


def test_identity_knows_the_content_of_the_file_not_its_name(given, tmp_path):
    model, path = given
    plain, one = run("low_digits", "joint"), run("low_digits", "joint", pretrained=path)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(path).read_bytes())
    assert prefix_keys(one) == prefix_keys(one.replace(pretrained=str(copy)))
    assert "pretrained" not in identity(plain)
    assert prefix_keys(plain) != prefix_keys(one)
    with torch.no_grad():
        next(model.blocks[0].parameters()).mul_(1.5)
    pretrained.export(model.state_dict(), copy)
    assert prefix_keys(one.replace(pretrained=str(copy))) != prefix_keys(one)


def test_the_store_file_of_a_run_serves_as_it_is(given):
    _, path = given
    folder = Store().folder / Store().stored_keys()[0]
    (file,) = folder.glob("weights.*.safetensors")
    one, two = (initial_model(run("low_digits", "joint", pretrained=str(f))).state_dict() for f in (path, file))
    assert equal(one, two, one)


def test_export_and_fine_tune_on_the_command_line(capsys, monkeypatch, tmp_path):
    fast = ["--epochs", "1", "--model", "mlp_nano", "--recipe", "lr=0.003"]
    status, _, _ = command(capsys, monkeypatch, "train", "--dataset", "low_digits", "--regime", "joint", *fast)
    (key,) = Store().stored_keys()
    file = tmp_path / "low.safetensors"
    status, out, _ = command(capsys, monkeypatch, "runs", "export", key[:9], "--to", file)
    assert (status, out.split()[-1]) == (0, pretrained.checksum(file))
    words = ["train", "--dataset", "high_digits", "--regime", "mixed", *fast, "--pretrained", file]
    status, out, _ = command(capsys, monkeypatch, *words)
    assert status == 0
    assert out.startswith("high_digits mlp_nano mixed seed 0: test accuracy")
    records = [Store().record(key, "weights") for key in Store().stored_keys()]
    assert sum(record["identity"].get("pretrained") == pretrained.checksum(file) for record in records) == 2
    many = ["sweep", "--datasets", "high_digits", "--models", "mlp_nano", "--regimes", "joint", "--epochs", "1"]
    status, out, _ = command(capsys, monkeypatch, *many, "--workers", "1", "--pretrained", file)
    assert status == 0
    status, _, err = command(capsys, monkeypatch, "train", *fast, "--pretrained", tmp_path / "none")
    assert (status, err.count("\n")) == (1, 1)
    assert "pretrained: cannot read" in err


def without(tensors):
    return {name: t for name, t in tensors.items() if name != "blocks.1.0.weight"}


WRONG = {
    "lacks 1 of 30 tensors of this backbone, such as blocks.1.0.weight": without,
    "is of another model: it holds blocks.5.0.weight": lambda t: t | {"blocks.5.0.weight": torch.ones(2)},
    r"blocks.1.0.weight of .* has the shape \(3,\), this model needs \(128, 128\)": (
        lambda t: t | {"blocks.1.0.weight": torch.ones(3)}
    ),
    "lacks 30 of 30 tensors": lambda t: {"weight": torch.ones(2)},
}


@pytest.mark.parametrize("said", WRONG)
def test_a_file_that_does_not_fit_is_one_line(given, tmp_path, said):
    file = tmp_path / "wrong.safetensors"
    safetensors.torch.save_file(WRONG[said](safetensors.torch.load_file(given[1])), file)
    with pytest.raises(SettingError, match=f"^pretrained: .*{said}") as caught:
        run("low_digits", "joint", pretrained=str(file))
    assert "\n" not in str(caught.value)


def test_other_files_are_one_line(given, tmp_path):
    text = tmp_path / "weights.pt"
    text.write_text("not weights")
    for path, said in (
        (text, "is no safetensors file"),
        (tmp_path, "is no safetensors"),
        (tmp_path / "x", "cannot read"),
    ):
        with pytest.raises(SettingError, match=f"^pretrained: .*{said}") as caught:
            run("low_digits", "joint", pretrained=str(path))
        assert "\n" not in str(caught.value)
    broken = tmp_path / "nan.safetensors"
    tensors = safetensors.torch.load_file(given[1])
    safetensors.torch.save_file(tensors | {"blocks.0.0.weight": tensors["blocks.0.0.weight"] * torch.nan}, broken)
    with pytest.raises(SettingError, match=r"^pretrained: blocks.0.0.weight of .* not finite"):
        initial_model(run("low_digits", "joint", pretrained=str(broken)))
    with pytest.raises(StoreError, match=r"^cannot write"):
        pretrained.export(given[0].state_dict(), tmp_path / "no" / "folder")


def test_pretrain_trains_the_backbone_alone_and_hands_over_its_file(tmp_path, monkeypatch):
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path))
    wanted = run("low_digits", "mixed", epochs=2)
    given = pretrain(wanted, progress=False)
    assert [(phase["trains"], phase["epochs"]) for phase in given.result.record["phases"]] == [("backbone", 2)]
    assert given.result.key == prefix_keys(wanted)[0]  # mixed's own first phase, which is not trained again
    digest = pretrained.checksum(given.path)
    assert pretrain(wanted, progress=False).path == given.path
    assert pretrained.checksum(given.path) == digest
    tuned = train(run("high_digits", "joint", pretrained=given.path), progress=False)
    fresh = train(run("high_digits", "joint"), progress=False)
    assert starts_from(tuned, given)
    assert not starts_from(fresh, given)


def test_pretrain_says_where_it_cannot_write(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("EECORE_CACHE", str(blocked))
    with pytest.raises(StoreError, match=r"^cannot write .*pretrained"):
        pretrain(run("low_digits", "joint"), progress=False)


def test_the_parts_of_mnist_hold_each_image_once():
    """Digits 0 to 5 and 6 to 9: no image is in both, each class has its share of every split."""
    whole, low, high = (data.load(name) for name in ("mnist5k", "mnist5k_low", "mnist5k_high"))
    grey, seen = {}, set()
    for part in (whole, low, high):
        splits = (part.train, part.validation, part.test)
        x = torch.cat([split.x for split in splits]) * part.std + part.mean
        grey[part.name] = (255 * x).round().to(torch.uint8)
        y = torch.cat([split.y for split in splits])
        assert torch.bincount(y).tolist() == [500] * part.classes
    for name in ("mnist5k_low", "mnist5k_high"):
        rows = {image.numpy().tobytes() for image in grey[name]}
        assert not rows & seen
        seen |= rows
    assert seen == {image.numpy().tobytes() for image in grey["mnist5k"]}
    assert torch.bincount(high.train.y).tolist() == [75] * 4
