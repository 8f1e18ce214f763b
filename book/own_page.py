"""A page of one's own: one executed notebook as an HTML file that a browser opens, beside the book."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat

from execute import BuildError

BOOK = "../_build/html"
LABEL = re.compile(r"^\([\w-]+\)=\n", re.MULTILINE)
ROLE = re.compile(r"\{(doc|term|cite|cite:p|ref|numref|eq)\}`(?:([^`<]+?)\s*<([^`>]+)>|([^`]+))`")
LINK = re.compile(r"\]\((?!\w+:|#)([\w./-]+?)(?:\.html|\.md)?(#[\w-]*)?\)")
DROPDOWN = re.compile(r"^:::\{dropdown\} (.*?)\n(.*?)\n:::$", re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r"<script\b[^>]*\bsrc=\"https?://[^>]*>\s*</script>")
HEADER = (
    f'<p style="margin: 1em 4em"><a href="{BOOK}/index.html">The book</a></p>'
    "<script>MathJax = {tex: {inlineMath: [['$', '$'], ['\\\\(', '\\\\)']]}}</script>"
    '<script defer src="tex-svg-full.js"></script>'
)


def rename(page: Path) -> None:
    """Let figures' files and the command bear the name of the notebook's file where its cells say another's.

    Who copies a notebook, and adds to it, need not change the name that it gives itself.
    """
    notebook = nbformat.read(page, as_version=4)
    kept = [
        o.metadata["eecore"] for cell in notebook.cells for o in cell.get("outputs", []) if o.metadata.get("eecore")
    ]
    for name in {one["file"].partition("-figure-")[0] for one in kept} - {page.stem}:
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if "text/html" in output.get("data", {}):
                    output.data["text/html"] = _renamed(output.data["text/html"], name, page.stem)
        for one in kept:
            one["file"] = one["file"].replace(f"{name}-figure-", f"{page.stem}-figure-")
    nbformat.write(notebook, page)


def _renamed(html: str, old: str, new: str) -> str:
    for before, behind in (("", "-figure-"), ("NB=", ""), ("notebooks/", ".ipynb"), ('"', ".ipynb")):
        html = html.replace(f"{before}{old}{behind}", f"{before}{new}{behind}")
    return html


def own_page(page: Path) -> Path:
    """Convert one executed notebook. It asks no other host for anything; links lead into the book beside it.

    Raises:
        BuildError: it cannot be converted.
    """
    notebook = nbformat.read(page, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source)
    words = [
        sys.executable,
        "-m",
        "jupyter",
        "nbconvert",
        "--to",
        "html",
        "--log-level",
        "ERROR",
        "--stdin",
        "--stdout",
    ]
    words += ["--TagRemovePreprocessor.enabled=True", "--TagRemovePreprocessor.remove_input_tags=remove-input"]
    words += ["--TagRemovePreprocessor.remove_input_tags=hide-input"]
    done = subprocess.run(words, input=nbformat.writes(notebook), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{page.name} was executed but not converted: {done.stderr.strip().splitlines()[-1]}")
    html = SCRIPT.sub("", done.stdout).replace('href="../', f'href="{BOOK}/')
    html = re.sub(r"<title>.*?</title>", f"<title>{page.stem}</title>", html, count=1)
    html = re.sub(r"(<body[^>]*>)", lambda found: found[1] + HEADER, html, count=1)
    target = page.with_suffix(".html")
    target.write_text(html.replace(f"{BOOK}/_build/html", BOOK), encoding="utf-8")
    return target


def plain_markdown(text: str) -> str:
    """What only the book's renderer understands, as plain Markdown: labels, references, links to other pages.

    Example:
        >>> plain_markdown("(a)=\\n# T {doc}`here <../regimes>`, {term}`store`, [there](02_regimes)")
        '# T [here](../_build/html/regimes.html), store, [there](../_build/html/pages/02_regimes.html)'
    """
    text = ROLE.sub(_role, LABEL.sub("", text))
    text = DROPDOWN.sub(r"<details><summary>\1</summary>\n\n\2\n\n</details>", text)
    return LINK.sub(lambda found: f"]({_address(found[1])}{found[2] or ''})", text)


def _role(found: re.Match[str]) -> str:
    kind, said, target, alone = found.groups()
    if kind == "doc":
        where = target or alone
        return f"[{said or Path(where).name.replace('_', ' ')}]({where})"
    if kind in ("cite", "cite:p"):
        return f"({alone})"
    return said or alone


def _address(where: str) -> str:
    """Of a page of the book, as a page beside it reaches it."""
    inside = where.removeprefix("../") if where.startswith("../") else f"pages/{where}"
    return where if where.startswith(BOOK) else f"{BOOK}/{inside}.html"
