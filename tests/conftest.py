"""Every test has its own store; the shape annotations of eecore are checked while the tests run."""

import functools
import importlib.util
import os
import re
import subprocess
import tempfile

import hypothesis
import pytest
import torch
from jaxtyping import install_import_hook

import smoke_book

os.environ.setdefault("MPLBACKEND", "Agg")
_OF_THE_BOOK = re.compile(
    r"^\s*(from|import) (archive|build|companion|execute|own_page|parameter_page|pdf|smoke_book)\b", re.M
)
install_import_hook(["eecore", "companion"], "beartype.beartype")
torch.set_num_threads(1)
hypothesis.settings.register_profile("any machine", deadline=None)  # it may have much else to do
hypothesis.settings.load_profile("any machine")

from eecore.data import registry  # noqa: E402  behind the hook, so that its shapes are checked too


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory, monkeypatch):
    """No test reads or writes the store of whoever runs it."""
    monkeypatch.setenv("EECORE_STORE", str(tmp_path_factory.mktemp("store")))


@pytest.fixture(autouse=True)
def _own_names():
    """Own data of one test may be called as those of another one that ran in the same process."""
    yield
    registry._labels.clear()


@pytest.fixture(scope="session")
def book():
    """Folder of the smoke book; built here unless it is up to date."""
    smoke_book.build()
    return smoke_book.FOLDER


@pytest.fixture(scope="session")
def browser():
    """A Chromium that draws pages from disk."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=smoke_book.chromium(), args=smoke_book.FLAGS)
        yield started
        started.close()


@functools.cache
def _has_namespaces():
    """Whether a process may mount a disk that it alone sees."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _missing():
    """Markers of tests that cannot run here -> what to install; CI can demand each of them."""
    there = {
        "browser": bool(smoke_book.chromium()),
        "namespaces": _has_namespaces(),
        "transformers": importlib.util.find_spec("transformers") is not None,
        "adapters": all(map(importlib.util.find_spec, ("torchvision", "timm"))),
        "torchjd": importlib.util.find_spec("torchjd") is not None,
        "onnx": all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))),
    }
    how = {
        "browser": "install Chromium (Debian: apt install chromium)",
        "namespaces": "allow users to mount in a namespace of their own (Linux: unshare -rm mount -t tmpfs x /mnt)",
        "transformers": "pip install -c constraints.txt -e '.[text]'",
        "adapters": "pip install -e '.[adapters]', without constraints.txt: torchvision needs a torch of its own",
        "torchjd": "pip install -c constraints.txt -e '.[oracles]'",
        "onnx": "pip install -c constraints.txt -e '.[export]'",
    }
    return {
        name: how[name] for name in there if not there[name] and not os.environ.get(f"EECORE_REQUIRE_{name.upper()}")
    }


def pytest_addoption(parser):
    parser.addoption("--core", action="store_true", help="only tests of the library, none that needs the book")


def pytest_ignore_collect(collection_path, config):
    """With --core: leave out what imports the companion or the programs that build the book."""
    if config.getoption("--core") and collection_path.suffix == ".py":
        return True if _OF_THE_BOOK.search(collection_path.read_text(encoding="utf-8")) else None
    return None


def pytest_collection_modifyitems(config, items):
    """Leave the tests out whose browser or optional library is not here, and say so; CI demands the browser."""
    missing = _missing()
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in missing)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter):
    """One line about each kind of tests that was not run."""
    for name, how in _missing().items():
        terminalreporter.write_line(f"The {name} tests were not run: {how}.")
