"""The wheel holds the library alone, and works where neither the repository nor the book is."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python that has what this one has, but for what lies in the repository: there is the wheel instead."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"  # setuptools builds in the folder that it is given
    shutil.copytree(ROOT / "eecore", source / "eecore", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ("-q", "--no-deps", "--no-build-isolation", "-w", str(place))
    made = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    subprocess.run(made, check=True, capture_output=True, cwd=place)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(place / "venv")}))
    (own / "base.pth").write_text(sysconfig.get_path("purelib"))  # a folder named so reads no editable packages
    with zipfile.ZipFile(next(place.glob("eecore-*.whl"))) as wheel:
        assert {name.partition("/")[0].partition("-")[0] for name in wheel.namelist()} == {"eecore"}
        wheel.extractall(own)
    return place / "venv" / "bin" / "python"


def run(python, *words):
    return subprocess.run([python, *words], capture_output=True, text=True, check=False, cwd=python.parent)


def test_it_is_imported_from_the_wheel(python):
    done = run(python, "-c", "import eecore; print(eecore.__file__)")
    assert done.stdout.startswith(str(python.parents[1])), done.stderr


def test_it_trains_and_lists_its_commands(python):
    words = ("train", "--dataset", "synthetic", "--model", "mlp_nano", "--epochs", "1", "--store", str(python.parent))
    done = run(python, "-m", "eecore", *words)
    assert "test accuracy per exit" in done.stdout, done.stderr
    assert "recommend" in run(python, "-m", "eecore", "--help").stdout


@pytest.mark.parametrize("words", [("-m", "eecore", "lab"), ("-c", "import eecore; eecore.recommend")])
def test_what_the_book_brings_is_said_to_be_missing(python, words):
    done = run(python, *words)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "it belongs to the book; install that beside the library: pip install -e ./book"
    )
