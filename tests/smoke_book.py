"""The smoke book and a browser, for the tests that look at rendered pages."""

import functools
import os
import shutil
import subprocess
import sys

from execute import ROOT, notebook_names

PROSE = ["regimes", "theory", "teach", "reproduce", "parameters", "provenance", "glossary", "references", "cite"]
PROSE += ["api", "api_evaluation", "api_analysis", "api_pages"]
PAGES = [*PROSE, *(f"pages/{name}" for name in notebook_names())]
FOLDER = ROOT / "build" / "smoke" / "_build" / "html"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]


@functools.cache
def chromium():
    """Path of a Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def build():
    """Build the smoke book, unless it is up to date, from the project's own store; gives what the build printed."""
    environment = {k: v for k, v in os.environ.items() if k != "EECORE_STORE"}
    command = [sys.executable, str(ROOT / "book" / "build.py"), "--profile", "smoke"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
