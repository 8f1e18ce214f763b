"""Values as people write them: numbers are decimal, lists hold what they were given, and a printed command works."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build import args
from companion import made
from eecore.errors import SettingError
from eecore.grid_file import grid_runs, read_grid
from eecore.values import load_yaml, read, write
from execute import ROOT, BuildError, parse_parameters


@pytest.mark.parametrize("text", ["010", "1:30", "0x10", "0o17", "0b1", "1_000", "2020-01-01", "00", "-01", "1:30.5"])
@pytest.mark.parametrize("around", ["{}", "[{}]", "[1,{}]", "{{a: {}}}"])
def test_what_looks_like_a_number_and_is_not_decimal_is_refused(text, around):
    with pytest.raises(
        SettingError, match=f"'{text}' is no decimal number, such as 10 or 0.5; as a text it has quotes"
    ):
        read(around.format(text))
    with pytest.raises(BuildError, match=rf"^epochs: .*'{text}' is no decimal number"):
        parse_parameters(["-p", "epochs", around.format(text)])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("10", 10), ("-3", -3), ("0.5", 0.5), (".5", 0.5), ("1e3", 1000.0), ("1E-3", 0.001), (".inf", float("inf"))),
        *(("true", True), ("false", False), ("null", None), ("yes", "yes"), ("off", "off"), ('"010"', "010")),
        ("[images:/my photos?size=96&name=x, digits]", ["images:/my photos?size=96&name=x", "digits"]),
        ("['images:/a?size=96']", ["images:/a?size=96"]),
        ("images:/a, b?size=96", "images:/a, b?size=96"),
        ('["images:/a, b?size=96"]', ["images:/a, b?size=96"]),
        ("[[0, 1], [], {a: 1e-3}]", [[0, 1], [], {"a": 0.001}]),
        ("{mlp_nano: [mlp:2, cascade]}", {"mlp_nano": ["mlp:2", "cascade"]}),
        ("[it's, #1, a: b]", ["it's", "#1", "a: b"]),
    ],
)
def test_values_are_what_was_written(text, value):
    assert read(text) == value
    assert type(read(text)) is type(value)
    assert read(write(value)) == value


@pytest.mark.parametrize("text", ["[0", "[0]]", "[0] 1", "[1,,2]", "[,]", "'a", '"a" b', '["a" b]', "*a", "{", "a\0b"])
def test_what_is_no_value_is_one_line(text):
    with pytest.raises(SettingError) as caught:
        read(text)
    assert "\n" not in str(caught.value)


plain = st.one_of(
    st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"))
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.recursive(plain, lambda inner: st.lists(inner, max_size=4), max_leaves=8))
def test_what_is_written_reads_back(value):
    assert read(write(value)) == value


def test_grid_files_have_the_same_numbers(tmp_path):
    path = tmp_path / "grid.yaml"
    start = "datasets: [digits]\nmodels: [mlp_nano]\nregimes: [joint]\n"
    path.write_text(f"{start}recipe: {{lr: 1e-3}}\n")
    (run,) = grid_runs(read_grid(path))
    assert run.recipe.lr == 0.001
    for text in ("seeds: [010]", "epochs: 1:30", "epochs: 0x10", "epochs: 2020-01-01", "more_seeds:\n- 1\n- 1_0"):
        path.write_text(f"{start}{text}\n")
        with pytest.raises(SettingError, match=r"grid: .*grid.yaml: line [46]: .* is no decimal number"):
            read_grid(path)
    path.write_text(f"{start}snapshots: no\n")
    with pytest.raises(SettingError, match="snapshots: expected true or false, got 'no'"):
        grid_runs(read_grid(path))
    assert load_yaml("a: &x {b: 1}\nc: {<<: *x, d: '010'}") == {"a": {"b": 1}, "c": {"b": 1, "d": "010"}}


@pytest.mark.parametrize(
    "parameters",
    [
        {"seeds": [0, 1], "epochs": 3},
        {"datasets": ["images:/photos?size=96"], "model": "resnet_nano"},
        {"datasets": ['images:/my photos/it\'s $5 "a"?size=96&name=x', "text:a,b.csv", "010"]},
        {"heads": {"mlp_nano": ["mlp:2", "cascade"]}, "budgets": [0.5, 1e-7]},
        {"dataset": "images:/a;b|c`d`*\\e(1)"},
        {},
    ],
)
def test_the_command_that_makes_a_page_again_works_in_a_shell(parameters, tmp_path, monkeypatch):
    """The printed line runs through sh and make; what stands in for Python prints what arrives."""
    monkeypatch.setenv("EECORE_OWN", "my $own's.py")
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n%s" "$EECORE_OWN" "$EECORE_ARGS"\n')
    stand_in.chmod(0o755)
    line = made.command("00_quickstart", parameters)
    words = f"{line} --no-print-directory -o .venv/.installed PY={stand_in}"
    monkeypatch.delenv("EECORE_OWN")
    done = subprocess.run(["sh", "-c", words], cwd=ROOT, capture_output=True, text=True, check=True)
    own, _, arguments = done.stdout.partition("\n")
    assert own == "my $own's.py"
    monkeypatch.setenv("EECORE_ARGS", arguments)
    assert parse_parameters(args()) == parameters


def test_a_quote_that_is_not_closed_is_one_line(monkeypatch):
    monkeypatch.setenv("EECORE_ARGS", "-p datasets '[a")
    with pytest.raises(BuildError, match="ARGS: No closing quotation in -p datasets"):
        args()
