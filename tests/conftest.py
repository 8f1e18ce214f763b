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
