"""Which version of the project made something."""

import os
import subprocess
from pathlib import Path


def commit() -> str:
    """The commit of the project's checkout, with a plus where files differ from it.

    EECORE_COMMIT says it where a copy without its history runs; "unknown" where nothing does.
    """
    if os.environ.get("EECORE_COMMIT"):
        return os.environ["EECORE_COMMIT"]
    root = Path(__file__).resolve().parents[2]
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
