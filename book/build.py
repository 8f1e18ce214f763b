"""Build the book: execute the notebooks, lay out the pages, render. `make book` calls this."""

import argparse
import base64
import filecmp
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import filelock
import nbformat

from execute import (
    NOTEBOOKS,
    PROFILES,
    ROOT,
    BuildError,
    execute,
    execute_all,
    make_job,
    notebook_names,
    parse_parameters,
)
from own_page import own_page, rename
from parameter_page import parameter_page

BOOK = ROOT / "book"
OFFERED = re.compile(r'<a download="([^"/]+)" href="data:application/json;base64,([^"]+)"')  # see Page.file
NOT_PAGES = {"build.py", "execute.py", "__pycache__", "results"}


def mirror(source: Path, target: Path) -> set[Path]:
    """Copy a file or a folder; what is the same already keeps its time, so that nothing is rendered twice.

    Returns:
        The files that belong to the copy.
    """
    if source.is_file():
        if not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return {target}
    return {file for child in source.iterdir() for file in mirror(child, target / child.name)}


def written(target: Path, text: str) -> set[Path]:
    """Write a page that is made at every build; one that is the same keeps its time."""
    if not (target.is_file() and target.read_text(encoding="utf-8") == text):
        target.write_text(text, encoding="utf-8")
    return {target}


def lay_out(folder: Path) -> None:
    """The book's sources in `folder`: prose, look, bundled MathJax; executed notebooks are in pages/ already."""
    kept = set()
    for child in BOOK.iterdir():
        if child.name not in NOT_PAGES:
            kept |= mirror(child, folder / child.name)
    kept |= mirror(mathjax(), folder / "_bundled" / "_static" / "mathjax" / mathjax().name)
    kept |= written(folder / "parameters.md", parameter_page())
    kept |= {folder / "pages" / f"{name}.ipynb" for name in notebook_names()}
    for file in folder.rglob("*"):
        if file.is_file() and file not in kept:
            file.unlink()


def mathjax() -> Path:
    """MathJax in its wheel, so that formulas render from disk and no other host is asked."""
    spec = find_spec("mathjax")
    if spec is None or not spec.submodule_search_locations:
        raise BuildError("MathJax is missing: pip install django-static-mathjax==3.2.2.1, or make clean-all and again")
    return Path(spec.submodule_search_locations[0]) / "static" / "mathjax" / "es5" / "tex-svg-full.js"


def render(source: Path, target: Path, builder: str = "html") -> Path:
    """Run Jupyter Book with warnings as errors; a failed build leaves the rendered book that was there.

    Args:
        source: folder of the sources.
        target: the book comes into _build/BUILDER/ in it.
        builder: "html", or "singlehtml" for all pages in one.
    Returns:
        Path of index.html.
    """
    call = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        call,
        "build",
        str(source),
        "--path-output",
        str(target),
        "--builder",
        builder,
        "-W",
        "--keep-going",
        "-q",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # for the API reference
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        log = (done.stdout + done.stderr).strip().splitlines()
        told = [line for line in log if "WARNING" in line or "ERROR" in line or "rror:" in line] or log[-20:]
        raise BuildError("the book did not render:\n" + "\n".join(told))
    return target / "_build" / builder / "index.html"


def hand_out(pages: Path, target: Path) -> None:
    """Write what executed pages offer: files beside the first page, notebooks and figures' numbers beside the pages."""
    kept = set()
    (target / "pages").mkdir(exist_ok=True)
    for page in sorted(pages.glob("*.ipynb")):
        kept |= {beside(page, target / "pages"), *numbers(page, target / "pages")}
        for output in outputs(page):
            for name, encoded in OFFERED.findall(output.get("data", {}).get("text/html", "")):
                (target / html.unescape(name)).write_bytes(base64.b64decode(encoded))
    for file in (target / "pages").iterdir():
        if file.suffix in (".csv", ".ipynb") and file not in kept:
            file.unlink()


def outputs(page: Path) -> list[nbformat.NotebookNode]:
    """What the cells of an executed notebook show."""
    return [output for cell in nbformat.read(page, as_version=4).cells for output in cell.get("outputs", [])]


def beside(page: Path, folder: Path) -> Path:
    """The executed notebook, copied into a folder."""
    return Path(shutil.copyfile(page, folder / page.name))


def numbers(page: Path, folder: Path) -> set[Path]:
    """Write the numbers behind a page's figures as CSV files; each figure names its own."""
    found = set()
    for output in outputs(page):
        kept = output.get("metadata", {}).get("eecore")  # see companion.notebook
        if kept:
            file = folder / kept["file"]
            file.write_text(kept["csv"], encoding="utf-8")
            found.add(file)
    return found


def _locked(path: Path) -> AbstractContextManager[object]:
    """A lock that is held until the block ends; on a file system without locks a file that names its holder."""
    try:
        return filelock.FileLock(path).acquire()
    except OSError:
        return filelock.SoftFileLock(path.with_name(f"{path.name}.holder")).acquire()


def build(profile: str) -> Path:
    """Everything, for one profile. Profiles never share a folder."""
    folder = ROOT / "build" / profile
    jobs = [make_job(name, profile, {}) for name in notebook_names()]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):  # two builds at once: the second finds the work of the first
        execute_all(jobs, folder / "source" / "pages")
        print("Rendering ...", flush=True)
        lay_out(folder / "source")
        index = render(folder / "source", folder)
        hand_out(folder / "source" / "pages", index.parent)
        return index


def args() -> list[str]:
    """The words of EECORE_ARGS: what `make` hands over unread, for a shell would read brackets, ?, & and the like."""
    text = os.environ.get("EECORE_ARGS", "")
    try:
        return shlex.split(text)
    except ValueError as error:  # a quote that is not closed
        raise BuildError(f"ARGS: {error} in {text}") from None


def main() -> int:
    """The command line; 0 when all went well, 1 with a line that says what did not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="quick", help=f"one of {', '.join(PROFILES)}")
    parser.add_argument("--only", metavar="NB", help="execute this notebook alone, into build/PROFILE/own/")
    words = "parameters for --only, after --; else those of EECORE_ARGS"
    parser.add_argument("words", nargs="*", metavar="-p NAME VALUE", help=words)
    arguments = parser.parse_args()
    began = time.perf_counter()
    try:
        if arguments.only:
            job = make_job(arguments.only, arguments.profile, parse_parameters(arguments.words or args()))
            target = ROOT / "build" / arguments.profile / "own" / f"{job.name}.ipynb"
            print(f"Executing {NOTEBOOKS.name}/{job.name}.ipynb ...", flush=True)
            execute(job, target)
            rename(target)
            numbers(target, target.parent)
            mirror(mathjax(), target.parent / mathjax().name)
            print(f"{target}\n{own_page(target)}")
        else:
            print(f"The book is at {build(arguments.profile)}")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # a disk that is full, a folder that may not be written
        print(f"build: {error.filename or ROOT / 'build'} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was finished is kept", file=sys.stderr)
        return 1
    print(f"It took {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
