"""Exported networks leave where torch lets them leave, with the same answers, and run without torch and eecore."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_live import between, offline

from eecore import export, models
from eecore.cli import main
from eecore.errors import SettingError
from eecore.export import write
from eecore.export.segments import adaptive_maximum, exportable
from eecore.inference import exit_rules, exit_taken, make_rule, predict, register_rule
from eecore.inference.rules import _OWN

NETWORKS = {
    "mlp": ("mlp_nano", "image", (1, 8, 8), {"exits": [1, 4]}),
    "windows that overlap": ("resnet_nano", "image", (1, 28, 28), {"exits": [3, 5]}),
    "cascade": ("resnet_nano", "sequence", (1, 40), {"exits": [1, 3, 5], "head": "cascade"}),
    "several scales": ("msdnet_nano", "image", (1, 16, 16), {"exits": [1, 3]}),
    "attention": ("vit_nano", "sequence", (1, 40), {"exits": [2, 5]}),
    "tokens and their mask": ("text_nano", "tokens", (12,), {"exits": [0, 1], "vocabulary": 30}),
}


def made(case, samples=40):
    name, kind, shape, options = NETWORKS[case]
    generator = torch.Generator().manual_seed(2)
    if options.get("exits") == [0, 1]:
        blocks = models.describe(name, kind=kind, shape=shape, classes=5, vocabulary=30)["blocks"]
        options = {**options, "exits": [0, blocks - 1]}
    model = models.build(name, kind=kind, shape=shape, classes=5, seed=1, **options).eval()
    x = torch.randn(samples, *shape, generator=generator) * 3
    if kind == "tokens":
        x = torch.randint(0, 30, (samples, *shape), generator=generator)
    return model, x, {"kind": kind, "shape": shape}


def same(model, x, rule, network):
    """Exits and answers of the exported network are torch's, at several thresholds; all exits used."""
    with torch.no_grad():
        scores, _ = offline(model(x), rule)
    used = set()
    for threshold in (0.0, between(scores[:1], 0.5), between(scores[:-1], 0.3), between(scores[:-1], 0.8), 1.0):
        torchs = predict(model, x, rule, threshold)
        for size in (1, len(x)):
            parts = [network(x[i : i + size].numpy(), threshold) for i in range(0, len(x), size)]
            assert np.concatenate([part.taken for part in parts]).tolist() == torchs.taken.tolist()
            answers = np.concatenate([part.answers for part in parts])
            np.testing.assert_allclose(answers, torchs.answers.numpy(), rtol=1e-4, atol=1e-4)
            scored = np.concatenate([part.scores for part in parts])
            np.testing.assert_allclose(scored, torchs.scores.numpy(), rtol=1e-4, atol=1e-4)
        used |= set(torchs.taken.tolist())
    assert {0, model.n_exits - 1} <= used


@pytest.mark.onnx
@pytest.mark.slow
@pytest.mark.parametrize("case", NETWORKS)
def test_every_kind_of_network(case, tmp_path):
    model, x, about = made(case)
    folder = export.export(model, tmp_path / "out", **about)
    same(model, x, "confidence", export.load(folder))


@pytest.mark.onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", exit_rules())
def test_every_rule(name, tmp_path):
    model, x, about = made("mlp")
    with torch.no_grad():
        rule = make_rule(name, model(x), torch.arange(40) % 5)
    same(model, x, rule, export.load(export.export(model, tmp_path / "out", rule=rule, **about)))


def spoilt(x, value):
    spoilt = x.numpy().copy()
    spoilt[2, 0, 3, 4] = value
    return spoilt


@pytest.mark.onnx
def test_a_folder_of_the_first_format_is_still_read(tmp_path):
    model, x, about = made("mlp")
    folder = export.export(model, tmp_path / "out", **about)
    record = json.loads((folder / "exits.json").read_text())
    assert record.pop("format") == 2
    for new in ("class_names", "preparation", "vocabulary"):
        record.pop(new)
    (folder / "exits.json").write_text(json.dumps({**record, "format": 1}))
    network = export.load(folder)
    assert network.labels == ("0", "1", "2", "3", "4")
    assert [one.exit - 1 for one in network.predict(x.numpy())] == network(x.numpy()).taken.tolist()
    with pytest.raises(ValueError, match=r"photo.jpg: expected an array of rows, normalised as those"):
        network.predict("photo.jpg")


@pytest.mark.onnx
def test_the_folder_runs_without_torch_and_eecore_and_notices_damage(tmp_path):
    model, x, about = made("mlp")
    folder = export.export(model, tmp_path / "out", threshold=[0.4, 0.0], about={"seed": 7}, **about)
    record = json.loads((folder / "exits.json").read_text())
    assert record["macs"] == models.exit_macs(model, (1, 8, 8), "image")
    assert record["about"] == {"seed": 7}
    np.save(tmp_path / "x.npy", x.numpy())
    program = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['eecore'] = None; "
        f"sys.argv = ['run.py', {str(tmp_path / 'x.npy')!r}]; "
        f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    )
    printed = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    rows = [line.split(",") for line in printed.stdout.splitlines()[1:]]
    left = predict(model, x, "confidence", [0.4, 0.0])
    assert [int(row[2]) - 1 for row in rows] == left.taken.tolist()
    assert [int(row[1]) for row in rows] == left.answers.argmax(1).tolist()
    sure = left.answers.softmax(1).amax(1)
    np.testing.assert_allclose([float(row[3]) for row in rows], sure.numpy(), atol=1e-4)

    network = export.load(folder)
    for wrong, said in {
        "x: expected an array": (x.numpy()[:0], 0.5),
        "x: expected float32, got float64": (x.double().numpy(), 0.5),
        r"x: sample 2 holds values that are not finite": (spoilt(x, np.nan), 0.5),
        r"x: sample 2 holds values that are not finite \(NaN or infinity": (spoilt(x, np.inf), 0.5),
        "threshold: expected one number": (x.numpy(), 1.5),
        r"one per exit \(2\)": (x.numpy(), [0.5] * 3),
    }.items():
        with pytest.raises(ValueError, match=wrong):
            network(*said)
    with pytest.raises(SettingError, match=r"to: .* is there already; name a new folder"):
        export.export(model, folder, **about)
    (folder / "exits.json").write_text(json.dumps({**record, "format": 3}))
    with pytest.raises(SettingError, match="format 3 came, this program reads 1 and 2"):
        export.load(folder)
    (folder / "exits.json").write_text(json.dumps(record))
    file = folder / "segment2.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(SettingError, match=r"segment2.onnx is damaged: its checksum does not fit; export it again"):
        export.load(folder)
    with pytest.raises(SettingError, match="holds no exported network"):
        export.load(tmp_path)


@pytest.mark.onnx
def test_nothing_is_left_of_an_export_that_failed(tmp_path, monkeypatch):
    model, _, about = made("mlp")
    monkeypatch.setattr(write, "_write", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        export.export(model, tmp_path / "out", **about)
    assert not list(tmp_path.iterdir())


@pytest.mark.onnx
def test_the_command_line(tmp_path, capsys, monkeypatch):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["eecore", "export", "--dataset", "synthetic", "--model", "mlp_nano", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr()

    out = tmp_path / "out"
    assert run("--to", str(out), "--threshold", "0.5", "--budget", "0.5")[1].err.startswith(
        "eecore: threshold, budget: "
    )
    assert "did you mean 'patience'" in run("--to", str(out), "--rule", "patienc")[1].err
    assert (
        run("--to", str(out), "--threshold", "2")[1].err == "eecore: threshold: expected numbers in [0, 1], got 2.0\n"
    )
    (tmp_path / "taken").write_text("")
    assert "is there already; name a new folder" in run("--to", str(tmp_path / "taken"))[1].err
    words = ("--epochs", "1", "--regime", "joint", "--budget", "0.6", "--exits", "0,2,4", "--recipe", "lr=0.01")
    code, told = run("--to", str(out), *words)
    assert code == 0
    said = " so it is trained first: synthetic mlp_nano joint (all:1 epochs) seed 0; a stored run is exported by --key"
    assert said in told.err
    assert "3 segments" in told.out
    assert "64 of 64 test samples leave at the exit where torch lets them leave" in told.out
    record = json.loads((out / "exits.json").read_text())
    assert record["about"]["regime"] == "joint"
    assert record["class_names"] == [str(i) for i in range(record["classes"])]
    code, told = run("--to", str(tmp_path / "again"), *words)
    assert (code, "trained" in told.err) == (0, False)
    key = ("--key", record["about"]["key"][:9])
    wrong = run("--to", str(tmp_path / "by_key"), *key)[1].err
    assert wrong == "eecore: key: it says all settings of a run; leave out --model\n"
    monkeypatch.setattr(sys, "argv", ["eecore", "export", *key, "--to", str(tmp_path / "by_key")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "3 segments" in capsys.readouterr().out
    for file in out.glob("*.onnx"):
        assert (tmp_path / "by_key" / file.name).read_bytes() == file.read_bytes()


# --- what needs no onnx


def test_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(write, "NEEDS", ("onnx_that_nobody_has", "torch"))
    model, _, about = made("mlp")
    with pytest.raises(SettingError, match=r"export: onnx_that_nobody_has is missing: pip install .*\[export\]"):
        export.export(model, "nowhere", **about)


def test_rules_that_cannot_be_exported_are_refused():
    register_rule("own_one", lambda logits: torch.ones(logits.shape[:2]))
    try:
        for name in ("own_one", "difference"):
            with pytest.raises(SettingError, match=f"rule: '{name}' cannot be exported; allowed: confidence"):
                exportable(name)
    finally:
        _OWN.pop("own_one")
    with pytest.raises(SettingError, match="did you mean 'entropy'"):
        exportable("entropi")


@pytest.mark.parametrize("sides", [(5, 7), (8, 8), (4, 9), (3, 3)])
def test_adaptive_maximum_is_torchs(sides):
    x = torch.randn(2, 3, *sides)
    wanted = [min(4, side) for side in sides]
    assert torch.equal(adaptive_maximum(x, wanted)[0], torch.nn.functional.adaptive_max_pool2d(x, wanted))


def test_exits_of_torch_at_those_thresholds_differ():
    """What `same` compares is no constant: its thresholds part the samples."""
    model, x, _ = made("mlp")
    with torch.no_grad():
        scores, _ = offline(model(x), "confidence")
    assert len(set(exit_taken(scores, between(scores[:-1], 0.8)).tolist())) > 1


@pytest.mark.parametrize("where", ["/proc/x", "/dev/null/x", "x" * 300])
def test_a_folder_that_cannot_be_written_is_one_line_before_anything_is_trained(where):
    with pytest.raises(SettingError, match=r"^to: .* cannot be written: \w+") as caught:
        write.new_folder(where)
    assert "\n" not in str(caught.value)
