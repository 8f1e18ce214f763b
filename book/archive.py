"""One file that holds everything: code, records, executed notebooks, the book. `make archive` calls this.

The same commit and the same build give the same bytes: files are sorted, and each has the time of the commit.
"""

import hashlib
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import eecore
from build import build
from eecore import data
from execute import ROOT, BuildError, hand_over

FINGERPRINT = re.compile(
    r"(\w+) \([\d/]+ samples in train/validation/test, sha256 ([0-9a-f]{12})"
)  # see Page.provenance
START = """<!doctype html>
<html lang="en-GB">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=book/index.html">
<title>Joint or Disjoint?</title>
<p><a href="book/index.html">Open the book</a>. What else is here stands in README.txt.</p>
</html>
"""
README = """Joint or Disjoint? Training early-exit networks, executed.
eecore {version}, commit {commit}, profile {profile}.

Unpack the archive, then open index.html: the book works from disk and asks no other computer for anything.

book/        the rendered book
notebooks/   the executed notebooks, as Jupyter opens them
code/        the project at this commit: library, notebooks, tests, records (book/results/)
DATA.txt     sources and licences of the data sets, and checksums of those used; no data are in here
SHA256SUMS   the checksum of every file

Every file has the time of the commit. The executed notebooks and the book hold, as measured, how long cells took.
"""


def git(*words: str) -> str:
    """The answer of git in the project.

    Raises:
        BuildError: there is no git, or no repository.
    """
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise BuildError("archive: needs git and the project's repository, to say which commit it holds") from None


def tracked() -> list[Path]:
    """The project's files.

    Raises:
        BuildError: some are changed and not committed: then no commit says what the archive holds.
    """
    changed = git("status", "--porcelain", "--untracked-files=no")
    if changed:
        raise BuildError(f"archive: commit first: {len(changed.splitlines())} files are changed, {changed.split()[-1]}")
    return [ROOT / name for name in git("ls-files", "-z").split("\0") if name]


def described() -> str:
    """What a user of the data must know: a paragraph for each data set."""
    paragraphs = []
    for name in data.names():
        info = data.info(name)
        lines = [f"{name}: {info.title}", f"  source: {info.source}", f"  licence: {info.licence}"]
        lines += [f"  citation: {info.citation}"] if info.citation else []
        lines += [f"  note: {info.note}"] if info.note else []
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs) + "\n"


def fingerprints(pages: Path) -> str:
    """The checksums of the data that the executed pages used, as the pages print them."""
    found: set[tuple[str, str]] = set()
    for page in pages.glob("*.ipynb"):
        found |= set(FINGERPRINT.findall(page.read_text(encoding="utf-8")))
    lines = [f"  {digest}  {name}" for name, digest in sorted(found)]
    return "\n".join(["Fingerprints (the first 12 digits of a sha256) of the data that the pages used:", *lines, ""])


def below(folder: Path) -> Iterator[Path]:
    """All files of a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def contents(profile: str) -> dict[str, bytes]:
    """Name in the archive -> bytes, from a build that is up to date."""
    files = {f"code/{path.relative_to(ROOT)}": path.read_bytes() for path in tracked() if path.is_file()}
    html = build(profile).parent
    pages = ROOT / "build" / profile / "source" / "pages"
    files |= {f"book/{path.relative_to(html)}": path.read_bytes() for path in below(html)}
    files |= {f"notebooks/{path.name}": path.read_bytes() for path in sorted(pages.glob("*.ipynb"))}
    words = {"version": eecore.__version__, "commit": git("rev-parse", "HEAD"), "profile": profile}
    files["README.txt"] = README.format(**words).encode()
    files["index.html"] = START.encode()
    files["DATA.txt"] = (described() + "\n" + fingerprints(pages)).encode()
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return {**files, "SHA256SUMS": "".join(sums).encode()}


def write(files: dict[str, bytes], target: Path, top: str, seconds: int) -> None:
    """A zip whose bytes depend on nothing but the arguments.

    Args:
        files: name -> bytes.
        target: the zip; its folder is made.
        top: the folder in it that holds everything.
        seconds: the time of every file, since 1970, UTC.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{top}/{name}", time.gmtime(seconds)[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            zipped.writestr(entry, files[name])
    unfinished.replace(target)


def archive(profile: str) -> Path:
    """Build the book where it is not up to date, and write the archive."""
    files = contents(profile)
    top = f"eecore-{eecore.__version__}-{git('rev-parse', '--short=10', 'HEAD')}-{profile}"
    target = ROOT / "build" / f"{top}.zip"
    write(files, target, top, int(git("log", "-1", "--format=%ct")))
    return target


def main() -> int:
    """The command line."""
    return hand_over(__doc__, "archive", archive)


if __name__ == "__main__":
    sys.exit(main())
