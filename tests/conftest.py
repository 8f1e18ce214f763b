"""Every test has its own store; the shape annotations of eecore are checked while the tests run."""

import os

import pytest
import torch
from jaxtyping import install_import_hook

os.environ.setdefault("MPLBACKEND", "Agg")
install_import_hook("eecore", "beartype.beartype")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory, monkeypatch):
    """No test reads or writes the store of whoever runs it."""
    monkeypatch.setenv("EECORE_STORE", str(tmp_path_factory.mktemp("store")))


def pytest_collection_modifyitems(config, items):
    """Leave the browser tests out where there is no browser, and say so; CI demands one."""
    from test_book import chromium

    if chromium() or os.environ.get("EECORE_REQUIRE_BROWSER"):
        return
    browser = [item for item in items if item.get_closest_marker("browser")]
    config.hook.pytest_deselected(items=browser)
    items[:] = [item for item in items if not item.get_closest_marker("browser")]


def pytest_terminal_summary(terminalreporter):
    """One line about what was not run."""
    from test_book import chromium

    if not chromium() and not os.environ.get("EECORE_REQUIRE_BROWSER"):
        terminalreporter.write_line("The browser tests were not run: install Chromium (Debian: apt install chromium).")
