"""What a file of one's own registers is known everywhere, and a program needs no guard to sweep."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from companion import made
from execute import BuildError, make_job, parse_parameters

ROOT = Path(__file__).resolve().parents[1]
REGIME = """
from eecore import Phase, register_regime
register_regime("heads_first", lambda epochs: (Phase("heads", epochs), Phase("all", epochs)))
"""
PROGRAM = """
import eecore
runs = eecore.grid(["synthetic"], ["mlp_nano"], ["joint"], seeds=range(2), epochs=1)
print("swept", len(eecore.sweep(runs, workers=2, progress=False)))
"""


def run(words, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )


def test_a_program_without_a_guard_sweeps_once(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run([tmp_path / "program.py"], EECORE_STORE=str(tmp_path / "store"))
    assert (done.returncode, done.stdout) == (0, "swept 2\n"), done.stderr


def test_a_regime_of_ones_own_is_known_to_the_command_line_and_to_workers(tmp_path):
    (tmp_path / "mine_of_a_test.py").write_text(REGIME)
    words = ["-m", "eecore", "sweep", "--datasets", "synthetic", "--models", "mlp_nano", "--epochs", "1"]
    variables = {"EECORE_STORE": str(tmp_path / "store"), "EECORE_WORKERS": "2", "COLUMNS": "200"}
    own = {"EECORE_OWN": str(tmp_path / "mine_of_a_test.py")}
    done = run([*words, "--regimes", "joint,heads_first", "--seeds", "0,1"], **variables, **own)
    assert done.returncode == 0, done.stderr
    assert "heads first" in done.stdout or "heads_first" in done.stdout
    without = run([*words, "--regimes", "heads_first", "--seeds", "0"], **variables)
    assert without.returncode == 1
    assert "'heads_first' is not known" in without.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, "is not a Python file on this machine, such as own.py"),
        ("own.txt", "", "is not a Python file on this machine, such as own.py"),
        ("json.py", "", "json.py has a name that no module or another one has; give it another"),
        ("not-a-name.py", "", "not-a-name.py has a name that no module or another one has; give it another"),
        ("x" * 300 + ".py", None, "is not a Python file on this machine, such as own.py"),
        ("broken_of_a_test.py", "1 / 0", "broken_of_a_test.py, line 1: ZeroDivisionError: division by zero"),
        ("syntax_of_a_test.py", "import os\n\ndef f(:\n  pass\n", "syntax_of_a_test.py, line 3: SyntaxError: invalid"),
        ("deep_of_a_test.py", "import json\ndef f():\n    json.loads('x')\n\nf()\n", ".py, line 3: JSONDecodeError: "),
        ("leaves_of_a_test.py", "import sys\nsys.exit(3)", "leaves_of_a_test.py, line 2: SystemExit: 3"),
        ("imports_of_a_test.py", "\nimport nothing_of_this_name", "line 2: ModuleNotFoundError: No module named"),
        ("bytes_of_a_test.py", "x = '\\0'\n\0", "bytes_of_a_test.py"),
        (
            "wrong_of_a_test.py",
            "from eecore import Run\nRun(dataset='digit', model='mlp_nano', regime='joint', epochs=1)",
            "wrong_of_a_test.py, line 2: SettingError: dataset: 'digit' is not known; did you mean 'digits'?",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    done = run(["-m", "eecore", "methods"], EECORE_OWN=str(tmp_path / name))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("eecore: EECORE_OWN: ")
    assert message in done.stderr


def test_the_installed_program_says_it_in_a_line_too(tmp_path):
    program, mine = tmp_path / "bin" / "eecore", tmp_path / "installed_of_a_test.py"
    program.parent.mkdir()
    program.write_text("from eecore.cli import main\nmain()\n")
    mine.write_text("raise RuntimeError('no')")
    done = run([program, "methods"], EECORE_OWN=str(mine))
    assert done.stderr == f"eecore: EECORE_OWN: {mine}, line 1: RuntimeError: no\n"
    mine.write_text(REGIME)
    words = ["sweep", "--datasets", "synthetic", "--models", "mlp_nano", "--epochs", "1", "--regimes", "heads_first"]
    variables = {"EECORE_STORE": str(tmp_path / "store"), "EECORE_WORKERS": "2", "EECORE_OWN": str(mine)}
    done = run([program, *words, "--seeds", "0,1"], **variables)
    assert done.returncode == 0, done.stderr


def test_the_command_of_a_page_names_the_file(monkeypatch):
    monkeypatch.setenv("EECORE_OWN", "my own.py")
    assert (
        made.command("00_quickstart", {"epochs": 2})
        == "make notebook NB=00_quickstart OWN='my own.py' ARGS='-p epochs 2'"
    )


# -- what is said of a notebook's name and parameters ------------------------------------------------------


def test_seeds_alone_mean_all_seeds():
    assert make_job("02_regimes", "quick", {"seeds": [0, 1]}).parameters == {"more_seeds": [], "seeds": [0, 1]}
    both = {"seeds": [0], "more_seeds": [7]}
    assert make_job("02_regimes", "quick", both).parameters == both
    assert "more_seeds" not in make_job("02_regimes", "quick", {"epochs": 2}).parameters


@pytest.mark.parametrize("name", ["02", "02_regime", "02_regimes.ipynb"])
def test_the_nearest_notebook_is_named(name):
    with pytest.raises(BuildError, match="did you mean '02_regimes'"):
        make_job(name, "quick", {})


def test_a_list_with_spaces_is_a_list():
    words = ["-p", "seeds", "[0,", "1]", "-p", "epochs", "3", "-p", "datasets", "[images:/my", "photos?size=96]"]
    assert parse_parameters(words) == {"seeds": [0, 1], "epochs": 3, "datasets": ["images:/my photos?size=96"]}
