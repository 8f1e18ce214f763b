"""One's own rule, model, data and commands in a notebook: what the page "your own" relies on."""

import csv
import sys
from types import ModuleType

import pandas as pd
import pytest
import rich.console
import torch
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
from traitlets.config import Config

from companion import notebook
from eecore import data, inference, models
from eecore.data import examples
from eecore.errors import DataError, SettingError
from eecore.training import register_regime
from eecore.training.identity import source_text


@pytest.fixture
def own_rules(monkeypatch):
    """Rules that a test registers go with it."""
    monkeypatch.setattr(sys.modules[inference.score.__module__], "_OWN", {})


def test_an_own_rule_goes_wherever_a_rule_has_a_name(own_rules):
    """The library's confidence, written as one's own rule, gives the same numbers everywhere."""
    logits = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(0)).half()
    labels = torch.arange(50) % 4
    inference.register_rule("own", lambda x: x.softmax(dim=2).amax(dim=2))
    assert inference.rules()[-1] == "own"
    torch.testing.assert_close(inference.score(logits, "own"), inference.score(logits))
    for make in (
        inference.curve,
        lambda *given: inference.budget_table(*given[:2], *given[:2], given[2], 25.0, given[3]),
    ):
        ours, theirs = (make(logits, labels, [10, 20, 30], rule) for rule in ("own", "confidence"))
        pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda x: x.amax(dim=2) * 0 + 2, r"scores in \[0, 1\], got 2.0..2.0"),
        (lambda x: x.amax(dim=2) * torch.nan, r"scores in \[0, 1\], got nan"),
        (lambda x: x.softmax(dim=2), r"must give a tensor \(exits, samples\), here \(2, 3\), got \(2, 3, 4\)"),
        (lambda x: 1.0, r"got float"),
    ],
)
def test_an_own_rule_that_gives_no_scores_is_one_line(own_rules, rule, said):
    inference.register_rule("own", rule)
    with pytest.raises(SettingError, match=said) as caught:
        inference.score(torch.randn(2, 3, 4), "own")
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingError, match="logits: not all finite"):
        inference.score(torch.full((2, 3, 4), torch.inf), "own")


@pytest.mark.parametrize("name", ["entropy", "variance", "two words"])
def test_an_own_rule_takes_no_name_that_is_taken(own_rules, name):
    with pytest.raises(SettingError, match=f"not taken, got '{name}'"):
        inference.register_rule(name, lambda x: x)


def session(monkeypatch, *cells, **values):
    """A notebook that has run these cells."""
    main = ModuleType("__main__")
    vars(main).update({"In": ["", *cells], **values})
    monkeypatch.setitem(sys.modules, "__main__", main)
    return source_text(main)


MODEL = "class Net:\n    def f(self):\n        return WIDTH * 2\n"


def test_the_source_of_a_notebook_is_what_it_defines_and_the_values_that_this_names(monkeypatch):
    plain = session(monkeypatch, MODEL, WIDTH=3)
    assert "return WIDTH * 2" in plain
    assert "WIDTH = 3" in plain
    assert session(monkeypatch, MODEL, "print(1)", "%time f()", WIDTH=3, other=4) == plain  # cells that only call
    assert session(monkeypatch, MODEL.replace("Net:", "Net:  # why"), WIDTH=3) == plain
    assert session(monkeypatch, MODEL.replace("* 2", "* 3"), MODEL, WIDTH=3) == plain  # the last definition counts
    assert session(monkeypatch, MODEL.replace("* 2", "* 3"), WIDTH=3) != plain
    assert session(monkeypatch, MODEL, WIDTH=4) != plain
    assert "lambda: 5" in session(monkeypatch, "register('a', lambda: 5)")


def test_a_session_without_cells_is_one_line(monkeypatch):
    with pytest.raises(SettingError, match="write it into a file or a notebook") as caught:
        session(monkeypatch)
    assert "\n" not in str(caught.value)


CELLS = """
import torch
from torch import nn
import eecore
from eecore import Phase, models
from eecore.models import adapters

class Net(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(inputs, 6), nn.Linear(6, 6)])

def net(name, kind, shape):
    return adapters.from_blocks(nn.Flatten(), list(Net(shape[0] * shape[1] * shape[2]).blocks), "vector")

models.register("net_of_a_cell", net, replace=True)
eecore.register_regime("of_a_cell", lambda epochs: (Phase("backbone", 1), Phase("heads", 1), Phase("all", epochs)))
results = eecore.sweep(
    eecore.grid(["digits"], ["net_of_a_cell"], ["mixed", "of_a_cell"], [0, 1], epochs=1), progress=False
)
shown = [(r.run.regime, len(r.macs), len(r.record["phases"])) for r in results]
"""


@pytest.fixture
def shell(monkeypatch):
    """IPython, as in a notebook: its cells live in a module without a file."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(models, "_MAKERS", dict(models._MAKERS))
    known = sys.modules[register_regime.__module__]
    monkeypatch.setattr(known, "_REGIMES", dict(known._REGIMES))
    return InteractiveShell(user_module=main, config=Config(HistoryManager={"hist_file": ":memory:"}))


def test_a_model_and_a_regime_of_a_notebook_are_trained(shell):
    shell.run_cell(CELLS, store_history=True).raise_error()
    assert shell.user_ns["shown"] == [("mixed", 2, 2), ("of_a_cell", 2, 3)] * 2


def test_example_images_are_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "one"))
    folder = examples.write_images(12)
    files = sorted(folder.rglob("*.jpg"))
    assert len(files) == 36
    with Image.open(files[0]) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (96, 96), "RGB")
    loaded = data.load(f"images:{folder}")
    assert (loaded.classes, loaded.shape, loaded.name) == (3, (3, 32, 32), "polygons")
    files[0].unlink()
    assert len(list(examples.write_images(12).rglob("*.jpg"))) == 35  # what is there is left as it is
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "two"))
    again = sorted(examples.write_images(12).rglob("*.jpg"))
    assert [a.read_bytes() for a in again[1:]] == [b.read_bytes() for b in files[1:]]


def test_the_label_of_an_example_sentence_is_that_of_its_second_part(tmp_path, monkeypatch):
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path))
    file = examples.write_sentences(12)
    with open(file, encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 36
    for row in rows:
        first, second = row["text"].split(", but ")
        told = [
            [t for t, (_, things) in examples.TOPICS.items() if any(x in part for x in things)]
            for part in (first, second)
        ]
        assert told[1] == [row["label"]]
        assert told[0] != told[1]
    before = file.read_bytes()
    assert examples.write_sentences(12).read_bytes() == before
    assert data.load(f"text:{file}").classes == 3


def test_examples_say_what_is_wrong(tmp_path, monkeypatch):
    for write in (examples.write_images, examples.write_sentences):
        with pytest.raises(SettingError, match="count: expected at least 10"):
            write(9)
        (tmp_path / "file").touch()
        monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "file"))
        with pytest.raises(DataError, match="cannot be written"):
            write(10)


def test_a_page_shows_a_command_and_what_it_prints(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(notebook, "display", shown.append)
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)  # as in a kernel, which asks for colours too
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    page = notebook.Page("02_regimes", {})
    words = ["--datasets", "synthetic", "--models", "mlp_nano", "--regimes", "joint", "--epochs", "1", "--workers", "1"]
    page.command("sweep", *words, "--store", f"{tmp_path}/my runs")
    command, first, last, _ = shown[0].data.split("\n")
    assert command.startswith('<pre class="eecore-command">$ python -m eecore sweep --datasets synthetic')
    assert command.endswith("--store &#x27;my runs&#x27;")
    assert first.startswith("synthetic mlp_nano joint seed 0: test accuracy per exit (%)")
    assert last == "1 runs, 1 phases, 1 distinct: 0 were shared"
    with pytest.raises(SettingError, match="did you mean 'mixed'"):
        page.command("train", "--regime", "mixd")
    assert len(shown) == 1
